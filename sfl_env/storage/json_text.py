"""JSON from files that anybody may have written: strict, and bounded in size and depth."""

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from sfl_env.errors import SFLError

MOST_BYTES = 64 * 2**20
"""Larger files are none of ours."""

DEEPEST = 64
"""Brackets within brackets; Python's reader would take the whole stack for more."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
"""Strings, whose brackets do not count, and brackets."""


def read_json(path: Path, error: type[SFLError], *, most_bytes: int = MOST_BYTES) -> Any:
    """Return the value in a JSON file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    error : type of SFLError
        What to raise.
    most_bytes : int
        The largest file that is read.

    Raises
    ------
    error
        If the file cannot be read, is too large, or holds no JSON; see :func:`parse_json`.
    """
    try:
        with path.open("rb") as file:
            found = file.read(most_bytes + 1)
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror or reason}.") from reason
    if len(found) > most_bytes:
        raise error(f"{path} has more than {most_bytes} bytes, too many for such a file.")
    try:
        text = found.decode("utf-8")
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not valid JSON: it is not UTF-8 text.") from reason
    return parse_json(text, str(path), error)


def parse_json(text: str, where: str, error: type[SFLError]) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    text : str
        The text.
    where : str
        Where it is from, for messages.
    error : type of SFLError
        What to raise.

    Raises
    ------
    error
        If it is no JSON, names an entry twice, nests deeper than :data:`DEEPEST`, or holds NaN, an infinity or a
        number that no float holds.

    Examples
    --------
    >>> parse_json('{"a": [1, null]}', "here", SFLError)
    {'a': [1, None]}
    >>> parse_json('{"a": 1, "a": 2}', "here", SFLError)
    Traceback (most recent call last):
        ...
    sfl_env.errors.SFLError: here is not valid JSON: it names 'a' twice.
    """

    def refuse(what: str) -> NoReturn:
        raise error(f"{where} is not valid JSON: {what}.")

    if _depth(text) > DEEPEST:
        refuse(f"it nests deeper than {DEEPEST} brackets")

    def number(literal: str) -> float:
        value = float(literal)
        return refuse(f"{literal} is too large a number") if value in (float("inf"), -float("inf")) else value

    def whole(literal: str) -> int:
        # Python's own limit is on digits, and its error speaks of a setting.
        return refuse("it holds a whole number of over 300 digits") if len(literal) > 300 else int(literal)

    def entries(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                refuse(f"it names {name!r} twice")
            found[name] = value
        return found

    try:
        return json.loads(
            text,
            parse_constant=lambda literal: refuse(f"{literal} is no JSON; write null"),
            parse_float=number,
            parse_int=whole,
            object_pairs_hook=entries,
        )
    except json.JSONDecodeError as reason:
        raise error(f"{where} is not valid JSON: {reason}.") from reason


def _depth(text: str) -> int:
    """Return how deep brackets lie within brackets."""
    depth = deepest = 0
    for token in _TOKENS.finditer(text):
        first = token.group()[0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest
