"""An environment's state goes into a file and comes back: the rounds after a break are those without it."""

import io
import json
import pickle
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit

from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.channel.model import Channel
from sfl_env.errors import StateError, TrainingError
from sfl_env.presets import PRESETS
from sfl_env.simulation.states import from_nested, to_nested
from tests.ids import BATCHED_IDS, with_constants
from tests.sfl_env.shared import assert_same

SMALL: dict[str, Any] = {"num_devices": 3, "local_iterations": 1, "max_rounds": 6}

# What is kept between rounds differs with these.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, with_constants(name, {})) for name in PRESETS),
    ("SFL-v0", {"csi_delay_rounds": 3, "mobility": "gauss-markov", "fading": "block"}),
    ("SFL-v0", {"schedule": "sequence", "deadline_s": 20.0, "action_mode": "cut"}),
    ("SFL-Accuracy-v0", {"optimizer": "adam", "partition": "dirichlet", "executor": "message-passing"}),
    (
        "SFL-Accuracy-v0",
        {"battery_share": 1e-4, "deadline_s": 3.0, "schedule": "sequence", "server": "splitfed-v1"},
    ),
]


def through_a_file(stored: dict[str, Any]) -> Any:
    """Written and read without trust: nothing but numbers, texts, containers and tensors."""
    file = io.BytesIO()
    torch.save(stored, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def unwrapped(env: gym.Env[Any, Any]) -> SFLEnv:
    assert isinstance(env.unwrapped, SFLEnv)
    return env.unwrapped


def shown_by(env: SFLEnv) -> np.ndarray:
    """The observation of where an environment stands."""
    now = env.episodes.now
    _, _, view = env.episodes._seen(now.state, now.learning)
    shown: np.ndarray = env.episodes.observation_encoder.per_round(view, now.episode_rows)[0]
    return shown


@pytest.mark.parametrize(("env_id", "fields"), VARIANTS)
def test_an_episode_goes_on_after_a_break_as_without_it(env_id: str, fields: dict[str, Any]) -> None:
    through = unwrapped(gym.make(env_id, **SMALL | fields))
    through.reset(seed=5)
    through.action_space.seed(0)
    actions = [through.action_space.sample() for _ in range(6)]
    for action in actions[:3]:
        through.step(action)
    stored = through_a_file(through.state_dict())
    resumed = RecordEpisodeStatistics(gym.make(env_id, **SMALL | fields))
    resumed.reset(seed=99)
    resumed.step(actions[0])
    shown = unwrapped(resumed).load_state_dict(stored)
    assert_same(shown, shown_by(through))
    for action in actions[3:]:
        expected, found = through.step(action), resumed.step(action)
        found[-1].pop("episode", None)
        assert_same(expected, found)
    assert expected[3]
    assert_same(through.state_dict(), unwrapped(resumed).state_dict())
    # The next episode is the same one, too.
    assert_same(through.reset(), resumed.reset())


def test_storing_a_state_takes_nothing_from_the_episode() -> None:
    env, other = (unwrapped(gym.make("SFL-Accuracy-v0", **SMALL)) for _ in range(2))
    for each in (env, other):
        each.reset(seed=1)
    stored = env.state_dict()
    before = pickle.dumps(stored["episodes"]["state"])
    action = np.zeros((3, 2), np.float32)
    assert_same(env.step(action), other.step(action))
    # Nor does the episode change what has been stored.
    assert pickle.dumps(stored["episodes"]["state"]) == before
    first = env.load_state_dict(stored)
    assert_same(first, unwrapped(gym.make("SFL-Accuracy-v0", **SMALL)).reset(seed=1)[0])


def test_one_state_can_be_gone_on_from_twice() -> None:
    env = unwrapped(gym.make("SFL-Accuracy-v0", **SMALL))
    env.reset(seed=1)
    stored = env.state_dict()
    action = np.zeros((3, 2), np.float32)
    rounds = []
    for _ in range(2):
        env.load_state_dict(stored)
        rounds.append([env.step(action) for _ in range(2)])
    assert_same(*rounds)


def test_a_time_limit_outside_counts_for_itself() -> None:
    env = TimeLimit(gym.make("SFL-v0", num_devices=3), max_episode_steps=2)
    env.reset(seed=0)
    stored = unwrapped(env).state_dict()
    action = np.zeros((3, 2), np.float32)
    env.step(action)
    unwrapped(env).load_state_dict(stored)
    assert env.step(action)[3]


@pytest.mark.parametrize("env_id", BATCHED_IDS)
def test_a_state_without_a_network_is_json(env_id: str) -> None:
    env = unwrapped(gym.make(env_id, **with_constants(env_id, {"num_devices": 3})))
    env.reset(seed=2)
    assert_same(json.loads(json.dumps(env.state_dict())), env.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_devices": 4}, "num_devices is 3 there, 4 here"),
        ({"device_types": ["laptop"], "device_weights": [1.0]}, r"device_types is \['pi-zero-2', .* here"),
        ({"csi_delay_rounds": 1}, "csi_delay_rounds is 0 there, 1 here"),
        ({"mode": "accuracy"}, "mode is 'latency' there, 'accuracy' here"),
    ],
)
def test_a_state_of_another_scenario_is_refused_with_the_field(change: dict[str, Any], message: str) -> None:
    env = unwrapped(gym.make("SFL-v0", num_devices=3))
    env.reset(seed=0)
    other = unwrapped(gym.make("SFL-v0", **{"num_devices": 3} | change))
    other.reset(seed=0)
    before = other.state_dict()
    with pytest.raises(StateError, match=message):
        other.load_state_dict(env.state_dict())
    # What was there goes on.
    assert_same(other.state_dict(), before)


