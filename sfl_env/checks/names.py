"""Look-ups by name and closed choices, and how values are shown in messages."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from sfl_env.errors import ScenarioError, SFLError

Entry = TypeVar("Entry")

LISTED_NAMES = 30
"""Up to so many known names are listed in a message; of more, the nearest alone is told."""

SHOWN_CHARACTERS = 120
"""Longer values are cut in messages."""


def nearest_name(name: object, known: Collection[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of the known names, or nothing.

    Examples
    --------
    >>> nearest_name("num_device", ["num_devices", "model"])
    " (did you mean 'num_devices'?)"
    >>> nearest_name("lr", ["num_devices", "learning_rate"])
    " (did you mean 'learning_rate'?)"
    >>> nearest_name("zzz", ["num_devices", "model"])
    ''
    """
    usual = USUAL_NAMES.get(name) if isinstance(name, str) else None
    if usual in known:
        return f" (did you mean {usual!r}?)"
    close = difflib.get_close_matches(str(name)[:SHOWN_CHARACTERS], list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


USUAL_NAMES: Mapping[str, str] = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "clients": "num_devices",
    "num_clients": "num_devices",
    "local_steps": "local_iterations",
}
"""What others call a known name that is not spelt alike."""


def require_known(
    kind: str, name: object, known: Collection[str], error: type[SFLError] = ScenarioError, otherwise: str = ""
) -> None:
    """Raise unless a name is one of the known ones, with the nearest of them and, where they are few, all.

    Parameters
    ----------
    kind : str
        What is looked up, such as ``"device type"``.
    name : object
        What the user called it; anything but a string is unknown.
    known : collection of str
        The names there are.
    error : type
        Class of the error.
    otherwise : str
        What may be given besides the known names, such as ``"the path of a .json file"``.

    Raises
    ------
    SFLError
        Of the class ``error``, if the name is unknown.

    Examples
    --------
    >>> require_known("device type", "laptop", ["laptop", "phone"])
    >>> require_known("device type", "laptpo", ["laptop", "phone"])
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: Unknown device type 'laptpo' (did you mean 'laptop'?); known are laptop, phone.
    """
    if isinstance(name, str) and name in known:
        return
    listed = f"; known are {', '.join(known)}" if len(known) <= LISTED_NAMES else ""
    besides = f"{', or' if listed else '; or give'} {otherwise}" if otherwise else ""
    raise error(f"Unknown {kind} {shown(name)}{nearest_name(name, known)}{listed}{besides}.")


def look_up(
    kind: str,
    name: object,
    table: Mapping[str, Entry],
    error: type[SFLError] = ScenarioError,
    otherwise: str = "",
) -> Entry:
    """Return a table's entry of a name, or raise as :func:`require_known`.

    Examples
    --------
    >>> look_up("optimiser", "adam", {"sgd": 0, "adam": 2})
    2
    """
    require_known(kind, name, table, error, otherwise)
    return table[cast(str, name)]


def require_choice(
    name: str, value: object, choices: Collection[str], error: type[SFLError] = ScenarioError
) -> None:
    """Raise unless the value of a parameter is one of its few choices.

    Raises
    ------
    SFLError
        Of the class ``error``, naming parameter, value and choices.

    Examples
    --------
    >>> require_choice("fading", "avaraged", ["averaged", "block", "none"])
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: fading is 'avaraged'; it has to be one of averaged, block, none (did you mean
    'averaged'?).
    """
    if not (isinstance(value, str) and value in choices):
        nearest = nearest_name(value, choices) if isinstance(value, str) else ""
        raise error(f"{name} is {shown(value)}; it has to be one of {', '.join(choices)}{nearest}.")


def shown(value: Any) -> str:
    """Return a value as messages show it: on one line, and cut where it is long.

    Examples
    --------
    >>> shown("a"), len(shown("a" * 1000))
    ("'a'", 120)
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a user's own class may fail to describe itself
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 4] + " ..."
