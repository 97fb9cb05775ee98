"""Entries of stored states: all that state_dict() gives, and nothing else."""

from collections.abc import Mapping
from typing import Any

from sfl_env.checks.names import nearest_name, shown
from sfl_env.errors import SFLError, StateError


def require_entries(
    stored: object, names: tuple[str, ...], what: str, error: type[SFLError] = StateError
) -> Mapping[str, Any]:
    """Return a stored part once it is known to have the entries that it should, and no others.

    Raises
    ------
    SFLError
        Of the class ``error``, if it is no mapping, or an entry is missing or foreign.

    Examples
    --------
    >>> require_entries({"rng": 1}, ("rng", "episodes"), "state")
    Traceback (most recent call last):
        ...
    sfl_env.errors.StateError: The stored state lacks 'episodes'; state_dict() gives it rng, episodes.
    """
    stored = require_mapping(stored, what, error)
    for name in names:
        if name not in stored:
            raise error(f"The stored {what} lacks {name!r}; state_dict() gives it {', '.join(names)}.")
    for name in stored:
        if name not in names:
            raise error(
                f"The stored {what} has an entry {shown(name)} that nothing here has a use for"
                f"{nearest_name(name, names)}; state_dict() gives it {', '.join(names)}."
            )
    return stored


def require_mapping(stored: object, what: str, error: type[SFLError] = StateError) -> Mapping[Any, Any]:
    """Return a stored part once it is known to have entries at all.

    Raises
    ------
    SFLError
        Of the class ``error``, if it has none.
    """
    if not isinstance(stored, Mapping):
        raise error(f"The stored {what} is a {type(stored).__name__}; state_dict() gives a dictionary.")
    return stored
