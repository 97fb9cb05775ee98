"""Rounds in stages, in each of which the devices wait for each other."""

from collections.abc import Mapping

import numpy as np

from sfl_env.arrays import Array, row_maxima
from sfl_env.rounds.latency import (
    DEVICE_BACKWARD,
    DEVICE_FORWARD,
    GRADIENT_DOWNLOAD,
    MODEL_DOWNLOAD,
    MODEL_UPLOAD,
    SERVER_COMPUTE,
    SMASHED_UPLOAD,
)
from sfl_env.scenario import Barriers

Stages = tuple[tuple[int, ...], ...]
"""Phases of each stage, in order; the server's phase is a stage of its own."""

STAGES: Mapping[Barriers, Stages] = {
    "none": (),
    "adaptsfl": (
        (MODEL_DOWNLOAD,),
        (DEVICE_FORWARD, SMASHED_UPLOAD),
        (SERVER_COMPUTE,),
        (GRADIENT_DOWNLOAD, DEVICE_BACKWARD),
        (MODEL_UPLOAD,),
    ),
    "every-phase": tuple((phase,) for phase in range(7)),
}
"""Where devices wait for each other. AdaptSFL's stages are those of the training latency in Lin et al., "AdaptSFL:
Adaptive Split Federated Learning in Resource-constrained Edge Networks", arXiv:2403.13101."""


def staged_latency_s(phases: Array, stages: Stages) -> Array:
    """Return the length of rounds whose stages each wait for all devices, (N,) seconds.

    The server takes the devices' jobs one after another, so its stage lasts as long as all of them together.

    Parameters
    ----------
    phases : (7, N, K) array
        Seconds of the phases, the server's for a job that has it alone.
    stages : Stages
        Of :data:`STAGES`.

    Examples
    --------
    A fast device with a slow link and a slow one with a fast link wait for each other twice if each phase waits:

    >>> phases = np.zeros((7, 1, 2))
    >>> phases[DEVICE_FORWARD, 0], phases[SMASHED_UPLOAD, 0] = [1.0, 5.0], [5.0, 1.0]
    >>> [float(staged_latency_s(phases, STAGES[name])[0]) for name in ("adaptsfl", "every-phase")]
    [6.0, 10.0]
    """
    latency = np.zeros(phases.shape[1])
    for stage in stages:
        if stage == (SERVER_COMPUTE,):
            latency += phases[SERVER_COMPUTE].sum(axis=-1)
        elif len(stage) == 1:
            latency += row_maxima(phases[stage[0]])
        else:
            latency += row_maxima(sum(phases[phase] for phase in stage))
    return latency
