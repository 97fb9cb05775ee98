"""What a share of the band is worth to a device, prepared for many evaluations."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_sums
from sfl_env.rounds.curves import RateCurve
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.radio import SMALLEST_SHARE, Carried, carried

Rows = slice | NDArray[np.intp]

_ONE, _SMALLEST_SHARE = constant(1.0), constant(SMALLEST_SHARE)

_LEAST_ELASTICITY = 0.02
"""Where more band brings nothing at all, the solvers still take steps as if it brought this little."""


class Toll(NamedTuple):
    """Seconds per bit at given shares, and what their slopes are computed from."""

    up: Array  # (N, K) seconds per bit sent
    down: Array  # (N, K) seconds per bit received
    carried: Carried
    curve: RateCurve

    def up_slope(self) -> Array:
        """(N, K): minus d up / d ln share, seconds per bit. That of ``down`` is ``down`` itself."""
        slope = self.carried.elasticity(self.curve)
        slope[slope <= 0.0] = _LEAST_ELASTICITY
        slope *= self.up
        return slope


class Link(NamedTuple):
    """The radio side of N problems of K devices."""

    bandwidth_hz: Array  # (N, K) the whole uplink band
    snr_hz: Array  # (N, K) received power over the noise density
    downlink_s: Array  # (N, K) seconds per bit received, with the whole band
    curve: RateCurve
    levels: Array | None  # (Q, N, K) of the fading that the round averages over

    def toll(self, share: Array) -> Toll:
        """Seconds per bit at given shares, the inverse of :func:`sfl_env.rounds.radio.uplink_rate_bps`."""
        held = np.maximum(share, _SMALLEST_SHARE)
        held_hz = held * self.bandwidth_hz
        found = carried(held_hz, self.snr_hz, self.curve, self.levels)
        held_hz *= found.efficiency
        return Toll(_ONE / held_hz, self.downlink_s / held, found, self.curve)

    def equal_bits_shares(self) -> Array:
        """Shares that sum to 1 and let all devices send about equally many bits: a start for the solvers."""
        # With equal shares, what a device needs for a bit goes as the reciprocal of this; the floor is far
        # below what a rate is worth computing with.
        equal_hz = self.bandwidth_hz * (1.0 / self.snr_hz.shape[1])
        efficiency = carried(equal_hz, self.snr_hz, self.curve, self.levels).efficiency
        shares: Array = 1.0 / np.maximum(efficiency, _SMALLEST_SHARE)
        shares /= shares.dot(row_sums(shares.shape[1]))
        return shares

    def rows(self, index: Rows) -> "Link":
        """Some of the problems."""
        levels = None if self.levels is None else self.levels[:, index]
        return Link(self.bandwidth_hz[index], self.snr_hz[index], self.downlink_s[index], self.curve, levels)


class Band(NamedTuple):
    """The band as problems give it, see :class:`sfl_env.rounds.problem.RoundProblem`."""

    uplink_snr_hz: Array  # (N, K)
    downlink_full_rate_bps: Array  # (N, K)
    uplink_bandwidth_hz: Array  # (N,)
    uplink_curve: RateCurve
    levels: Array | None  # (Q, N, K) of the fading that the round averages over

    def link(self) -> Link:
        """Prepare it for many evaluations."""
        bandwidth_hz = np.empty(self.uplink_snr_hz.shape)
        bandwidth_hz[...] = self.uplink_bandwidth_hz[:, None]
        downlink_s = np.reciprocal(self.downlink_full_rate_bps)
        return Link(bandwidth_hz, self.uplink_snr_hz, downlink_s, self.uplink_curve, self.levels)


def band_of(problem: RoundProblem) -> Band:
    """Return the band of a problem."""
    return Band(
        problem.uplink_snr_hz,
        problem.downlink_full_rate_bps,
        problem.uplink_bandwidth_hz,
        problem.uplink_curve,
        problem.fading_levels,
    )
