"""What a user's own part is shown, and checks of what it is and returns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sfl_env.checks.ranges import Range
from sfl_env.errors import ScenarioError, SFLError


def require_methods(part: str, value: object, methods: Sequence[str], protocol: str) -> None:
    """Raise unless an object has the methods of the protocol of its part.

    Raises
    ------
    ScenarioError
        Naming part, method and protocol.

    Examples
    --------
    >>> require_methods("reward", len, ["terms"], "sfl_env.spaces.Reward")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: reward is of type builtin_function_or_method, without a method terms; it has to
    have terms, as sfl_env.spaces.Reward tells.
    """
    if isinstance(value, type):
        raise ScenarioError(f"{part} is the class {value.__name__}; pass an object of it, {value.__name__}(...).")
    for name in methods:
        if not callable(getattr(value, name, None)):
            raise ScenarioError(
                f"{part} is of type {type(value).__name__}, without a method {name}; it has to have "
                f"{', '.join(methods)}, as {protocol} tells."
            )


def require_instance(where: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Raise unless a value is of a class.

    Parameters
    ----------
    where : str
        Part and method.
    value : object
        What was passed or returned.
    kind : type or tuple of types
        The class, or several that will do.
    wanted : str
        What it is, and where it is to be had.

    Raises
    ------
    ScenarioError
        Naming place and class.

    Examples
    --------
    >>> require_instance("profile", 3, str, "a profile")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: profile is of type int; it has to be a profile.
    """
    if not isinstance(value, kind):
        raise ScenarioError(f"{where} is of type {type(value).__name__}; it has to be {wanted}.")


def called(where: str, method: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a user's method returns, or say which one raised what.

    Raises
    ------
    ScenarioError
        If the method raises anything but an error of this package's.

    Examples
    --------
    >>> called("reward.terms(outcome)", {}.__getitem__, "energy_j")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: reward.terms(outcome) raised KeyError: 'energy_j'.
    """
    try:
        return method(*arguments)
    except SFLError:
        raise
    except Exception as error:  # whatever a user's code may raise
        told = " ".join(str(error).split()).rstrip(".")
        plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)
        # NumPy's words for a write into what read_only has given.
        is_write = isinstance(error, ValueError) and "read-only" in plain
        mend = " What it is shown is not its to change; return another array." if is_write else ""
        raise ScenarioError(f"{where} raised {type(error).__name__}: {plain}.{mend}") from error


def read_only(value: Any) -> Any:
    """Return a NamedTuple of arrays, nested or not, in which nothing can be written: it shares the memory.

    What a user's part is shown belongs to the round; a part that changed it would change the round's numbers.
    """
    if isinstance(value, tuple):
        return type(value)(*(read_only(part) for part in value))
    if isinstance(value, np.ndarray):
        value = value.view()
        value.setflags(write=False)
    return value


_PLAIN = (np.ndarray, np.memmap, np.ma.MaskedArray)
"""Kinds of arrays that compute as arrays do, masks apart, which are looked at."""


def require_array(
    where: str, values: object, shape: tuple[int, ...], allowed: Range | None = None, meaning: str = ""
) -> None:
    """Raise unless a user's method has returned an array of numbers of a shape and within a range.

    Parameters
    ----------
    where : str
        Part and method.
    values : object
        What it has returned.
    shape : tuple of int
        What the array's shape has to be.
    allowed : Range, optional
        Of every entry, which then has to be finite; whole numbers have to be of an integer type.
    meaning : str
        What the entries are.

    Raises
    ------
    ScenarioError
        Naming place, shape, type or range.

    Examples
    --------
    >>> require_array("channel.initial(...).gain", np.array([[90.0]]), (1, 1), Range(0.0, 1.0), "a linear gain")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: channel.initial(...).gain holds 90.0; each entry has to be a number from 0 to
    1: a linear gain.
    """
    told = f": {meaning}" if meaning else ""
    require_instance(where, values, np.ndarray, f"a NumPy array of shape {shape}{told}")
    assert isinstance(values, np.ndarray)
    if type(values) not in _PLAIN:
        kind = type(values).__name__
        raise ScenarioError(
            f"{where} is a {kind}, which computes in its own way; pass it through np.array first{told}."
        )
    if np.ma.is_masked(values):
        raise ScenarioError(f"{where} is an array with masked entries; every entry has to have its value{told}.")
    if values.shape != shape:
        raise ScenarioError(f"{where} has shape {values.shape}; it has to be {shape}{told}.")
    whole = allowed is not None and allowed.whole
    if values.dtype.kind not in ("iu" if whole else "fiu"):
        wanted = "whole numbers" if whole else "numbers"
        raise ScenarioError(f"{where} holds entries of type {values.dtype}; it has to hold {wanted}{told}.")
    if allowed is not None:
        outside = values[~_inside(values, allowed)]
        if outside.size:
            raise ScenarioError(f"{where} holds {outside[0].item()!r}; each entry has to be {allowed}{told}.")


def _inside(values: np.ndarray[Any, Any], allowed: Range) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):  # a number above all doubles is not finite, and refused
        values = values.astype(np.float64)  # half floats and small integers don't reach to every end
    above = values > allowed.low if allowed.low_open else values >= allowed.low
    below = values < allowed.high if allowed.high_open else values <= allowed.high
    inside: np.ndarray[Any, Any] = np.isfinite(values) & above & below
    return inside
