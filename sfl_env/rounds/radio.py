"""Rates of the shared band: frequency-division multiple access (FDMA) in both directions."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array, constant
from sfl_env.rounds.curves import SHANNON, RateCurve
from sfl_env.rounds.fading_levels import level_weights

SMALLEST_SHARE = 1e-200
"""A share of exactly zero is computed as this one: its rate is as good as zero and no 0/0 appears."""

_SMALLEST_SHARE = constant(SMALLEST_SHARE)


class Carried(NamedTuple):
    """What bands that are held carry, on links that fade or not."""

    sinr: Array  # (N, K) on the band held, or (Q, N, K) at each of Q levels of fading
    level_efficiency: Array  # bit/s/Hz there, shaped as sinr
    efficiency: Array  # (N, K) bit/s for each Hz held, the mean over the levels

    def elasticity(self, curve: RateCurve) -> Array:
        """(N, K): d ln R / d ln b of the uplink rate R on the band b held."""
        elasticity = curve.elasticity(self.sinr, self.level_efficiency)
        if elasticity.ndim == self.efficiency.ndim:
            return elasticity
        elasticity *= self.level_efficiency
        mean = mean_over_levels(elasticity)
        mean /= self.efficiency
        return mean


def carried(held_hz: Array, snr_hz: Array, curve: RateCurve, levels: Array | None) -> Carried:
    r"""What an uplink carries for each Hz of the band that a device holds.

    The device concentrates its power on the band it holds: on b Hz the ratio is :math:`p g / (N_0 b)`, so the
    noise grows with the band and each Hz carries less. Small-scale fading within the round is averaged over.

    Parameters
    ----------
    held_hz : (N, K) array
        The band held, above 0, Hz.
    snr_hz : (N, K) array
        Received power over the density of noise and interference, p g / N0, Hz.
    curve : RateCurve
        What a ratio carries.
    levels : (Q, N, K) array or None
        Levels of power that the round averages over, from :func:`~sfl_env.rounds.fading_levels.fading_levels`.

    Examples
    --------
    >>> carried(np.array([[1e6]]), np.array([[3e6]]), SHANNON, None).efficiency
    array([[2.]])
    """
    sinr = snr_hz / held_hz
    if levels is None:
        efficiency = curve.held_efficiency(sinr)
        return Carried(sinr, efficiency, efficiency)
    sinr = levels * sinr
    efficiency = curve.held_efficiency(sinr)
    return Carried(sinr, efficiency, mean_over_levels(efficiency))


def mean_over_levels(values: Array) -> Array:
    """Mean (N, K) of values (Q, N, K) at each level of fading."""
    mean: Array = level_weights().dot(values.reshape(len(values), -1)).reshape(values.shape[1:])
    return mean


def uplink_rate_bps(
    share: Array, bandwidth_hz: Array | float, snr_hz: Array, curve: RateCurve, levels: Array | None = None
) -> Array:
    r"""Rate of a device that concentrates its power on the band it holds.

    Parameters
    ----------
    share : (N, K) array
        Share of the band, 0 to 1.
    bandwidth_hz : (N, 1) array or float
        The whole uplink band, Hz.
    snr_hz, curve, levels
        As for :func:`carried`.

    Returns
    -------
    (N, K) array
        Bit/s.

    Examples
    --------
    >>> float(uplink_rate_bps(np.array([0.5]), 2e6, np.array([3e6]), SHANNON)[0])
    2000000.0
    """
    held_hz = np.maximum(share, _SMALLEST_SHARE) * bandwidth_hz
    held_hz *= carried(held_hz, snr_hz, curve, levels).efficiency
    return held_hz


@dataclass(frozen=True)
class Downlink:
    r"""The base station's side: constant power density over the whole downlink band.

    A device with the share s of the band so has s times the rate that it would have with all of it.

    Parameters
    ----------
    bandwidth_hz, power_w, noise_w_per_hz : float
        Downlink band, the base station's power over all of it, and the density of noise and interference.
    curve : RateCurve
        What a ratio carries.

    Examples
    --------
    >>> downlink = Downlink(bandwidth_hz=1e6, power_w=3.0, noise_w_per_hz=1e-6)
    >>> float(downlink.full_rate_bps(np.array([1.0]))[0])
    2000000.0
    """

    bandwidth_hz: float
    power_w: float
    noise_w_per_hz: float
    curve: RateCurve = SHANNON

    @cached_property
    def _snr_per_gain(self) -> Array:
        return constant(self.power_w / (self.noise_w_per_hz * self.bandwidth_hz))

    def full_rate_bps(self, gain: Array, levels: Array | None = None) -> Array:
        r"""Rate of a device that is given the whole band, :math:`B\,e(P g / (N_0 B))`.

        Where a level of fading takes the ratio below the curve's start, the base station serves the device on as
        much of its band as brings it there, as a device does in the uplink. A device whose mean ratio lies below
        the start is out.

        Parameters
        ----------
        gain : (N, K) array
            Linear power gain of the channel, without the fading that the round averages over.
        levels : (Q, N, K) array or None
            Levels of that fading.

        Returns
        -------
        (N, K) array
            Bit/s; 0 where nothing can be decoded.
        """
        return self.rate_at(self.sinr(gain), levels)

    def sinr(self, gain: Array) -> Array:
        """Ratio of signal to noise and interference, whatever the band, of links with gains of any shape."""
        ratio: Array = gain * self._snr_per_gain
        return ratio

    def rate_at(self, sinr: Array, levels: Array | None = None) -> Array:
        """Bit/s of a device that is given the whole band, as :meth:`full_rate_bps`, at a mean ratio."""
        rate = self.curve.efficiency(sinr)
        if levels is not None:
            rate = np.where(rate > 0.0, mean_over_levels(self.curve.held_efficiency(levels * sinr)), 0.0)
        return rate * self.bandwidth_hz  # in an array of its own: what a user's curve returns may be the curve's
