"""What the environment asks of the learning behind accuracy mode; knows nothing of torch."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_env.dnn.profile import DNNProfile


class Score(NamedTuple):
    """How well one network does on the test set."""

    accuracy: float  # fraction told right, 0 to 1
    loss: float  # mean cross-entropy


class Progress(NamedTuple):
    """How far the learning of N networks has come: their scores, batched, and the time they took."""

    accuracy: NDArray[np.float64]  # (N,) fraction of the test set told right
    loss: NDArray[np.float64]  # (N,) mean cross-entropy on the test set
    elapsed_s: NDArray[np.float64]  # (N,) simulated time since the episode's start


class Learner(Protocol):
    """Trains one network, a round at a time; write one to put other learning behind the environment."""

    @property
    def profile(self) -> DNNProfile:
        """The costs of the network that is trained."""

    def reset(self, seed: int) -> Score:
        """Start afresh, all randomness from the seed."""

    def run_round(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_]) -> Score:
        """Train for a round with (K,) cuts, or raise and stay as before.

        A device that takes no part is left out of the average.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next round depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a stored state, or raise and stay as before."""


class ReturningLearner(Learner, Protocol):
    """A learner that the environment can take back when a round, or an episode's start, breaks off."""

    def mark(self) -> Any:
        """Return where it stands, for :meth:`go_back`."""

    def go_back(self, mark: Any) -> None:
        """Stand again where it stood, or refuse to go on from where it stands."""
