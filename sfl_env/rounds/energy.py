"""What a round costs the devices' batteries."""

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.latency import MODEL_UPLOAD, SMASHED_UPLOAD
from sfl_env.rounds.workload import Workload


def energy_j(
    work: Workload,
    transmit_power_w: Array,
    j_per_flop: Array,
    j_per_sample_flop: Array,
    cut: NDArray[np.intp],
    phases: Array,
) -> Array:
    """Energy of one round, (N, K): joules per FLOP computed plus transmit power over the air time.

    Receiving and waiting are not charged. Every device is taken to take part.

    Parameters
    ----------
    work : Workload
        Costs per cut.
    transmit_power_w : (N, K) array
        Each device's, W.
    j_per_flop : (N, K) array
        Joules of one FLOP.
    j_per_sample_flop : (N, K) array
        Joules of one FLOP on each of the round's samples: energy of a FLOP times samples.
    cut : (N, K) integer array
        Index of each device's cut.
    phases : (7, N, K) array
        Seconds of the phases, from :func:`sfl_env.rounds.latency.phase_latency_s`.
    """
    sending: Array = phases[SMASHED_UPLOAD] + phases[MODEL_UPLOAD]
    sending *= transmit_power_w
    computing = work.device_flops.take(cut)
    computing *= j_per_sample_flop
    sending += computing
    if work.has_flops_per_round:
        sending += work.device_flops_per_round.take(cut) * j_per_flop
    return sending
