"""What a round costs the devices' batteries."""

import numpy as np
from numpy.typing import NDArray

from sfl_env.devices.population import DeviceBatch
from sfl_env.latency import MODEL_UPLOAD, SMASHED_UPLOAD, Conditions
from sfl_env.radio import Array
from sfl_env.workload import Workload


def energy_j(work: Workload, devices: DeviceBatch, now: Conditions, cut: NDArray[np.intp], phases: Array) -> Array:
    """Energy of one round, (N, K): joules per FLOP computed plus transmit power over the air time.

    Receiving and waiting are not charged. Every device is taken to take part.

    Parameters
    ----------
    work, now, cut
        As in :func:`sfl_env.latency.phase_latency_s`.
    devices : DeviceBatch
        For their transmit power and energy per FLOP.
    phases : (7, N, K) array
        That function's result.
    """
    sending: Array = phases[SMASHED_UPLOAD] + phases[MODEL_UPLOAD]
    sending *= devices.transmit_power_w
    flops = work.device_flops.take(cut)
    flops *= now.samples
    flops *= devices.energy_j_per_flop
    sending += flops
    return sending
