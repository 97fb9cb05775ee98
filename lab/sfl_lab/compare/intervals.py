"""Means over episodes with bootstrap intervals, and how far these can be trusted."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, norm, t

from sfl_env.arrays import Array

CONFIDENCE = 0.95
_RESAMPLES = 9999
_BOOTSTRAP_SEED = 0
_FEW = 10
"""With fewer values than this the intervals are said to be rough."""


@dataclass(frozen=True)
class Interval:
    """A mean over episodes and its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Array) -> Interval:
    """Return the mean of one number per episode, with the percentile bootstrap's 95 % interval.

    Episodes, not rounds, are drawn anew, since the rounds of an episode share their devices. Of few values the
    interval is too narrow, see :func:`coverage`.

    Parameters
    ----------
    values : (N,) array
        One number for each of at least 2 episodes.

    Examples
    --------
    >>> mean_interval(np.array([1.0, 1.0, 1.0]))
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=_RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(_BOOTSTRAP_SEED),
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high))


def coverage(n: int) -> float:
    """Return how often the interval of n normal values holds their true mean, which for few is less than 95 %.

    The percentile bootstrap takes the normal's quantiles for Student's and divides the variance by n, not by
    n - 1 [1]_; and it never reaches beyond the smallest and the largest value.

    Examples
    --------
    >>> [round(coverage(n), 2) for n in (2, 3, 5, 10, 20, 100)]
    [0.5, 0.75, 0.85, 0.9, 0.93, 0.95]

    References
    ----------
    .. [1] T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician, 2015.
    """
    reach = norm.ppf(0.5 + CONFIDENCE / 2.0) * np.sqrt((n - 1.0) / n)
    by_student = 2.0 * t.cdf(reach, df=n - 1) - 1.0
    between_extremes = 1.0 - 2.0 ** (1 - n)
    return float(min(by_student, between_extremes))


def caution(n: int, what: str) -> str:
    """Return a clause that warns of intervals over few values, or nothing where they are enough.

    Examples
    --------
    >>> caution(5, "seeds")
    '; rough, since 5 seeds are few: about 85 % of such intervals hold the true mean'
    >>> caution(20, "episodes")
    ''
    """
    if n >= _FEW:
        return ""
    held = f"{100.0 * coverage(n):.0f} %"
    return f"; rough, since {n} {what} are few: about {held} of such intervals hold the true mean"
