"""The loop that both solvers share: descend until slowest and fastest device agree, and prove the bound.

The proof takes one evaluation: let shares s sum to 1 and let L be the least time among the devices that
hold a positive share. For a round shorter than L each of these needs more than it holds and the others
need no less than 0, so together they need more than the band. L is therefore a lower bound on every
decision, and when the slowest device is no slower than L, the decision is optimal.
"""

from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sfl_env.optimum.bracket import bracketed_shares
from sfl_env.optimum.equalise import next_shares
from sfl_env.radio import Array

RELATIVE_TOLERANCE = 1e-11
"""The descent ends when slowest and fastest device differ by less than this."""

ROUNDING = 1e-13
"""Bounds are lowered by this share of themselves, which covers the rounding of their own evaluation."""

MAX_ITERATIONS = 60
"""What has not met the tolerance by then goes to bisection."""

HASTY_ITERATIONS = 8
"""Iterations with a single Newton step for the common time, which nearly always are all."""

PATIENT_INNER_STEPS = 40
"""Newton steps for the common time in later iterations, as many as make the descent monotone."""

CHUNK = 128
"""Problems in work at once: their tables then stay in the processor's second-level cache."""


class Evaluation(NamedTuple):
    """Times at given shares, with the slopes that the next step needs."""

    time_s: Array  # (N, K)
    slope_s: Array  # (N, K): minus d time / d ln share
    cut: NDArray[np.intp]  # (N, K): what the device chose


class Instance(Protocol):
    """N problems of splitting a band among K devices whose times fall with their shares."""

    def evaluate(self, share: Array) -> Evaluation:
        """Each device's time, slope and choice at its share."""
        ...

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Some of the problems."""
        ...


class Optimum(NamedTuple):
    """The shares that make the slowest device fastest."""

    share: Array  # (N, K)
    time_s: Array  # (N, K)
    cut: NDArray[np.intp]  # (N, K)
    lower_bound_s: Array  # (N,)
    iterations: NDArray[np.intp]  # (N,)

    def rows(self, index: slice) -> "Optimum":
        """Views of some of the problems."""
        return Optimum(
            self.share[index],
            self.time_s[index],
            self.cut[index],
            self.lower_bound_s[index],
            self.iterations[index],
        )


def descend(instance: Instance, start: Array) -> Optimum:
    """Minimise the slowest device's time over shares that sum to 1.

    Parameters
    ----------
    instance : Instance
        The problems.
    start : (N, K) array
        Shares to start from, each row summing to 1.

    Returns
    -------
    Optimum
        With a bound that holds for every split of the band.
    """
    n = len(start)
    result = Optimum(
        share=start.copy(),
        time_s=np.empty(start.shape),
        cut=np.empty(start.shape, dtype=np.intp),
        lower_bound_s=np.empty(n),
        iterations=np.empty(n, dtype=np.intp),
    )
    # What goes wrong in floating point ends in NaN, which meets no tolerance and is left to bisection.
    with np.errstate(all="ignore"):
        for first in range(0, n, CHUNK):
            rows = slice(first, min(first + CHUNK, n))
            _descend_chunk(instance if n <= CHUNK else instance.rows(rows), result.rows(rows))
    result.lower_bound_s[:] *= 1.0 - ROUNDING
    return result


def _descend_chunk(instance: Instance, out: Optimum) -> None:
    active: NDArray[np.intp] | slice = slice(None)
    share = out.share
    for iteration in range(1, MAX_ITERATIONS + 1):
        now = instance.evaluate(share)
        slowest = np.maximum.reduce(now.time_s, axis=1)
        fastest = _fastest(share, now.time_s)
        done = slowest - fastest <= RELATIVE_TOLERANCE * fastest
        settled = np.count_nonzero(done)
        if settled == len(done):
            _store(out, active, share, now, fastest, iteration)
            return
        if 4 * settled >= len(done):
            rest = np.flatnonzero(~done)
            _store(out, active, share, now, fastest, iteration)
            active = rest if isinstance(active, slice) else active[rest]
            instance = instance.rows(rest)
            share, now = share[rest], Evaluation(now.time_s[rest], now.slope_s[rest], now.cut[rest])
        inner_steps = 1 if iteration <= HASTY_ITERATIONS else PATIENT_INNER_STEPS
        share = next_shares(share, now.time_s, now.slope_s, inner_steps)
    _rescue(instance, active, out)


def _store(
    out: Optimum,
    rows: NDArray[np.intp] | slice,
    share: Array,
    now: Evaluation,
    bound: Array,
    iteration: int,
) -> None:
    out.share[rows] = share
    out.time_s[rows] = now.time_s
    out.cut[rows] = now.cut
    out.lower_bound_s[rows] = bound
    out.iterations[rows] = iteration


def _fastest(share: Array, time_s: Array) -> Array:
    """(N,): the least time among the devices that hold a share."""
    if np.minimum.reduce(share, axis=None) <= 0.0:
        time_s = np.where(share > 0.0, time_s, np.inf)
    fastest: Array = np.minimum.reduce(time_s, axis=1)
    return fastest


def _rescue(instance: Instance, rows: NDArray[np.intp] | slice, out: Optimum) -> None:
    """Solve by bisection what the descent could not."""
    start = np.full(out.share[rows].shape, 1.0 / out.share.shape[1])
    share, bound = bracketed_shares(lambda s: instance.evaluate(s).time_s, start)
    now = instance.evaluate(share)
    _store(out, rows, share, now, bound, MAX_ITERATIONS + 1)
