"""Rates of the shared band: frequency-division multiple access (FDMA) in both directions."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sfl_env.arrays import Array, constant

SMALLEST_SHARE = 1e-200
"""A share of exactly zero is computed as this one: its rate is as good as zero and no 0/0 appears."""

NATS_PER_BIT = constant(math.log(2.0))
_SMALLEST_SHARE = constant(SMALLEST_SHARE)
_HALF, _ONE = constant(0.5), constant(1.0)


def uplink_rate_bps(share: Array, bandwidth_hz: Array | float, snr_hz: Array) -> Array:
    r"""Shannon rate of a device that concentrates its power on the band it holds.

    .. math:: R = b \log_2(1 + p g / (N_0 b)), \quad b = s B

    The noise grows with the band held, so the rate is concave in the share and saturates at
    :math:`p g / (N_0 \ln 2)`.

    Parameters
    ----------
    share : (N, K) array
        Share of the band, 0 to 1.
    bandwidth_hz : (N, 1) array or float
        The whole uplink band, Hz.
    snr_hz : (N, K) array
        Received power over the noise density, p g / N0, Hz.

    Returns
    -------
    (N, K) array
        Bit/s.

    Examples
    --------
    >>> float(uplink_rate_bps(np.array([0.5]), 2e6, np.array([3e6]))[0])
    2000000.0
    """
    rate = shannon_rate_nats(np.maximum(share, _SMALLEST_SHARE) * bandwidth_hz, snr_hz)
    rate /= NATS_PER_BIT
    return rate


def shannon_rate_nats(held_hz: Array, snr_hz: Array) -> Array:
    """Shannon rate on a band that is held, in nat/s; the band has to be above 0.

    Examples
    --------
    >>> float(shannon_rate_nats(np.array([1e6]), np.array([3e6]))[0] / NATS_PER_BIT)
    2000000.0
    """
    rate = snr_hz / held_hz
    np.log1p(rate, out=rate)
    rate *= held_hz
    return rate


def rate_elasticity(snr: Array, log_snr: Array) -> Array:
    r"""Elasticity of the uplink rate to the share, d ln R / d ln s.

    It falls from 1 (band-limited: twice the band, twice the rate) to 0 (power-limited: more band brings
    nothing) as the signal-to-noise ratio y falls:

    .. math:: 1 - \frac{y}{(1 + y) \ln(1 + y)}

    Parameters
    ----------
    snr : (N, K) array
        Signal-to-noise ratio y on the band held.
    log_snr : (N, K) array
        ln(1 + y), which callers have already.

    Returns
    -------
    (N, K) array
        From 0 to 1.

    Examples
    --------
    >>> snr = np.array([3.0])
    >>> rate_elasticity(snr, np.log1p(snr)).round(4)
    array([0.459])
    """
    saturation = snr / (_ONE + snr)
    # Half the saturation bounds the elasticity from below and is sharp for a tiny SNR, where the difference is
    # nothing but rounding.
    elasticity: Array = np.maximum(_ONE - saturation / log_snr, _HALF * saturation)
    return elasticity


@dataclass(frozen=True)
class Downlink:
    r"""The base station's side: constant power density over the whole downlink band.

    A device with the share s of the band so has s times the rate that it would have with all of it.

    Parameters
    ----------
    bandwidth_hz, power_w, noise_w_per_hz : float
        Downlink band, the base station's power over all of it, and the noise density.

    Examples
    --------
    >>> downlink = Downlink(bandwidth_hz=1e6, power_w=3.0, noise_w_per_hz=1e-6)
    >>> float(downlink.full_rate_bps(np.array([1.0]))[0])
    2000000.0
    """

    bandwidth_hz: float
    power_w: float
    noise_w_per_hz: float

    @cached_property
    def _snr_per_gain(self) -> Array:
        return constant(self.power_w / (self.noise_w_per_hz * self.bandwidth_hz))

    @cached_property
    def _full_rate_per_nat_bps(self) -> Array:
        return np.array(self.bandwidth_hz / NATS_PER_BIT)

    def full_rate_bps(self, gain: Array) -> Array:
        r"""Shannon rate of a device that is given the whole band, :math:`B \log_2(1 + P g / (N_0 B))`.

        Parameters
        ----------
        gain : (N, K) array
            Linear power gain of the channel.

        Returns
        -------
        (N, K) array
            Bit/s.
        """
        rate = gain * self._snr_per_gain
        np.log1p(rate, out=rate)
        rate *= self._full_rate_per_nat_bps
        return rate
