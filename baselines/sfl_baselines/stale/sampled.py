"""Rounds whose present channel is not known: what each decision takes in M draws of it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.rounds.radio import SMALLEST_SHARE, Carried, carried


class Times(NamedTuple):
    """Devices' seconds in every draw, (M, N, K), and how they change with the logarithm of the share."""

    seconds: Array
    slope_s: Array  # minus the first derivative
    curvature_s: Array  # the second one by the share, times the share's square; a little less where links bend


@dataclass(frozen=True)
class SampledRounds:
    """N rounds with M draws of their channels.

    Parameters
    ----------
    problem : RoundProblem
        What devices compute and send at each cut; its channel is not looked at. A device that is not asked to take
        part needs nothing in it.
    uplink_snr_hz : (M, N, K) array
        Received power over the noise density in each draw, Hz.
    downlink_full_rate_bps : (M, N, K) array
        Downlink rate with the whole band, bit/s, above 0.
    reached : (M, N, K) boolean array
        Whether a device can be reached; nobody waits for one that cannot.
    outage_wait_s : float
        How long a round lasts in which no device can be reached.

    Examples
    --------
    Two draws, in the second of which the second device's link is weaker:

    >>> problem = RoundProblem(
    ...     fixed_s=np.ones((1, 2, 1)),
    ...     uplink_bits=np.full((1, 2, 1), 1e6),
    ...     downlink_bits=np.zeros((1, 2, 1)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[1e9, 1e9]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> snr_hz, all_reached = np.array([[[3e6, 3e6]], [[3e6, 1e6]]]), np.ones((2, 1, 2), dtype=bool)
    >>> rounds = SampledRounds(problem, snr_hz, np.full((2, 1, 2), 1e9), all_reached, outage_wait_s=10.0)
    >>> rounds.lengths_s(Decision(np.array([[0, 0]]), np.array([[0.5, 0.5]])))
    array([[1.5],
           [2. ]])
    """

    problem: RoundProblem
    uplink_snr_hz: Array
    downlink_full_rate_bps: Array
    reached: NDArray[np.bool_]
    outage_wait_s: float

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "SampledRounds":
        """Some of the N rounds."""
        return SampledRounds(
            self.problem.rows(index),
            self.uplink_snr_hz[:, index],
            self.downlink_full_rate_bps[:, index],
            self.reached[:, index],
            self.outage_wait_s,
        )

    def asked(self) -> NDArray[np.bool_]:
        """(N, K): which devices are asked to take part: those that need the band at any cut."""
        return np.asarray(self.problem.needs_band.any(axis=-1))

    def times(self, decision: Decision) -> Times:
        """Return devices' times under a decision, and their derivatives."""
        fixed_s, up_s, down_s, found = self._parts(decision)
        elasticity = found.elasticity(self.problem.uplink_curve)
        slope = up_s * elasticity
        curvature = slope * (1.0 + elasticity)
        slope += down_s
        curvature += 2.0 * down_s
        slope *= self.reached
        curvature *= self.reached
        return Times((fixed_s + up_s + down_s) * self.reached, slope, curvature)

    def device_s(self, decision: Decision) -> Array:
        """(M, N, K): devices' seconds in each draw; 0 where a device cannot be reached."""
        fixed_s, seconds, down_s, _ = self._parts(decision)
        seconds += fixed_s
        seconds += down_s
        seconds *= self.reached
        return seconds

    def _parts(self, decision: Decision) -> tuple[Array, Array, Array, Carried]:
        """Return seconds without the band (N, K), sending and receiving (M, N, K), and what the band carries."""
        fixed_s, up_bits, down_bits, _ = self.problem.at_cut(decision.cut)
        share = np.maximum(decision.bandwidth_share, SMALLEST_SHARE)
        held_hz = share * self.problem.uplink_bandwidth_hz[:, None]
        found = carried(held_hz, self.uplink_snr_hz, self.problem.uplink_curve, None)
        up_s = up_bits / (held_hz * found.efficiency)
        return fixed_s, up_s, down_bits / (share * self.downlink_full_rate_bps), found

    def lengths_s(self, decision: Decision) -> Array:
        """(M, N): how long the rounds last in each draw."""
        return self.lengths_of(self.device_s(decision))

    def lengths_of(self, device_s: Array) -> Array:
        """(M, N): lengths of rounds whose devices take so long, (M, N, K)."""
        nobody = ~(self.reached & self.asked()).any(axis=-1)
        return np.where(nobody, self.outage_wait_s, device_s.max(axis=-1))

    def mean_s(self, decision: Decision) -> Array:
        """(N,): mean length of the rounds over the draws."""
        mean: Array = self.lengths_s(decision).mean(axis=0)
        return mean
