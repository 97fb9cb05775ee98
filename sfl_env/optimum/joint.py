"""The globally optimal cuts and shares of the band, together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.optimum.descent import Evaluation, descend
from sfl_env.optimum.solution import Solution
from sfl_env.problem import Decision, RoundProblem
from sfl_env.radio import SMALLEST_SHARE, Array, uplink_rate_and_elasticity


@dataclass(frozen=True)
class OwnCuts:
    """Devices that each take their own best cut, for :func:`~sfl_env.optimum.descent.descend`."""

    fixed_s: Array  # (N, K, C)
    uplink_bits: Array  # (N, K, C)
    downlink_bits: Array  # (N, K, C)
    snr_hz: Array  # (N, K)
    seconds_per_downlink_bit: Array  # (N, K) with the whole band
    bandwidth_hz: Array  # (N, 1)

    def evaluate(self, share: Array) -> Evaluation:
        """Each device's best cut at its share, with its time and slope."""
        rate, elasticity = uplink_rate_and_elasticity(share, self.bandwidth_hz, self.snr_hz)
        per_up = 1.0 / rate
        per_down = self.seconds_per_downlink_bit / np.maximum(share, SMALLEST_SHARE)
        table = self.uplink_bits * per_up[..., None]
        table += self.downlink_bits * per_down[..., None]
        table += self.fixed_s
        cut = table.argmin(axis=-1)
        flat = cut + np.arange(0, table.size, table.shape[-1]).reshape(cut.shape)
        slope = self.uplink_bits.take(flat)
        slope *= per_up
        slope *= elasticity
        down = self.downlink_bits.take(flat)
        down *= per_down
        slope += down
        return Evaluation(table.take(flat), slope, cut)

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "OwnCuts":
        """Some of the problems."""
        return OwnCuts(
            self.fixed_s[index],
            self.uplink_bits[index],
            self.downlink_bits[index],
            self.snr_hz[index],
            self.seconds_per_downlink_bit[index],
            self.bandwidth_hz[index],
        )


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
        ``latency_s`` and ``lower_bound_s`` agree to about 1e-11 of their value. A device whose cut needs no
        band holds none.

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
    n, k, _ = problem.shape
    instance = OwnCuts(
        problem.fixed_s,
        problem.uplink_bits,
        problem.downlink_bits,
        problem.uplink_snr_hz,
        1.0 / problem.downlink_full_rate_bps,
        problem.uplink_bandwidth_hz[:, None],
    )
    found = descend(instance, np.full((n, k), 1.0 / k))
    _, _, _, needs = problem.at_cut(found.cut)
    share, time = found.share, found.time_s
    if not needs.all():
        share = np.where(needs, share, 0.0)
        share /= np.maximum(share.sum(axis=1), SMALLEST_SHARE)[:, None]
    return Solution(Decision(found.cut, share), time.max(axis=1), found.lower_bound_s, found.iterations)
