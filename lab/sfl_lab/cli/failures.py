"""Which errors are told to the user in one line, and how; all others are faults of this package."""

import sys

from sfl_env.errors import SFLError
from sfl_lab.cli.wording import as_switches
from sfl_lab.text import one_line

_EXTRAS = {"datasets": "datasets", "PIL": "datasets", "optuna": "tune", "sb3_contrib": "contrib"}
"""Modules that an extra of this package brings, and the extra."""


def told(error: BaseException) -> str | None:
    """Return the line for an error that a user can mend, or None for a fault of the program.

    Examples
    --------
    >>> told(SFLError("The run is complete; pass overwrite=True to do it again."))
    'The run is complete; pass --overwrite to do it again.'
    >>> told(PermissionError(13, "Permission denied", "runs/ppo"))
    'runs/ppo cannot be used: Permission denied.'
    >>> told(MemoryError())
    'The memory does not suffice; take fewer environments, devices or samples.'
    >>> told(ZeroDivisionError()) is None
    True
    """
    if isinstance(error, SFLError):
        return one_line(as_switches(str(error)))
    if isinstance(error, MemoryError):
        return "The memory does not suffice; take fewer environments, devices or samples."
    if isinstance(error, OSError):
        return one_line(_of_the_system(error))
    if isinstance(error, ImportError):
        return _of_an_import(error)
    return None


def _of_the_system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"{error.filename} cannot be used: {what}."
    return f"The operating system refuses: {what}."


def _of_an_import(error: ImportError) -> str | None:
    name = error.name or ""
    package = name.partition(".")[0]
    if package in sys.modules and package.startswith("sfl_"):
        return None
    if package in _EXTRAS:
        extra = _EXTRAS[package]
        return one_line(f"The module {name!r} needs the extra {extra!r}: pip install 'sfl-env[{extra}]'.")
    return one_line(f"{error}; install it, or install sfl-env anew.")