class StillGain(NamedTuple):
    gain: np.ndarray


class StillChannel:
    """A user's channel that keeps other state than the package's."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> StillGain:
        return StillGain(rng.uniform(1e-10, 1e-9, (n, num_devices)))

    def step(self, state: StillGain, elapsed_s: np.ndarray, rng: np.random.Generator) -> StillGain:
        return state


def test_own_parts_are_stored_as_well_and_others_refused() -> None:
    env, again = (unwrapped(gym.make("SFL-v0", num_devices=3, channel=StillChannel())) for _ in range(2))
    env.reset(seed=0)
    stored = through_a_file(env.state_dict())
    again.load_state_dict(stored)
    np.testing.assert_array_equal(again.true_problem().uplink_snr_hz, env.true_problem().uplink_snr_hz)
    packaged = unwrapped(gym.make("SFL-v0", num_devices=3))
    assert isinstance(packaged.episodes.simulator.channel, Channel)
    with pytest.raises(
        StateError, match=r"state.channel of the stored state is 1 parts; .* the same channel, population"
    ):
        packaged.load_state_dict(stored)


def test_a_state_of_another_network_is_refused() -> None:
    def small() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 9), torch.nn.Linear(9, 10))

    env = unwrapped(gym.make("SFL-Accuracy-v0", network=small, **SMALL))
    env.reset(seed=0)
    other = unwrapped(gym.make("SFL-Accuracy-v0", **SMALL))
    other.reset(seed=0)
    before = other.state_dict()
    with pytest.raises(TrainingError, match="belongs to another network"):
        other.load_state_dict(env.state_dict())
    assert_same(other.state_dict(), before)


def test_there_is_no_state_before_the_first_episode() -> None:
    with pytest.raises(StateError, match="call reset first"):
        unwrapped(gym.make("SFL-v0", num_devices=3)).state_dict()
    envs = gym.make_vec("SFL-v0", num_envs=2, num_devices=3)
    assert isinstance(envs, SFLVectorEnv)
    with pytest.raises(StateError, match="call reset first"):
        envs.state_dict()


# The batched environment


def batch(env_id: str, num_envs: int = 3, **fields: Any) -> SFLVectorEnv:
    envs = gym.make_vec(env_id, num_envs=num_envs, **with_constants(env_id, {"num_devices": 3, **fields}))
    assert isinstance(envs, SFLVectorEnv)
    return envs


@pytest.mark.parametrize("env_id", BATCHED_IDS)
@pytest.mark.parametrize("autoreset_mode", ["NextStep", "SameStep"])
def test_a_batch_goes_on_after_a_break_as_without_it(env_id: str, autoreset_mode: str) -> None:
    fields: dict[str, Any] = {"max_rounds": 4, "autoreset_mode": autoreset_mode}
    through, resumed = (batch(env_id, **fields) for _ in range(2))
    through.reset(seed=3)
    through.action_space.seed(0)
    actions = [through.action_space.sample() for _ in range(10)]
    # The break falls where episodes are over and have not been started again.
    for action in actions[:4]:
        through.step(action)
    resumed.load_state_dict(through_a_file(through.state_dict()))
    for action in actions[4:]:
        assert_same(through.step(action), resumed.step(action))
    assert_same(through.reset(), resumed.reset())


def test_a_batch_of_another_size_is_refused() -> None:
    envs = batch("SFL-v0")
    envs.reset(seed=0)
    with pytest.raises(
        StateError,
        match=r"over .* has shape \(3,\); .* by an environment of another size",
    ):
        batch("SFL-v0", num_envs=2).load_state_dict(envs.state_dict())
    single = unwrapped(gym.make("SFL-v0", num_devices=3))
    with pytest.raises(StateError, match="an entry 'over' that nothing here has a use for"):
        single.load_state_dict(envs.state_dict())


# The layout


class Inner(NamedTuple):
    flags: np.ndarray
    counts: np.ndarray


class Outer(NamedTuple):
    nothing: np.ndarray
    inner: Inner
    values: np.ndarray


def test_a_state_comes_back_in_its_types_shapes_and_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    values = np.array([0.1, -0.0, np.inf, 1e-308, rng.standard_normal()], dtype=np.float64)
    state = Outer(
        np.zeros((2, 0, 3)),
        Inner(np.array([True, False]), np.array([2**62, -1], dtype=np.int64)),
        np.append(values, np.float64(np.float32(1.1))),
    )
    like = Outer(np.ones((2, 0, 3)), Inner(np.array([False, False]), np.zeros(2, np.int64)), np.zeros(6))
    back = from_nested(like, json.loads(json.dumps(to_nested(state))))
    assert isinstance(back, Outer)
    assert isinstance(back.inner, Inner)
    for one, other in (
        (back.nothing, state.nothing),
        (back.values, state.values),
        *zip(back.inner, state.inner, strict=True),
    ):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ([[True, False]], "state of the stored state is 1 parts; here it has 2 parts"),
        ({"flags": [True, False]}, "state of the stored state is a dict"),
        ([[True, False], [1, 2, 3]], r"state.counts .* has shape \(3,\); here it has \(2,\)"),
        ([[True, False], [[1], [2]]], r"state.counts .* has shape \(2, 1\)"),
        ([[True, False], [1.5, 2]], "state.counts .* is of type float64; here it is of int64"),
        ([[True, False], [1, 2**64]], "state.counts .* is of type object"),
        ([[True, False], [2**63, 2**63]], "state.counts .* numbers that are too large"),
        ([[True, False], ["1", "2"]], "state.counts .* is of type <U1"),
        ([[True, False], [[1], 2]], "state.counts .* is a list that makes no array"),
        ([[1, 0], [1, 2]], "state.flags .* is of type int64; here it is of bool"),
        ([None, [1, 2]], r"state.flags .* has shape \(\)"),
    ],
)
def test_parts_that_do_not_correspond_are_refused(nested: Any, message: str) -> None:
    like = Inner(np.zeros(2, np.bool_), np.zeros(2, np.int64))
    with pytest.raises(StateError, match=message):
        from_nested(like, nested)
