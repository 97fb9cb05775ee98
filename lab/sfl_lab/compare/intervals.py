"""What a comparison's values come to, with intervals that hold the truth as often as they say.

The percentile and the BCa bootstrap cover too rarely for the 5 to 20 values that comparisons have, so neither is
taken. Each quantity has the estimator that covers 95 % at these numbers by simulation: ``docs/statistics.md`` has
the figures, and ``docs/build/coverage.py`` makes them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, t

from sfl_env.arrays import Array
from sfl_env.errors import RunError

CONFIDENCE = 0.95
_FEWEST = 2


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval.

    Parameters
    ----------
    statistic : str
        What is estimated: ``"mean"``, ``"geometric mean"`` or ``"median"``.
    value : float
        Of the values at hand.
    low, high : float
        Ends of the interval, in the values' unit.
    confidence : float
        How often such intervals hold the true figure, from 0 to 1.
    values : int
        How many values it is made of.
    """

    statistic: str
    value: float
    low: float
    high: float
    confidence: float
    values: int

    def within(self, lowest: float, highest: float) -> "Interval":
        """Return the interval without what cannot be, such as accuracies above 1.

        Examples
        --------
        >>> MEAN.interval(np.array([0.9, 1.0])).within(0.0, 1.0).high
        1.0
        """
        return replace(self, low=max(self.low, lowest), high=min(self.high, highest))


@dataclass(frozen=True)
class _Bounds:
    low: float
    high: float
    confidence: float = CONFIDENCE


class Estimator(ABC):
    """One figure for many values, and an interval for it."""

    statistic: ClassVar[str]

    def interval(self, values: Array) -> Interval:
        """Return the figure of independent values with its 95 % interval.

        Parameters
        ----------
        values : (N,) array
            One number for each of at least 2 episodes or training seeds, in any unit.

        Raises
        ------
        RunError
            For fewer values, or one that is not finite or not in the estimator's domain.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim != 1 or len(values) < _FEWEST:
            raise RunError(
                f"An interval needs a row of at least {_FEWEST} values, not shape {values.shape}; compare more "
                "episodes or training seeds."
            )
        self._require(values)
        bounds = self._bounds(values)
        return Interval(
            self.statistic, self.centre(values), bounds.low, bounds.high, bounds.confidence, len(values)
        )

    def over(self, groups: Sequence[Array]) -> Interval:
        """Return the interval over training seeds, or over the episodes of the only one.

        Parameters
        ----------
        groups : sequence of (N,) arrays
            For each training seed one number for each episode. Several are each made one number first: the unit is
            then the training seed. What has no training has one group.

        Raises
        ------
        RunError
            As for :meth:`interval`.
        """
        return self.interval(self.units(groups))

    def units(self, groups: Sequence[Array]) -> Array:
        """Return the values that :meth:`over` makes its interval of."""
        if len(groups) == 1:
            return np.asarray(groups[0], dtype=np.float64)
        return np.array([self.centre(values) for values in groups])

    @abstractmethod
    def centre(self, values: Array) -> float:
        """Return the figure of at least one value."""

    @abstractmethod
    def _bounds(self, values: Array) -> _Bounds:
        """Return the interval's ends."""

    def _require(self, values: Array) -> None:
        """Raise unless the values are numbers of which there is such a figure."""
        self._refuse(values, np.isfinite(values), "finite")

    def _refuse(self, values: Array, fit: NDArray[np.bool_], what: str) -> None:
        if not fit.all():
            at = int(fit.argmin())
            raise RunError(
                f"Value {at} of {len(values)} is {values[at]}; a {self.statistic} needs {what} numbers."
            )


