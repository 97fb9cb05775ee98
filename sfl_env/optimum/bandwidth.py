"""The optimal split of the band once every device has chosen its cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.optimum.descent import Evaluation, Optimum, descend
from sfl_env.optimum.link import Band, Link, Rows, band_of
from sfl_env.optimum.solution import Solution
from sfl_env.rounds.problem import Decision, RoundProblem


@dataclass(frozen=True)
class _FixedCuts:
    """Devices whose cuts are given, for :func:`~sfl_env.optimum.descent.descend`."""

    fixed_s: Array  # (N, K)
    uplink_bits: Array  # (N, K)
    downlink_bits: Array  # (N, K)
    link: Link
    entry: NDArray[np.intp]  # (N, K): all zero, there is nothing to choose

    @property
    def entries_per_problem(self) -> int:
        """How many numbers a table of one problem has."""
        return int(self.fixed_s.shape[1])

    def evaluate(self, share: Array) -> Evaluation:
        """Each device's time at its share."""
        toll = self.link.toll(share)
        time = self.uplink_bits * toll.up
        time += self.downlink_bits * toll.down
        time += self.fixed_s
        return Evaluation(time, self.entry, toll)

    def slope_s(self, now: Evaluation) -> Array:
        """Minus the derivative of the times by the logarithm of the share."""
        slope: Array = self.uplink_bits * now.toll.up_slope()
        slope += self.downlink_bits * now.toll.down
        return slope

    def cut(self, now: Evaluation) -> NDArray[np.intp]:
        """Nothing was chosen."""
        return now.entry

    def rows(self, index: Rows) -> "_FixedCuts":
        """Some of the problems."""
        return _FixedCuts(
            self.fixed_s[index],
            self.uplink_bits[index],
            self.downlink_bits[index],
            self.link.rows(index),
            self.entry[index],
        )


def split_band(
    fixed_s: Array,
    uplink_bits: Array,
    downlink_bits: Array,
    band: Band,
) -> Optimum:
    """Split the band so that all devices that need it finish together.

    Parameters
    ----------
    fixed_s : (N, K) array
        Seconds that do not depend on the band.
    uplink_bits, downlink_bits : (N, K) array
        Bits that cross the air.
    band : Band
        The band, and what it carries for each device.

    Returns
    -------
    Optimum
        Devices that need no band get a share of 0; the shares of the others sum to 1.

    Examples
    --------
    >>> from sfl_env.rounds.curves import SHANNON
    >>> split = split_band(
    ...     fixed_s=np.array([[1.0, 1.0, 5.0]]),
    ...     uplink_bits=np.array([[2e6, 2e6, 0.0]]),
    ...     downlink_bits=np.zeros((1, 3)),
    ...     band=Band(
    ...         uplink_snr_hz=np.full((1, 3), 3e6),
    ...         downlink_full_rate_bps=np.full((1, 3), np.inf),
    ...         uplink_bandwidth_hz=np.array([2e6]),
    ...         uplink_curve=SHANNON,
    ...         levels=None,
    ...     ),
    ... )
    >>> split.share, split.time_s, split.lower_bound_s.round(9)
    (array([[0.5, 0.5, 0. ]]), array([[2., 2., 5.]]), array([5.]))
    """
    link = band.link()
    entry = np.zeros(fixed_s.shape, dtype=np.intp)
    needs = (uplink_bits > 0.0) | (downlink_bits * link.downlink_s > 0.0)
    if np.count_nonzero(needs) == needs.size:
        instance = _FixedCuts(fixed_s, uplink_bits, downlink_bits, link, entry)
        return descend(instance, link.equal_bits_shares())
    # Nobody waits for a device that is ready at once, so those without need of the band are never given any.
    computing = np.where(needs, fixed_s, 0.0)
    start = link.equal_bits_shares() * needs
    start /= np.where(needs.any(axis=1), start.sum(axis=1), 1.0)[:, None]
    split = descend(_FixedCuts(computing, uplink_bits, downlink_bits, link, entry), start)
    without = np.where(needs, 0.0, fixed_s)
    bound = np.where(needs.any(axis=1), split.lower_bound_s, 0.0)
    return split._replace(
        share=np.where(needs, split.share, 0.0),
        time_s=np.where(needs, split.time_s, fixed_s),
        lower_bound_s=np.maximum(bound, without.max(axis=1)),
    )


def allocate_bandwidth(problem: RoundProblem, cut: NDArray[np.intp]) -> Solution:
    """Split the band optimally for given cuts.

    Every device that needs the band finishes at the same time; a device whose cut needs none gets none.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices.
    cut : (N, K) integer array
        The cut of every device, counted from 0.

    Returns
    -------
    Solution
        Its ``lower_bound_s`` holds for every split of the band under these cuts.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices do not all work at once.
    DecisionError
        If a cut is misshapen, not there, or does not fit into its device's memory.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 2.0]]],
    ...     uplink_bits=[[[2e6, 1e6], [2e6, 1e6]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> solution = allocate_bandwidth(problem, np.array([[0, 0]]))
    >>> solution.decision.bandwidth_share, solution.latency_s
    (array([[0.5, 0.5]]), array([2.]))
    """
    problem.require_parallel("allocate_bandwidth")
    cut = problem.check_cut(cut)
    fixed, up, down, _ = problem.at_cut(cut)
    split = split_band(fixed, up, down, band_of(problem))
    return Solution(Decision(cut, split.share), split.time_s.max(axis=1), split.lower_bound_s, split.iterations)
