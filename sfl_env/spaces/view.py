"""What may be known before a round is decided."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.devices.population import DeviceBatch
from sfl_env.learning.protocol import Progress
from sfl_env.rounds.conditions import Conditions


class View(NamedTuple):
    """What may be known before a round is decided; the channel may be an old one."""

    conditions: Conditions
    devices: DeviceBatch
    charge: Array  # (N, K) of the battery left, 0 to 1; 1 on mains power
    progress: NDArray[np.floating]  # (N,) of the episode, -1 before its first round to 1 after its last
    learning: Progress | None = None  # in accuracy mode


@lru_cache(maxsize=32)
def _progress(max_rounds: int) -> NDArray[np.float32]:
    """Every value that the progress of an episode takes, (max_rounds + 1,)."""
    return np.linspace(-1.0, 1.0, max_rounds + 1, dtype=np.float32)


def progress_of(rounds: NDArray[np.int64], max_rounds: int) -> NDArray[np.float32]:
    """Return how far episodes of so many rounds have come, from -1 to 1.

    Parameters
    ----------
    rounds : (N,) array
        Rounds that are over. A single environment may be stepped past its last round, where the progress stays 1.
    max_rounds : int
        Rounds of an episode.

    Examples
    --------
    >>> progress_of(np.array([0, 2, 4, 5]), max_rounds=4)
    array([-1.,  0.,  1.,  1.], dtype=float32)
    """
    progress: NDArray[np.float32] = _progress(max_rounds).take(rounds, mode="clip")
    return progress
