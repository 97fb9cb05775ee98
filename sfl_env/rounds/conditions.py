"""What a round's length depends on besides the decision: the devices' present state, and what they share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.curves import RateCurve
from sfl_env.rounds.fading_levels import SmallScaleFading


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

    def at_every_cut(self) -> "Conditions":
        """Return the arrays as (N, K, 1), to be broadcast against the cuts; the fading stays as it is."""
        *arrays, fading = self
        return Conditions._make([*(values if values is None else values[..., None] for values in arrays), fading])


class Resources(NamedTuple):
    """What the devices share; numbers, or constants of :mod:`sfl_env.arrays`."""

    uplink_bandwidth_hz: float | Array
    server_flops_per_s: float | Array  # for each device
    uplink_curve: RateCurve
    outage_wait_s: float | Array  # length of a round in which no device takes part
