"""Range checks of parameters, with a message that names the field, the value and the range."""

import difflib
import math
from collections.abc import Iterable
from typing import Protocol

from sfl_env.errors import ScenarioError


class _Number(Protocol):
    def __float__(self) -> float: ...


def require_range(name: str, value: _Number, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise unless a value is a finite number from ``low`` to ``high``, both included.

    Raises
    ------
    ScenarioError
        If the value is not a finite number or lies out of the range.

    Examples
    --------
    >>> require_range("correlation", 0.9, -1.0, 1.0)
    >>> require_range("correlation", 1.5, -1.0, 1.0)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: correlation is 1.5; it has to be a number from -1.0 to 1.0.
    """
    if not (_is_finite(value) and low <= float(value) <= high):
        raise ScenarioError(f"{name} is {value!r}; it has to be a number {_describe(low, high)}.")


def require_positive(name: str, value: _Number) -> None:
    """Raise unless a value is a finite number above zero.

    Raises
    ------
    ScenarioError
        If the value is not a finite number or not above zero.

    Examples
    --------
    >>> require_positive("carrier_hz", 0.0)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: carrier_hz is 0.0; it has to be a number above 0.
    """
    if not (_is_finite(value) and float(value) > 0.0):
        raise ScenarioError(f"{name} is {value!r}; it has to be a number above 0.")


def _is_finite(value: _Number) -> bool:
    try:
        return math.isfinite(value)
    except TypeError:
        return False


def _describe(low: float, high: float) -> str:
    if math.isinf(high):
        return f"of at least {low}"
    return f"from {low} to {high}"


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the closest of the known names, or nothing.

    Examples
    --------
    >>> nearest_name("num_device", ["num_devices", "model"])
    " (did you mean 'num_devices'?)"
    >>> nearest_name("zzz", ["num_devices", "model"])
    ''
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
