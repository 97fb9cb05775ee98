"""The library's words for arguments, as the command line has them."""

import re

_SWITCH = re.compile(r"\b(overwrite|resume|trust)=True\b")
"""Arguments of library functions that are switches of the same name on the command line."""


def as_switches(message: str) -> str:
    """Return an error's message with the library's arguments as switches.

    Examples
    --------
    >>> as_switches("runs/a exists already; replace it with overwrite=True, or name another folder.")
    'runs/a exists already; replace it with --overwrite, or name another folder.'
    >>> as_switches("If it takes numbers of another type, name it as input_dtype.")
    'If it takes numbers of another type, name it as --input-dtype.'
    """
    switched = _SWITCH.sub(r"--\1", message).replace("name it as input_dtype", "name it as --input-dtype")
    return switched.replace("settings=like:", "--settings like:")
