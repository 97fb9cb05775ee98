"""A user's own parts of the system behind their protocols: what they give is looked at each time.

They are shown states in which nothing can be written, since what they change would change the episode that a round
which breaks off goes back to.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.channel.model import ChannelModel
from sfl_env.checks import Range, read_only
from sfl_env.devices.availability import Availability
from sfl_env.devices.population import DeviceBatch, DeviceSampler
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import StateError
from sfl_env.learning.protocol import Learner, ReturningLearner, Score
from sfl_env.simulation.probing import (
    FREE,
    GAIN,
    check_devices,
    check_score,
    check_state,
    in_doubles,
    require_unspawned,
    spawned,
)
from sfl_env.simulation.states import own_copy


class _Watched:
    """A time-varying part whose states tell of every device."""

    def __init__(self, part: str, process: Any, told: tuple[str, Range, str]) -> None:
        self._part = part
        self._process = process
        self._told = told

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        """Return states (N, K) at the start of their episodes."""
        where = f"{self._part}.initial(rng, n, num_devices)"
        state = _drawn(where, rng, lambda: self._process.initial(rng, n, num_devices))
        check_state(where, state, (n, num_devices), self._told)
        return state

    def step(self, state: Any, elapsed_s: Array, rng: np.random.Generator) -> Any:
        """Return the states of the next round, after one of so many seconds, (N,)."""
        where = f"{self._part}.step(state, elapsed_s, rng)"
        later = _drawn(where, rng, lambda: self._process.step(read_only(state), read_only(elapsed_s), rng))
        check_state(where, later, getattr(state, self._told[0]).shape, self._told)
        return later


def _drawn(where: str, rng: np.random.Generator, draw: Callable[[], Any]) -> Any:
    before = spawned(rng)
    given = draw()
    require_unspawned(where, rng, before)
    return given


def watched_channel(channel: ChannelModel[Any]) -> ChannelModel[Any]:
    """Return a channel that raises a ``ScenarioError`` where the user's gives no gains of links."""
    return _Watched("channel", channel, GAIN)


def watched_availability(availability: Availability[Any]) -> Availability[Any]:
    """Return an availability that raises a ``ScenarioError`` where the user's gives no fractions."""
    return _Watched("availability", availability, FREE)


class WatchedPopulation:
    """A population that raises a ``ScenarioError`` where the user's gives no devices."""

    def __init__(self, population: DeviceSampler) -> None:
        self._population = population

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        """Return devices (N, K), with all that is computed with as doubles."""
        where = "population.sample(rng, n, num_devices)"
        devices = _drawn(where, rng, lambda: self._population.sample(rng, n, num_devices))
        check_devices(where, devices, (n, num_devices))
        return in_doubles(devices)


class WatchedLearner:
    """A learner that raises a ``ScenarioError`` where the user's gives no score, and whose states are its own.

    A user's learner may tell its state in the very arrays that it goes on changing, as torch's modules do. To copy
    it in each round would take longer than many a round: where one breaks off after its training, the learner is
    ahead of the environment, and is not asked for another round before it starts afresh or loads a state.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._asked = 0  # rounds and episodes that it has gone on by
        self._is_ahead = False

    @property
    def profile(self) -> DNNProfile:
        """The costs of the network that is trained."""
        return self._learner.profile

    def reset(self, seed: int) -> Score:
        """Start afresh."""
        self._asked += 1
        score = _in_doubles("learner.reset(seed)", self._learner.reset(seed))
        self._is_ahead = False
        return score

    def run_round(self, cut: NDArray[np.intp], takes_part: NDArray[np.bool_]) -> Score:
        """Train for a round.

        Raises
        ------
        StateError
            If the learner is ahead of the environment.
        """
        if self._is_ahead:
            raise StateError(
                "The learner has gone on, and the call that asked it to has broken off, so it is ahead of the "
                "episode; start another one with reset, or go on from a stored state with load_state_dict."
            )
        self._asked += 1
        try:
            score = self._learner.run_round(cut.copy(), takes_part.copy())
        except Exception:  # then it is as before; what is interrupted anywhere may not be
            self._asked -= 1
            raise
        return _in_doubles("learner.run_round(...)", score)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next round depends on."""
        stored: dict[str, Any] = own_copy(self._learner.state_dict())
        return stored

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a copy of a stored state, or raise and go back to where it was, as far as it can."""
        before = None
        with suppress(Exception):  # not every learner has a state before its first round
            before = self.state_dict()
        try:
            self._learner.load_state_dict(own_copy(state))
        except BaseException:
            if before is not None:
                with suppress(Exception):
                    self._learner.load_state_dict(before)
            raise
        self._is_ahead = False

    def mark(self) -> int:
        """Return where it stands."""
        return self._asked

    def go_back(self, mark: int) -> None:
        """Take no further round, if the learner has gone on since."""
        self._is_ahead = self._is_ahead or self._asked != mark


def _in_doubles(where: str, score: Score) -> Score:
    check_score(where, score)
    return Score(float(score.accuracy), float(score.loss))


def returning(learner: Learner | None, *, is_own: bool) -> ReturningLearner | None:
    """Return a learner as the environment asks it: a user's own is looked at, the package's can go back."""
    if learner is None or not is_own:
        return cast(ReturningLearner | None, learner)
    return WatchedLearner(learner)