class _Mean(Estimator):
    """The arithmetic mean with Student's interval [1]_: for values without much skew.

    Examples
    --------
    >>> found = MEAN.interval(np.array([1.0, 2.0, 3.0]))
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (2.0, -0.48, 4.48)

    References
    ----------
    .. [1] Student, "The Probable Error of a Mean", Biometrika 6(1), 1908.
    """

    statistic = "mean"

    def centre(self, values: Array) -> float:
        """Return the mean."""
        return float(np.mean(values))

    def _bounds(self, values: Array) -> _Bounds:
        reach = float(t.ppf(0.5 + CONFIDENCE / 2.0, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        return _Bounds(self.centre(values) - reach, self.centre(values) + reach)


class _GeometricMean(Estimator):
    """The geometric mean with Student's interval of the logarithms: for ratios.

    It doesn't depend on which of two is put over the other, and logarithms of ratios are far less skewed.

    Examples
    --------
    >>> found = GEOMETRIC_MEAN.interval(np.array([0.5, 1.0, 2.0]))
    >>> found.value, round(found.low * found.high, 9)
    (1.0, 1.0)
    """

    statistic = "geometric mean"

    def centre(self, values: Array) -> float:
        """Return the geometric mean of numbers above 0."""
        return float(np.exp(np.mean(np.log(values))))

    def _bounds(self, values: Array) -> _Bounds:
        logarithms = MEAN.interval(np.log(values))
        return _Bounds(float(np.exp(logarithms.low)), float(np.exp(logarithms.high)))

    def _require(self, values: Array) -> None:
        super()._require(values)
        self._refuse(values, values > 0.0, "positive")


class _Median(Estimator):
    """The median with the interval between two order statistics [1]_: for seconds, joules and other long tails.

    How often the interval holds the median is exact, by the binomial distribution, whatever the values'
    distribution. Of 5 values even the smallest and the largest do so in 93.75 % alone, of 3 in 75 %; from 6 on it
    is at least 95 %.

    Examples
    --------
    >>> found = MEDIAN.interval(np.arange(20.0))
    >>> found.value, found.low, found.high, round(found.confidence, 3)
    (9.5, 5.0, 14.0, 0.959)
    >>> [round(MEDIAN.interval(np.arange(float(n))).confidence, 4) for n in (2, 3, 5, 6, 7)]
    [0.5, 0.75, 0.9375, 0.9688, 0.9844]

    References
    ----------
    .. [1] H. A. David, H. N. Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1.
    """

    statistic = "median"

    def centre(self, values: Array) -> float:
        """Return the median."""
        return float(np.median(values))

    def _bounds(self, values: Array) -> _Bounds:
        n = len(values)
        left_out, confidence = _left_out(n)
        ordered = np.sort(values)
        return _Bounds(float(ordered[left_out]), float(ordered[n - 1 - left_out]), confidence)


@cache
def _left_out(n: int) -> tuple[int, float]:
    """Return how many of n values lie beyond either end of the median's interval, and how sure that is."""
    # The median lies below the interval if at most that many of the values are below the median.
    misses = binom.cdf(np.arange(max(n // 2, 1)), n, 0.5)
    most = max(int(np.count_nonzero(misses <= (1.0 - CONFIDENCE) / 2.0)) - 1, 0)
    return most, 1.0 - 2.0 * float(misses[most])


MEAN, GEOMETRIC_MEAN, MEDIAN = _Mean(), _GeometricMean(), _Median()
mean_interval, geometric_mean_interval, median_interval = MEAN.interval, GEOMETRIC_MEAN.interval, MEDIAN.interval


def sureness(n: int, what: str) -> str:
    """Return a clause that tells how often intervals of medians over n values hold the true one.

    Examples
    --------
    >>> sureness(20, "episodes")
    '95.9 % of such intervals of medians over 20 episodes hold the true one'
    >>> sureness(3, "episodes")
    '75.0 % of such intervals of medians over 3 episodes hold the true one: compare at least 6'
    """
    held = MEDIAN.interval(np.arange(float(n))).confidence
    more = "" if held >= CONFIDENCE else ": compare at least 6"
    return f"{100.0 * held:.1f} % of such intervals of medians over {n} {what} hold the true one{more}"
