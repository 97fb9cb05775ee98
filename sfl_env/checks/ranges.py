"""Ranges of numbers, with one wording."""

import math
import numbers
from dataclasses import dataclass
from typing import cast

from sfl_env.checks.names import shown
from sfl_env.errors import ScenarioError, SFLError


@dataclass(frozen=True)
class Range:
    """The finite numbers between two ends, both included unless an end is said to be open.

    Examples
    --------
    >>> str(Range(0.0, 1.0)), str(Range(1, whole=True))
    ('a number from 0 to 1', 'a whole number of at least 1')
    >>> str(Range(0.0, 1.0, high_open=True)), str(Range(0.0, low_open=True))
    ('a number of at least 0 and below 1', 'a number above 0')
    >>> 0.0 in Range(0.0, low_open=True)
    False
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: object) -> bool:
        if not is_number(value):
            return False
        number = cast(float, value)
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return bool(above and below and (not self.whole or number == int(number)))

    @property
    def limits(self) -> str:
        """Both ends in words: ``"from 0 to 1"``, ``"above 0"``; nothing where there are none."""
        closed = not self.low_open and not self.high_open
        if closed and math.isfinite(self.low) and math.isfinite(self.high):
            return f"from {self.low:.7g} to {self.high:.7g}"
        parts = []
        if math.isfinite(self.low):
            parts.append(f"{'above' if self.low_open else 'of at least'} {self.low:.7g}")
        if math.isfinite(self.high):
            parts.append(f"{'below' if self.high_open else 'at most'} {self.high:.7g}")
        return " and ".join(parts)

    def __str__(self) -> str:
        return f"a {'whole ' * self.whole}number {self.limits}".rstrip()

    def require(self, name: str, value: object, error: type[SFLError] = ScenarioError) -> None:
        """Raise unless the value of a parameter lies in the range.

        Raises
        ------
        SFLError
            Of the class ``error``, naming parameter, value and range.
        """
        if value not in self:
            raise error(f"{name} is {shown(value)}; it has to be {self}.")


def is_number(value: object) -> bool:
    """Whether a value is a finite real number: an int, a float or a scalar of NumPy's, but no truth value.

    Examples
    --------
    >>> is_number(3), is_number(True), is_number("3"), is_number(float("nan"))
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def require_range(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[SFLError] = ScenarioError,
) -> None:
    """Raise unless a value is a finite number from ``low`` to ``high``, both included.

    Raises
    ------
    SFLError
        Of the class ``error``, naming parameter, value and range.

    Examples
    --------
    >>> require_range("correlation", 0.9, -1.0, 1.0)
    >>> require_range("correlation", 1.5, -1.0, 1.0)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: correlation is 1.5; it has to be a number from -1 to 1.
    """
    Range(low, high).require(name, value, error)


def require_whole(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[SFLError] = ScenarioError,
) -> None:
    """Raise unless a value is a whole number from ``low`` to ``high``, both included.

    Examples
    --------
    >>> require_whole("iterations", 2.5, 1)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: iterations is 2.5; it has to be a whole number of at least 1.
    """
    Range(low, high, whole=True).require(name, value, error)


def require_positive(name: str, value: object, error: type[SFLError] = ScenarioError) -> None:
    """Raise unless a value is a finite number above zero.

    Examples
    --------
    >>> require_positive("carrier_hz", 0.0)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: carrier_hz is 0.0; it has to be a number above 0.
    """
    Range(0.0, low_open=True).require(name, value, error)
