"""A call that breaks off is as if it had not been made: the same call again gives what it would have given."""

from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.devices.population import DeviceBatch
from sfl_env.dnn import catalogue
from sfl_env.errors import ScenarioError, StateError, TrainingError
from sfl_env.learning import Score
from sfl_env.learning.scenario import ScenarioLearner
from tests.sfl_env.shared import assert_same, training_of

SHORT: dict[str, Any] = {"mode": "accuracy", "batch_size": 8, "local_iterations": 2}


class Switch:
    """Says when the parts that look at it fail, and how."""

    def __init__(self) -> None:
        self.method: str | None = None
        self.error: type[BaseException] = ZeroDivisionError


class Failing:
    """A part of the package as a user's own, one of whose methods fails while the switch names it."""

    def __init__(self, part: Any, switch: Switch) -> None:
        self._part, self._switch = part, switch

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def asked(*arguments: Any) -> Any:
            given = method(*arguments)
            if self._switch.method == name:  # after it has drawn
                raise self._switch.error
            return given

        return asked if callable(method) else method


def own_parts(switch: Switch, **fields: Any) -> dict[str, Failing]:
    episodes = SFLEnv(num_devices=3, **fields).episodes
    simulator = episodes.simulator
    parts = {
        "channel": simulator.channel,
        "population": simulator.population,
        "availability": simulator.availability,
        "action": episodes.action_encoder,
        "reward": episodes.reward,
        "observation": episodes.observation_encoder,
    }
    return {name: Failing(part, switch) for name, part in parts.items()}


def made(n: int, **options: Any) -> Any:
    options = {"num_devices": 3, "max_rounds": 3} | options
    return SFLEnv(**options) if n == 1 else SFLVectorEnv(n, **options)


def one_action(env: Any) -> NDArray[Any]:
    return np.full(env.action_space.shape, 0.3, env.action_space.dtype)


def assert_rounds_are_the_same(env: Any, other: Any, rounds: int) -> None:
    for _ in range(rounds):
        assert_same(env.step(one_action(env)), other.step(one_action(other)))


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("channel", "step"),
        ("availability", "step"),
        ("action", "decode"),
        ("reward", "terms"),
        ("observation", "per_round"),
    ],
)
def test_the_round_after_a_failed_one_is_what_the_failed_one_would_have_been(
    part: str, method: str, n: int, error: type[BaseException]
) -> None:
    switch = Switch()
    switch.error = error
    env, undisturbed = (made(n, **{part: own_parts(switch)[part]}) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 1)
    for _ in range(2):
        switch.method = method
        with pytest.raises(error):
            env.step(one_action(env))
        switch.method = None
    assert_rounds_are_the_same(env, undisturbed, 2)


RESET_FAILURES = [
    ("channel", "initial"),
    ("availability", "initial"),
    ("population", "sample"),
    ("observation", "per_episode"),
    ("observation", "per_round"),
]


@pytest.mark.parametrize("seed", [None, 9])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("part", "method"), RESET_FAILURES)
def test_a_reset_that_is_refused_leaves_the_episode_and_what_it_draws(
    part: str, method: str, n: int, seed: int | None
) -> None:
    switch = Switch()
    env, undisturbed = (made(n, **{part: own_parts(switch)[part]}) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 1)
    switch.method = method
    with pytest.raises(ZeroDivisionError):
        env.reset(seed=seed)
    switch.method = None
    assert env.np_random_seed == 5
    assert_rounds_are_the_same(env, undisturbed, 1)
    assert_same(env.reset(), undisturbed.reset())
    assert_rounds_are_the_same(env, undisturbed, 1)


def test_a_first_reset_that_is_refused_starts_nothing() -> None:
    switch = Switch()
    env, undisturbed = (made(1, population=own_parts(switch)["population"]) for _ in range(2))
    switch.method = "sample"
    with pytest.raises(ZeroDivisionError):
        env.reset(seed=9)
    switch.method = None
    assert_same(env.reset(seed=5), undisturbed.reset(seed=5))


