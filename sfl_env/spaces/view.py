"""What may be known before a round is decided."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.devices.population import DeviceBatch
from sfl_env.learning.protocol import Progress
from sfl_env.rounds.conditions import Conditions


class View(NamedTuple):
    """What may be known before a round is decided; the channel may be an old one.

    Then ``conditions.large_scale`` tells of its links without small-scale fading.
    """

    conditions: Conditions
    devices: DeviceBatch
    charge: Array  # (N, K) of the battery that training may use, 0 to 1; 1 on mains power
    charge_per_j: Array  # (N, K) how much of it a joule is; 0 on mains power
    progress: NDArray[np.floating]  # (N,) of the episode, -1 before its first round to 1 after its last
    learning: Progress | None = None  # in accuracy mode
    learnt: Array | None = None  # (N,) of what the target accuracy typically takes; with a surrogate of learning


def progress_steps(max_rounds: int) -> NDArray[np.float32]:
    """Return every value that the progress of an episode takes, by rounds that are over, (max_rounds + 1,).

    Examples
    --------
    >>> progress_steps(4)
    array([-1. , -0.5,  0. ,  0.5,  1. ], dtype=float32)
    """
    return np.linspace(-1.0, 1.0, max_rounds + 1, dtype=np.float32)
