"""The globally optimal cuts and shares of the band, together."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, row_maxima, row_starts
from sfl_env.optimum.descent import Evaluation, descend, proven_bound_s
from sfl_env.optimum.link import Link, Rows, band_of
from sfl_env.optimum.solution import Solution
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.rounds.radio import SMALLEST_SHARE


@dataclass(frozen=True)
class _OwnCuts:
    """Devices that each take their own best cut, for :func:`~sfl_env.optimum.descent.descend`."""

    fixed_s: Array  # (N, K, C)
    uplink_bits: Array  # (N, K, C)
    downlink_bits: Array  # (N, K, C)
    link: Link

    @property
    def entries_per_problem(self) -> int:
        """How many numbers a table of one problem has."""
        _, devices, cuts = self.fixed_s.shape
        return int(devices * cuts)

    def evaluate(self, share: Array) -> Evaluation:
        """Each device's best cut at its share, and its time there."""
        toll = self.link.toll(share)
        table = self.uplink_bits * toll.up[..., None]
        table += self.downlink_bits * toll.down[..., None]
        table += self.fixed_s
        entry = _first_entries(table.shape) + table.argmin(axis=-1)
        return Evaluation(table.take(entry), entry, toll)

    def slope_s(self, now: Evaluation) -> Array:
        """Minus the derivative of the times by the logarithm of the share."""
        slope: Array = self.uplink_bits.take(now.entry) * now.toll.up_slope()
        slope += self.downlink_bits.take(now.entry) * now.toll.down
        return slope

    def cut(self, now: Evaluation) -> NDArray[np.intp]:
        """The cuts that the devices chose."""
        return now.entry - _first_entries(self.fixed_s.shape)

    def rows(self, index: Rows) -> "_OwnCuts":
        """Some of the problems."""
        return _OwnCuts(
            self.fixed_s[index], self.uplink_bits[index], self.downlink_bits[index], self.link.rows(index)
        )


@lru_cache(maxsize=32)
def _first_entries(shape: tuple[int, int, int]) -> NDArray[np.intp]:
    """(N, K): where each device's row starts in a flattened (N, K, C) table."""
    n, k, c = shape
    return row_starts(n * k, c).reshape(n, k)


def own_cuts(problem: RoundProblem) -> _OwnCuts:
    """Return a problem as devices that each take their own best cut."""
    return _OwnCuts(problem.fixed_s, problem.uplink_bits, problem.downlink_bits, band_of(problem).link())


def best_cuts(problem: RoundProblem, share: Array) -> tuple[NDArray[np.intp], Array]:
    """Find each device's own best cut at given shares, and what these prove.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices with C cuts each.
    share : (N, K) array
        Shares of the band; each row sums to 1, or is zero throughout.

    Returns
    -------
    cut : (N, K) integer array
        Each device's best cut, the shallowest of equals.
    lower_bound_s : (N,) array
        No decision, with whatever cuts and shares, is faster than this.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 9.0]]],
    ...     uplink_bits=[[[2e6, 0.0], [2e6, 0.0]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> cut, lower_bound_s = best_cuts(problem, np.array([[0.5, 0.5]]))
    >>> cut, lower_bound_s.round(9)
    (array([[0, 0]]), array([2.]))
    """
    instance = own_cuts(problem)
    now = instance.evaluate(share)
    computing = problem.fixed_s.min(axis=-1).max(axis=-1)
    held = proven_bound_s(share, now.time_s)
    bound = np.where((share > 0.0).any(axis=1), np.maximum(held, computing), computing)
    return instance.cut(now), bound


def solve_exact(problem: RoundProblem) -> Solution:
    """Find the cuts and the split of the band under which the round ends first.

    The result is the global optimum of the mixed problem, and ``lower_bound_s`` proves it.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices with C cuts each.

    Returns
    -------
    Solution
        ``latency_s`` and ``lower_bound_s`` agree to about 1e-10 of their value. A device whose cut needs no
        band holds none.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices do not all work at once: the proof would not hold there.

    Examples
    --------
    Of two devices that could share the band, one better works alone.

    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 9.0]]],
    ...     uplink_bits=[[[2e6, 0.0], [2e6, 0.0]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[1e6],
    ... )
    >>> solution = solve_exact(problem)
    >>> solution.decision.cut, solution.decision.bandwidth_share, solution.latency_s
    (array([[1, 0]]), array([[0., 1.]]), array([2.]))
    """
    problem.require_parallel("solve_exact")
    instance = own_cuts(problem)
    found = descend(instance, instance.link.equal_bits_shares())
    cut, share = found.cut, found.share
    entry = _first_entries(problem.shape) + cut
    sends = problem.uplink_bits.take(entry)
    if np.count_nonzero(sends) < sends.size:
        needs = sends + problem.downlink_bits.take(entry) * instance.link.downlink_s > 0.0
        share = np.where(needs, share, 0.0)
        share /= np.maximum(share.sum(axis=1, keepdims=True), SMALLEST_SHARE)
    latency = row_maxima(found.time_s)
    return Solution(Decision(cut, share), latency, found.lower_bound_s, found.iterations)
