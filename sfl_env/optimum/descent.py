"""The loop that both solvers share: descend until slowest and fastest device agree, and prove the bound.

The proof takes one evaluation: let shares s sum to 1 and let L be the least time among the devices that
hold a positive share. For a round shorter than L each of these needs more than it holds and the others
need no less than 0, so together they need more than the band. L is therefore a lower bound on every
decision, and when the slowest device is no slower than L, the decision is optimal.
"""

from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_maxima, row_minima
from sfl_env.optimum.bracket import bracketed_shares
from sfl_env.optimum.equalise import next_shares, refined_shares
from sfl_env.optimum.link import Rows, Toll

_RELATIVE_TOLERANCE = 1e-10
"""The descent ends when slowest and fastest device differ by less than this."""

_ROUNDING = 1e-13
"""Bounds are lowered by this share of themselves, which covers the rounding of their own evaluation."""

MAX_ITERATIONS = 60
"""What has not met the tolerance by then goes to bisection."""

_UNCHECKED_ITERATIONS = 3
"""First iterations, in which hardly any problem settles: looking costs more than another one saves."""

_DISTANT_ITERATIONS = 2
"""First iterations, in which devices do not yet nearly agree."""

_HASTY_ITERATIONS = 5
"""Iterations with a single Newton step for the common time, which nearly always are all."""

_PATIENT_INNER_STEPS = 20
"""Newton steps for the common time in later iterations, as many as make the descent monotone."""

_CHUNK_ENTRIES = 40_000
"""Table entries in work at once: the tables then stay in the processor's second-level cache."""


_TOLERATED, _ROUNDED = constant(1.0 + _RELATIVE_TOLERANCE), constant(1.0 - _ROUNDING)


class Evaluation(NamedTuple):
    """Times at given shares."""

    time_s: Array  # (N, K)
    entry: NDArray[np.intp]  # (N, K): what each device chose, as an index into the flattened tables
    toll: Toll


class Instance(Protocol):
    """N problems of splitting a band among K devices whose times fall with their shares."""

    @property
    def entries_per_problem(self) -> int:
        """How many numbers a table of one problem has."""
        ...

    def evaluate(self, share: Array) -> Evaluation:
        """Each device's time and choice at its share."""
        ...

    def slope_s(self, now: Evaluation) -> Array:
        """Minus the derivative of the times by the logarithm of the share."""
        ...

    def cut(self, now: Evaluation) -> NDArray[np.intp]:
        """The cuts that the devices chose."""
        ...

    def rows(self, index: Rows) -> Self:
        """Some of the problems."""
        ...


class Optimum(NamedTuple):
    """The shares that make the slowest device fastest."""

    share: Array  # (N, K)
    time_s: Array  # (N, K)
    cut: NDArray[np.intp]  # (N, K)
    lower_bound_s: Array  # (N,)
    iterations: NDArray[np.intp]  # (N,)


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
    chunk = max(_CHUNK_ENTRIES // instance.entries_per_problem, 1)
    # What goes wrong in floating point ends in NaN, which meets no tolerance and is left to bisection.
    with np.errstate(all="ignore"):
        if n <= chunk:
            return _descend_chunk(instance, start)
        pieces = [slice(first, first + chunk) for first in range(0, n, chunk)]
        parts = [_descend_chunk(instance.rows(piece), start[piece]) for piece in pieces]
    return Optimum(
        np.concatenate([part.share for part in parts]),
        np.concatenate([part.time_s for part in parts]),
        np.concatenate([part.cut for part in parts]),
        np.concatenate([part.lower_bound_s for part in parts]),
        np.concatenate([part.iterations for part in parts]),
    )


def _descend_chunk(instance: Instance, share: Array, done_before: int = 0) -> Optimum:
    """Descend from the given shares; problems that settle early leave, so that the others go on alone."""
    n = len(share)
    for iteration in range(done_before + 1, MAX_ITERATIONS + 1):
        now = instance.evaluate(share)
        if iteration <= _UNCHECKED_ITERATIONS:
            share = _step(share, now.time_s, instance.slope_s(now), iteration)
            continue
        slowest = row_maxima(now.time_s)
        fastest = _fastest(share, now.time_s)
        settled = slowest <= fastest * _TOLERATED
        count = np.count_nonzero(settled)
        if count == n:
            return _optimum(instance, share, now, fastest, iteration)
        shares = _step(share, now.time_s, instance.slope_s(now), iteration)
        if 4 * count >= n:
            # Recursion is no deeper than log(n) to the base 4/3: each level has lost a quarter of its rows.
            result = _optimum(instance, share, now, fastest, iteration)
            rest = np.flatnonzero(~settled)
            for whole, part in zip(
                result, _descend_chunk(instance.rows(rest), shares[rest], iteration), strict=True
            ):
                whole[rest] = part
            return result
        share = shares
    return _bisect(instance, share)


def _step(share: Array, time_s: Array, slope_s: Array, iteration: int) -> Array:
    if iteration > _HASTY_ITERATIONS:
        return next_shares(share, time_s, slope_s, _PATIENT_INNER_STEPS)
    refined = refined_shares(share, time_s, slope_s) if iteration > _DISTANT_ITERATIONS else None
    return next_shares(share, time_s, slope_s, inner_steps=1) if refined is None else refined


def _optimum(instance: Instance, share: Array, now: Evaluation, bound: Array, iteration: int) -> Optimum:
    iterations = np.array([iteration]).repeat(len(bound))
    return Optimum(share, now.time_s, instance.cut(now), bound * _ROUNDED, iterations)


def _fastest(share: Array, time_s: Array) -> Array:
    """(N,): the least time among the devices that hold a share."""
    if np.count_nonzero(share) < share.size:
        time_s = np.where(share > 0.0, time_s, np.inf)
    return row_minima(time_s)


def proven_bound_s(share: Array, time_s: Array) -> Array:
    """(N,): what the times at shares that sum to 1 prove to be out of reach, seconds.

    Infinite where no device holds a share, which proves nothing.
    """
    bound: Array = _fastest(share, time_s) * _ROUNDED
    return bound


def _bisect(instance: Instance, share: Array) -> Optimum:
    """Solve by bisection what the descent could not."""
    start = np.full(share.shape, 1.0 / share.shape[1])
    best, bound = bracketed_shares(lambda shares: instance.evaluate(shares).time_s, start)
    return _optimum(instance, best, instance.evaluate(best), bound, MAX_ITERATIONS + 1)