@pytest.mark.parametrize(("part", "method"), RESET_FAILURES)
def test_a_reset_of_some_that_is_refused_leaves_all_of_them(part: str, method: str) -> None:
    switch = Switch()
    env, undisturbed = (made(3, autoreset_mode="Disabled", **{part: own_parts(switch)[part]}) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 3)
    switch.method = method
    some = {"reset_mask": np.array([True, False, True])}
    with pytest.raises(ZeroDivisionError):
        env.reset(options=some)
    switch.method = None
    with pytest.raises(Exception, match="Environment 0 was stepped after its episode's end"):
        env.step(one_action(env))
    everyone = {"reset_mask": np.ones(3, dtype=np.bool_)}
    for each in (env, undisturbed):
        each.reset(options=everyone)
    assert_rounds_are_the_same(env, undisturbed, 2)


@pytest.mark.parametrize("autoreset_mode", ["SameStep", "NextStep"])
@pytest.mark.parametrize(("part", "method"), RESET_FAILURES)
def test_an_episodes_end_is_not_lost_where_the_next_one_cannot_start(
    part: str, method: str, autoreset_mode: str
) -> None:
    switch = Switch()
    parts = own_parts(switch)
    env, undisturbed = (made(3, autoreset_mode=autoreset_mode, **{part: parts[part]}) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 2)
    starts = 2 if autoreset_mode == "SameStep" else 3
    for done in range(2, 5):
        if done == starts:
            switch.method = method
            with pytest.raises(ZeroDivisionError):
                env.step(one_action(env))
            switch.method = None
        told = env.step(one_action(env))
        assert_same(told, undisturbed.step(one_action(undisturbed)))
        assert bool(told[3].all()) == (done == 2)
        assert bool((told[1] == 0.0).all()) == (autoreset_mode == "NextStep" and done == 3)


class Curve:
    """A learner that counts its rounds, and goes on changing what its state is told in."""

    profile = catalogue.load("lenet5")

    def __init__(self) -> None:
        self.late: Score | None = None
        self.state: dict[str, Any] = {"rounds": np.zeros(1), "seed": [0]}

    def score(self) -> Score:
        rounds = float(self.state["rounds"][0])
        return Score(1.0 - 0.5**rounds, 1.0 + self.state["seed"][0] % 7)

    def reset(self, seed: int) -> Score:
        self.state["rounds"][:] = 0.0
        self.state["seed"][0] = seed
        return self.late or self.score()

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        self.state["rounds"] += 1.0
        return self.late or self.score()

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


@pytest.mark.parametrize("what", ["step", "reset"])
def test_the_packages_training_goes_back_with_the_episode(what: str, one_thread: None) -> None:
    switch = Switch()
    parts = own_parts(switch, mode="accuracy")
    env, undisturbed = (made(1, **SHORT, observation=parts["observation"]) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 1)
    switch.method = "per_round"
    with pytest.raises(ZeroDivisionError):
        env.step(one_action(env)) if what == "step" else env.reset(seed=3)
    switch.method = None
    assert_same(env.state_dict(), undisturbed.state_dict())
    assert_rounds_are_the_same(env, undisturbed, 2)


@pytest.mark.parametrize("what", ["step", "reset"])
@pytest.mark.parametrize("how", ["observation", "score"])
def test_a_learner_that_is_ahead_of_its_episode_is_asked_for_no_round(how: str, what: str) -> None:
    switch, learner = Switch(), Curve()
    observation = own_parts(switch, mode="accuracy")["observation"]
    env, undisturbed = (
        made(1, mode="accuracy", learner=each, observation=observation) for each in (learner, Curve())
    )
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 1)
    stored = env.state_dict()
    if how == "observation":
        switch.method = "per_round"
    else:
        learner.late = Score(np.nan, 1.0)
    with pytest.raises((ZeroDivisionError, ScenarioError)):
        env.step(one_action(env)) if what == "step" else env.reset(seed=3)
    switch.method, learner.late = None, None
    for _ in range(2):
        with pytest.raises(StateError, match=r"ahead of the episode; start another one with reset"):
            env.step(one_action(env))
    env.load_state_dict(stored)
    assert_rounds_are_the_same(env, undisturbed, 1)
    assert_same(env.reset(seed=8), undisturbed.reset(seed=8))
    assert_rounds_are_the_same(env, undisturbed, 1)


