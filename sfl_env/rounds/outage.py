"""Which devices the base station can reach in a round: outage is a state of a link and not an endless transfer."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant
from sfl_env.errors import ScenarioError
from sfl_env.rounds.curves import RateCurve

LEAST_RATE_BPS = 100.0
"""A link that carries less with the whole band, in either direction, is out."""

LEAST_SNR_HZ = 1.0
"""A link that is out is computed with at least this received power over the noise density, Hz: observations tell
no less, and the times that nobody waits for stay numbers."""

_LEAST_RATE_BPS = constant(LEAST_RATE_BPS)
_HIGHEST_SINR = 1e20
_SNR_RANGE_HZ = (1e-30, 1e30)
_BISECTIONS = 200


def require_reach(direction: str, curve: RateCurve, bandwidth_hz: float) -> None:
    """Raise if no device could ever be reached, however good its link.

    Parameters
    ----------
    direction : {"uplink", "downlink"}
        For messages.
    curve : RateCurve
        Of that direction.
    bandwidth_hz : float
        The whole band, Hz.

    Raises
    ------
    ScenarioError
        If the whole band carries less than :data:`LEAST_RATE_BPS` at the curve's end.

    Examples
    --------
    >>> from sfl_env.rounds.curves import TruncatedShannon
    >>> require_reach("uplink", TruncatedShannon(attenuation=1e-6), 10e6)
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: The whole uplink band of 1e+07 Hz carries 73.2 bit/s at best, and a link that ...
    """
    best_bps = bandwidth_hz * float(curve.efficiency(np.array([_HIGHEST_SINR]))[0])
    if best_bps < LEAST_RATE_BPS:
        raise ScenarioError(
            f"The whole {direction} band of {bandwidth_hz:g} Hz carries {best_bps:.3g} bit/s at best, and a link "
            f"that carries less than {LEAST_RATE_BPS:g} is out: no device could ever be reached. Widen the band, "
            f"or raise {direction}_attenuation or the curve of your own."
        )


@dataclass(frozen=True)
class Outage:
    """Tells which links are out, by their mean ratio of signal to noise.

    A link is out if not even the narrowest allocation brings the device to where the uplink's curve starts, or if
    the whole band carries less than :data:`LEAST_RATE_BPS` in one of the directions.

    Parameters
    ----------
    curve : RateCurve
        Of the uplink.
    bandwidth_hz : float
        The whole uplink band, Hz.
    narrowest_hz : float
        The narrowest band on which a device can send, Hz.

    Examples
    --------
    >>> from sfl_env.rounds.curves import TruncatedShannon
    >>> outage = Outage(TruncatedShannon(min_sinr_db=-10.0), bandwidth_hz=20e6, narrowest_hz=360e3)
    >>> round(outage.least_snr_hz)
    36000
    """

    curve: RateCurve
    bandwidth_hz: float
    narrowest_hz: float

    @cached_property
    def least_snr_hz(self) -> float:
        """The received power over the noise density, Hz, below which an uplink is out."""
        low, high = (math.log(end) for end in _SNR_RANGE_HZ)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if self._carries(math.exp(middle)) else (middle, high)
        return math.exp(high)

    @cached_property
    def _least_snr_hz(self) -> Array:
        return constant(self.least_snr_hz)

    def reached(self, uplink_snr_hz: Array, downlink_full_rate_bps: Array) -> NDArray[np.bool_] | None:
        """(N, K): which devices can be reached; None where all can, as nearly always."""
        reached: NDArray[np.bool_] = uplink_snr_hz >= self._least_snr_hz
        reached &= downlink_full_rate_bps >= _LEAST_RATE_BPS
        return None if np.count_nonzero(reached) == reached.size else reached

    def _carries(self, snr_hz: float) -> bool:
        held, narrow = np.array([snr_hz / self.bandwidth_hz]), np.array([snr_hz / self.narrowest_hz])
        enough = self.bandwidth_hz * self.curve.held_efficiency(held)[0] >= LEAST_RATE_BPS
        return bool(enough and self.curve.efficiency(narrow)[0] > 0.0)
