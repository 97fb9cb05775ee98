"""Where N episodes stand, and what a round of theirs gives."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.learning.protocol import Progress
from sfl_env.rounds.conditions import Conditions
from sfl_env.simulation.simulator import State
from sfl_env.spaces.scales import Rows


class Now(NamedTuple):
    """Where N episodes stand between two rounds; a round makes a new one and leaves this as it is."""

    state: State
    true: Conditions  # of the round that comes next
    observed: Conditions  # the same as far as agents see them
    episode_rows: Rows  # (N, K, F) observation rows with what stays through the episode
    learning: Progress | None  # in accuracy mode


class Place(NamedTuple):
    """Where N episodes and their learner stand, to go back to if what follows fails."""

    now: Now | None  # none before the first reset
    learned: Any  # the learner's mark; none without a learner or before the first reset


class Transition(NamedTuple):
    """What one round of N episodes gives back, before any episode starts afresh."""

    observation: Rows  # (N, K, F)
    reward: Array  # (N,)
    terminated: NDArray[np.bool_]  # (N,)
    truncated: NDArray[np.bool_]  # (N,)
    infos: dict[str, Any]  # arrays with the environment axis first; reward_terms a dictionary of such
