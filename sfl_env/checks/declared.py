"""Values in the types that their parameters declare."""

import dataclasses
import types
import typing
from typing import Any

from sfl_env.checks.names import require_choice, shown
from sfl_env.checks.ranges import Range
from sfl_env.errors import ScenarioError, SFLError


def choices_of(declared: Any) -> tuple[str, ...]:
    """Return the names that a ``Literal`` of names allows; none for any other type.

    Examples
    --------
    >>> choices_of(typing.Literal["sgd", "adam"]), choices_of(str)
    (('sgd', 'adam'), ())
    """
    return typing.get_args(declared) if typing.get_origin(declared) is typing.Literal else ()


def as_declared(
    name: str, value: object, declared: Any, allowed: Range | None = None, error: type[SFLError] = ScenarioError
) -> Any:
    """Return the value of a parameter in its declared type, or say what is wrong with it.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What the user gave.
    declared : type
        ``bool``, ``str``, ``int``, ``float``, a ``Literal`` of names, a ``tuple[..., ...]`` of one of these, or
        one of all these ``| None``.
    allowed : Range, optional
        Of numbers; for a tuple that of each entry.
    error : type
        Class of the error.

    Raises
    ------
    SFLError
        Of the class ``error``, naming parameter, value and what it has to be.

    Examples
    --------
    >>> as_declared("rounds", 3.0, int), as_declared("weights", [1, 2], tuple[float, ...])
    (3, (1.0, 2.0))
    """
    if isinstance(declared, types.UnionType):
        if value is None:
            return None
        declared = next(kind for kind in typing.get_args(declared) if kind is not types.NoneType)
    if typing.get_origin(declared) is tuple:
        if not isinstance(value, (tuple, list)):
            raise error(f"{name} is {shown(value)}; it has to be a tuple or list.")
        entry = typing.get_args(declared)[0]
        return tuple(as_declared(f"{name}[{i}]", v, entry, allowed, error) for i, v in enumerate(value))
    if choices := choices_of(declared):
        require_choice(name, value, choices, error)
        return value
    if declared in (bool, str):
        if not isinstance(value, declared):
            raise error(f"{name} is {shown(value)}; it has to be {_NOUNS[declared]}.")
        return value
    allowed = dataclasses.replace(allowed or Range(), whole=declared is int)
    allowed.require(name, value, error)
    return declared(value)


_NOUNS = {bool: "True or False", str: "a string"}
