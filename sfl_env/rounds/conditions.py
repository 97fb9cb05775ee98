"""What a round's length depends on besides the decision: the devices' present state, and what they share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.curves import RateCurve
from sfl_env.rounds.fading_levels import SmallScaleFading


class LargeScale(NamedTuple):
    """Links without small-scale fading, as a base station knows them by averaging."""

    uplink_snr_hz: Array  # (N, K) received power over the noise density
    downlink_sinr: Array  # (N, K) ratio of signal to noise and interference


class Conditions(NamedTuple):
    """Everything about the devices that a round's length depends on, besides the decision."""

    uplink_snr_hz: Array  # (N, K) received power over the noise density
    downlink_full_rate_bps: Array  # (N, K) downlink rate with the whole band
    forward_flops_per_s: Array  # (N, K) of the forward pass now
    forward_bytes_per_s: Array  # (N, K) that the forward pass moves through memory now; infinite: for nothing
    backward_flops_per_s: Array  # (N, K) the same of the backward pass
    backward_bytes_per_s: Array  # (N, K)
    samples: Array  # (N, K) samples a round, E n_k
    deepest_cut: NDArray[np.intp]  # (N, K) index of the deepest cut that fits the device's memory
    takes_part: NDArray[np.bool_] | None  # (N, K) who can be reached and has charge left; None: all
    fading: SmallScaleFading  # that the round's rates are averaged over
    large_scale: LargeScale | None = None  # of a channel that is observed late; None of one that is known

    def rows(self, index: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "Conditions":
        """Return those of some of the N environments."""
        *arrays, fading, large_scale = self
        part = [values if values is None else values[index] for values in arrays]
        links = None if large_scale is None else LargeScale(*(values[index] for values in large_scale))
        return Conditions._make([*part, SmallScaleFading(fading.rician_k[index]), links])

    def at_every_cut(self) -> "Conditions":
        """Return the arrays as (N, K, 1), to be broadcast against the cuts; what tells of the fading stays."""
        *arrays, fading, large_scale = self
        wide = [values if values is None else values[..., None] for values in arrays]
        return Conditions._make([*wide, fading, large_scale])


class Resources(NamedTuple):
    """What the devices share; numbers, or constants of :mod:`sfl_env.arrays`."""

    uplink_bandwidth_hz: float | Array
    server_flops_per_s: float | Array  # for each device
    uplink_curve: RateCurve
    outage_wait_s: float | Array  # length of a round in which no device takes part
