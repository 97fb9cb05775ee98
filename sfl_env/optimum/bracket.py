"""The safe way to the optimum: bisection of the round's length, with bisected shares inside.

Slow, but it asks nothing of the instance but monotonicity; the fast solvers hand over what they cannot
certify, and tests compare the two.
"""

from collections.abc import Callable

import numpy as np

from sfl_env.arrays import Array

Times = Callable[[Array], Array]
"""Maps shares (N, K) to each device's time (N, K), none of which may rise with its share."""

_SMALLEST_LOG_SHARE = np.log(1e-190)
_BISECTIONS = 80


def needed_shares(times: Times, target_s: Array, like: Array) -> Array:
    """Smallest shares, up to rounding upwards, with which each device finishes by the target.

    Parameters
    ----------
    times : callable
        Each device's time at given shares.
    target_s : (N,) array
        The time by which they have to finish, seconds.
    like : (N, K) array
        Gives the shape.

    Returns
    -------
    (N, K) array
        Shares; 0 where the device can do without the band, infinite where the whole band is not enough.
    """
    target = target_s[:, None]
    low = np.full(like.shape, _SMALLEST_LOG_SHARE)
    high = np.zeros(like.shape)
    unreachable = times(np.exp(high)) > target
    idle = times(np.zeros(like.shape)) <= target
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        enough = times(np.exp(middle)) <= target
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle)
    return np.where(unreachable, np.inf, np.where(idle, 0.0, np.exp(high)))


def bracketed_shares(times: Times, share: Array) -> tuple[Array, Array]:
    """Shares that minimise the slowest device's time, and a proven bound below it.

    Parameters
    ----------
    times : callable
        Each device's time at given shares.
    share : (N, K) array
        Any shares that sum to 1, under which every device finishes.

    Returns
    -------
    share : (N, K) array
        The best shares found, summing to at most 1.
    lower_bound_s : (N,) array
        A time for which the needed shares sum to more than 1, seconds.
    """
    high = times(share).max(axis=1)
    low = times(np.ones_like(share)).max(axis=1)
    best = share
    at_low = needed_shares(times, low, share)
    reached = at_low.sum(axis=1) <= 1.0
    high = np.where(reached, low, high)
    best = np.where(reached[:, None], at_low, best)
    for _ in range(_BISECTIONS):
        # The geometric mean halves a bracket of many decades faster; times of zero fall back on the mean.
        geometric = np.sqrt(low) * np.sqrt(high)
        middle = np.where(high > 2.0 * low, geometric, low + 0.5 * (high - low))
        middle = np.where(middle > 0.0, middle, 0.5 * high)
        needed = needed_shares(times, middle, share)
        reached = needed.sum(axis=1) <= 1.0
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
        best = np.where(reached[:, None], needed, best)
    return best, low