class Away(Curve):
    """Stays as before where it raises."""

    error: type[BaseException] | None = None

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        if self.error is not None:
            raise self.error
        return super().run_round(cut, takes_part)


def after_a_round_broke_off(error: type[BaseException]) -> tuple[SFLEnv, SFLEnv]:
    """Return an environment whose learner has raised that in its first round, and its undisturbed twin."""
    learner = Away()
    env, undisturbed = (made(1, mode="accuracy", learner=each) for each in (learner, Curve()))
    for each in (env, undisturbed):
        each.reset(seed=5)
    learner.error = error
    with pytest.raises(error):
        env.step(one_action(env))
    learner.error = None
    return env, undisturbed


def test_a_round_that_a_learner_refuses_can_be_asked_for_again() -> None:
    assert_rounds_are_the_same(*after_a_round_broke_off(ConnectionError), 2)


def test_after_a_learner_was_interrupted_an_episode_starts_afresh() -> None:
    env, undisturbed = after_a_round_broke_off(KeyboardInterrupt)
    with pytest.raises(StateError, match="ahead of the episode"):
        env.step(one_action(env))
    assert_same(env.reset(seed=8), undisturbed.reset(seed=8))
    assert_rounds_are_the_same(env, undisturbed, 2)


def test_a_learner_without_a_state_learns_all_the_same() -> None:
    class OneWay(Curve):
        def state_dict(self) -> dict[str, Any]:
            raise RuntimeError("no checkpoints")

    env = made(1, mode="accuracy", learner=OneWay())
    env.reset(seed=0)
    assert env.step(one_action(env))[4]["accuracy"] == 0.5


class Lazy(Curve):
    """Has a state from its first round on, as a learner that makes its optimiser then."""

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, **super().state_dict()}

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        self.steps = 1
        return super().run_round(cut, takes_part)


def test_a_state_is_loaded_by_a_learner_that_has_none_yet() -> None:
    env, other = (made(1, mode="accuracy", learner=Lazy()) for _ in range(2))
    env.reset(seed=5)
    env.step(one_action(env))
    other.load_state_dict(env.state_dict())
    assert_rounds_are_the_same(env, other, 2)


def test_what_a_stored_state_of_a_learner_holds_need_not_be_numbers() -> None:
    class Net(Curve):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lock = nn.Linear(2, 2), Lock()
            self.loss = self.net(torch.ones(1, 2)).sum()  # on a graph

        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "net": self.net.state_dict(), "loss": self.loss, "lock": self.lock}

        def run_round(self, cut: Any, takes_part: Any) -> Score:
            with torch.no_grad():
                self.net.weight += 1.0
            return super().run_round(cut, takes_part)

    env = made(1, mode="accuracy", learner=Net())
    env.reset(seed=5)
    stored = env.state_dict()["episodes"]["learner"]
    before = stored["net"]["weight"].clone()
    env.step(one_action(env))
    assert torch.equal(stored["net"]["weight"], before)
    assert stored["net"]._metadata  # what torch's load_state_dict looks at


