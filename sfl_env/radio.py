"""Rates of the shared band: frequency-division multiple access (FDMA) in both directions."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SMALLEST_SHARE = 1e-200
"""A share of exactly zero is computed as this one: its rate is as good as zero and no 0/0 appears."""

# Arrays without axes: NumPy takes them up faster than Python's numbers, which counts where K is small.
_BITS_PER_NAT = np.array(1.0 / math.log(2.0))
_SMALLEST_SHARE = np.array(SMALLEST_SHARE)
_HALF, _ONE = np.array(0.5), np.array(1.0)


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
    held_hz = np.maximum(share, _SMALLEST_SHARE) * bandwidth_hz
    rate: Array = held_hz * np.log1p(snr_hz / held_hz)
    rate *= _BITS_PER_NAT
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


def downlink_full_rate_bps(gain: Array, bandwidth_hz: float, power_w: float, noise_w_per_hz: float) -> Array:
    r"""Shannon rate of a device that is given the whole downlink band.

    The base station sends at constant power density, so a share s of the band has s times this rate.

    Parameters
    ----------
    gain : (N, K) array
        Linear power gain of the channel.
    bandwidth_hz, power_w, noise_w_per_hz : float
        Downlink band, the base station's power over all of it, and the noise density.

    Returns
    -------
    (N, K) array
        Bit/s.

    Examples
    --------
    >>> float(downlink_full_rate_bps(np.array([1.0]), 1e6, 3.0, 1e-6)[0])
    2000000.0
    """
    snr_per_gain, full_rate_per_nat_bps = _downlink_scales(bandwidth_hz, power_w, noise_w_per_hz)
    rate: Array = np.log1p(gain * snr_per_gain)
    rate *= full_rate_per_nat_bps
    return rate


@lru_cache(maxsize=32)
def _downlink_scales(bandwidth_hz: float, power_w: float, noise_w_per_hz: float) -> tuple[Array, Array]:
    """Signal-to-noise ratio at a gain of 1, and bit/s of one nat per symbol, as arrays without axes."""
    return np.array(power_w / (noise_w_per_hz * bandwidth_hz)), np.array(bandwidth_hz * _BITS_PER_NAT)
