"""What a share of the band is worth to a device, prepared for many evaluations."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant, row_sums
from sfl_env.rounds.radio import NATS_PER_BIT, SMALLEST_SHARE, rate_elasticity

Rows = slice | NDArray[np.intp]

_SMALLEST_SHARE = constant(SMALLEST_SHARE)


class Toll(NamedTuple):
    """Seconds per bit at given shares, and what their slopes are computed from."""

    up: Array  # (N, K) seconds per bit sent
    down: Array  # (N, K) seconds per bit received
    snr: Array  # (N, K) on the band held
    log_snr: Array  # (N, K) ln(1 + snr)

    def up_slope(self) -> Array:
        """(N, K): minus d up / d ln share, seconds per bit. That of ``down`` is ``down`` itself."""
        return self.up * rate_elasticity(self.snr, self.log_snr)


class Link(NamedTuple):
    """The radio side of N problems of K devices."""

    full_snr: Array  # (N, K) signal-to-noise ratio with the whole band
    nat_s: Array  # (N, K) seconds per bit where the whole band carries one nat per symbol
    downlink_s: Array  # (N, K) seconds per bit received, with the whole band

    def toll(self, share: Array) -> Toll:
        """Seconds per bit at given shares, the inverse of :func:`sfl_env.rounds.radio.uplink_rate_bps`."""
        held = np.maximum(share, _SMALLEST_SHARE)
        snr = self.full_snr / held
        log_snr = np.log1p(snr)
        return Toll(self.nat_s / (held * log_snr), self.downlink_s / held, snr, log_snr)

    def equal_bits_shares(self) -> Array:
        """Shares that sum to 1 and let all devices send about equally many bits: a start for the solvers."""
        # With equal shares, what a device needs for a bit goes as the reciprocal of this; the floor is far
        # below what a rate is worth computing with.
        log_snr = np.log1p(self.full_snr * float(self.full_snr.shape[1]))
        shares: Array = 1.0 / np.maximum(log_snr, _SMALLEST_SHARE)
        shares /= shares.dot(row_sums(shares.shape[1]))
        return shares

    def rows(self, index: Rows) -> "Link":
        """Some of the problems."""
        return Link(self.full_snr[index], self.nat_s[index], self.downlink_s[index])


def make_link(uplink_snr_hz: Array, downlink_full_rate_bps: Array, uplink_bandwidth_hz: Array) -> Link:
    """Prepare the links of problems given as in :class:`sfl_env.rounds.problem.RoundProblem`."""
    per_hz = np.empty(uplink_snr_hz.shape)
    per_hz[...] = (1.0 / uplink_bandwidth_hz)[:, None]
    return Link(uplink_snr_hz * per_hz, NATS_PER_BIT * per_hz, np.reciprocal(downlink_full_rate_bps))