def test_a_training_that_fails_takes_nothing_from_the_channel(
    one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, undisturbed = (made(1, **SHORT) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)

    def diverging(*_: Any) -> Any:
        raise TrainingError("The loss is not finite.")

    with monkeypatch.context() as broken:
        broken.setattr(training_of(env), "run_round", diverging)
        with pytest.raises(TrainingError):
            env.step(one_action(env))
    assert_rounds_are_the_same(env, undisturbed, 2)


def test_a_picture_that_cannot_be_drawn_leaves_the_round_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = False

    def drawn(_: SFLEnv) -> None:
        if fails:
            raise KeyboardInterrupt

    monkeypatch.setattr(SFLEnv, "render", drawn)
    env, undisturbed = made(1, render_mode="human"), made(1)
    for each in (env, undisturbed):
        each.reset(seed=5)
    fails = True
    with pytest.raises(KeyboardInterrupt):
        env.step(one_action(env))
    with pytest.raises(KeyboardInterrupt):
        env.reset(seed=7)
    fails = False
    assert_rounds_are_the_same(env, undisturbed, 2)


class Gate(nn.Module):
    """Lets a test set through so many times, and training always."""

    passes = 1_000

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and len(x) > 2:
            Gate.passes -= 1
            if Gate.passes < 0:
                raise RuntimeError("out of memory")
        return x


def gated() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), Gate(), nn.ReLU(), nn.Linear(16, 10))


@pytest.mark.parametrize("kind", ["single", "SameStep", "NextStep"])
def test_an_episode_goes_on_with_its_network_where_the_next_one_cannot_start(
    kind: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = SHORT | {"num_devices": 3, "max_rounds": 3, "network": gated}
    if kind == "single":
        env, undisturbed = (made(1, **options) for _ in range(2))
    else:
        env, undisturbed = (SFLVectorEnv(1, autoreset_mode=kind, **options) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 3 if kind == "NextStep" else 2)
    # Steps of batches train for a round before they start another episode.
    monkeypatch.setattr(Gate, "passes", 0 if kind == "single" else 1)
    with pytest.raises(TrainingError, match="out of memory"):
        env.reset(seed=7) if kind == "single" else env.step(one_action(env))
    monkeypatch.setattr(Gate, "passes", 1_000)
    assert_rounds_are_the_same(env, undisturbed, 1 if kind == "single" else 3)


@pytest.mark.parametrize("method", ["run_round", "reset"])
def test_training_that_is_interrupted_at_its_very_end_is_undone(
    method: str, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, undisturbed = (made(1, **SHORT) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    assert_rounds_are_the_same(env, undisturbed, 1)
    whole = getattr(ScenarioLearner, method)

    def interrupted(learner: ScenarioLearner, *arguments: Any) -> None:
        whole(learner, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(ScenarioLearner, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.reset(seed=7) if method == "reset" else env.step(one_action(env))
    assert_rounds_are_the_same(env, undisturbed, 2)


def test_a_population_may_fill_its_arrays_again() -> None:
    first = np.zeros((1, 3), np.intp)

    class Again:
        def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
            drawn = SFLEnv(num_devices=num_devices).episodes.simulator.population.sample(rng, n, num_devices)
            if n == 1:
                first[...] = drawn.type_index
                return drawn._replace(type_index=first)
            return drawn

    env = made(1, population=Again())
    env.reset(seed=5)
    before = env.episodes.now.state.setup.devices.type_index.copy()
    first += 1
    np.testing.assert_array_equal(env.episodes.now.state.setup.devices.type_index, before)


def test_a_stored_state_is_not_changed_by_the_rounds_that_follow() -> None:
    env = made(1, mode="accuracy", learner=Curve())
    env.reset(seed=5)
    stored = env.state_dict()
    first = env.step(one_action(env))[4]
    env.step(one_action(env))
    env.load_state_dict(stored)
    assert env.step(one_action(env))[4]["accuracy"] == first["accuracy"]
    env.load_state_dict(stored)
    assert env.step(one_action(env))[4]["accuracy"] == first["accuracy"]


def test_a_learner_that_loads_half_a_state_goes_back() -> None:
    class Half(Curve):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.state["rounds"] = state["rounds"]
            self.state["seed"] = state["seed"]

    env, undisturbed = (made(1, mode="accuracy", learner=Half()) for _ in range(2))
    for each in (env, undisturbed):
        each.reset(seed=5)
    stored = env.state_dict()
    assert_rounds_are_the_same(env, undisturbed, 2)
    del stored["episodes"]["learner"]["seed"]
    with pytest.raises(KeyError):
        env.load_state_dict(stored)
    assert_rounds_are_the_same(env, undisturbed, 1)
