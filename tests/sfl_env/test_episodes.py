"""N episodes: where they stand, what cannot be asked before they start, and that a copy goes on as they do."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_baselines
from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.errors import SFLError, StateError
from sfl_env.presets import PRESETS
from tests.ids import BATCHED_IDS, with_constants
from tests.sfl_env.shared import assert_same

SMALL: dict[str, Any] = {"num_devices": 3, "max_rounds": 4}
ONE_ACTION = np.zeros((3, 2), np.float32)


def single(**fields: Any) -> SFLEnv:
    return SFLEnv(**(SMALL | fields))


def batch(**fields: Any) -> SFLVectorEnv:
    return SFLVectorEnv(2, **(SMALL | fields))


BEFORE_RESET: dict[str, Callable[[], Any]] = {
    "step": lambda: single().step(ONE_ACTION),
    "step, cuts only": lambda: single(action_mode="cut").step(np.zeros(3, np.int64)),
    "step, discrete": lambda: single(action_mode="discrete").step(np.zeros(6, np.int64)),
    "render": lambda: single(render_mode="rgb_array").render(),
    "state_dict": lambda: single().state_dict(),
    "observed_problem": lambda: single().observed_problem(),
    "true_problem": lambda: single().true_problem(),
    "oracle": lambda: sfl_baselines.make("oracle", single()).predict(np.zeros((3, 7), np.float32)),
    "now": lambda: single().episodes.now,
    "restart": lambda: single().episodes.restart(np.ones(1, np.bool_), np.random.default_rng(0)),
    "start_infos": lambda: single().episodes.start_infos(1),
    "learning_infos": lambda: single().episodes.learning_infos(),
    "batched step": lambda: batch().step(np.stack([ONE_ACTION] * 2)),
    "batched step of make_vec": lambda: gym.make_vec("SFL-v0", 2, **SMALL).step(np.stack([ONE_ACTION] * 2)),
    "batched state_dict": lambda: batch().state_dict(),
    "batched observed_problem": lambda: batch().observed_problem(),
    "batched true_problem": lambda: batch().true_problem(),
    "masked reset": lambda: batch().reset(options={"reset_mask": np.array([True, False])}),
    "accuracy mode": lambda: single(mode="accuracy").step(ONE_ACTION),
}


@pytest.mark.parametrize("what", BEFORE_RESET)
def test_what_needs_an_episode_says_before_the_first_that_reset_comes_first(what: str) -> None:
    with pytest.raises(StateError, match=r"No episode has started yet; call reset first\."):
        BEFORE_RESET[what]()
    assert issubclass(StateError, SFLError)


def test_a_batch_that_was_asked_too_early_starts_as_if_it_had_not_been() -> None:
    early, other = batch(), batch()
    with pytest.raises(StateError):
        early.reset(seed=3, options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(early.reset(seed=3)[0], other.reset(seed=3)[0])


def test_a_round_leaves_where_the_episodes_stood_as_it_was() -> None:
    env = single(battery_share=0.005, csi_delay_rounds=2, mobility="gauss-markov")
    env.reset(seed=0)
    before = env.episodes.now
    kept = pickle.dumps(before)
    env.step(ONE_ACTION)
    env.reset()
    assert pickle.dumps(before) == kept
    envs = batch(autoreset_mode="SameStep", max_rounds=1)
    envs.reset(seed=0)
    standing = envs.episodes.now
    kept = pickle.dumps(standing)
    envs.step(np.stack([ONE_ACTION] * 2))
    assert pickle.dumps(standing) == kept


# Copies


def pickled(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


COPIES: dict[str, Callable[[Any], Any]] = {"pickle": pickled, "deepcopy": copy.deepcopy}


def goes_on(env: Any, rounds: int = 6) -> list[Any]:
    seen: list[Any] = []
    for _ in range(rounds):
        seen.append(env.step(env.action_space.sample()))
        if env.unwrapped.spec and (seen[-1][2] or seen[-1][3]):
            seen.append(env.reset())
    return seen


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    ("env_id", "action_mode"),
    [
        *((env_id, "continuous") for env_id in BATCHED_IDS),
        *(("SFL-v0", mode) for mode in ("residual", "cut", "discrete")),
    ],
)
def test_a_copy_of_an_environment_goes_on_as_it_does(env_id: str, action_mode: str, copied: str) -> None:
    env = gym.make(env_id, action_mode=action_mode, render_mode="rgb_array", **with_constants(env_id, SMALL))
    env.action_space.seed(1)
    for started in (False, True):
        if started:
            env.reset(seed=0)
            env.step(env.action_space.sample())
        other = COPIES[copied](env)
        if not started:
            assert_same(env.reset(seed=5), other.reset(seed=5))
        assert_same(goes_on(env), goes_on(other))
    np.testing.assert_array_equal(env.render(), other.render())


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_an_environment_in_accuracy_mode_trains_on_as_it_does(copied: str) -> None:
    env = gym.make("SFL-Accuracy-v0", local_iterations=1, **SMALL)
    env.action_space.seed(1)
    other = COPIES[copied](env)
    assert_same(env.reset(seed=5), other.reset(seed=5))
    assert_same(goes_on(env, 2), goes_on(other, 2))
    assert_same(goes_on(COPIES[copied](env), 5), goes_on(env, 5))


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("env_id", BATCHED_IDS)
def test_a_copy_of_a_batch_goes_on_as_it_does(env_id: str, copied: str) -> None:
    envs: Any = gym.make_vec(env_id, 3, **with_constants(env_id, SMALL))
    envs.action_space.seed(1)
    for started in (False, True):
        if started:
            envs.step(envs.action_space.sample())
        other = COPIES[copied](envs)
        if not started:
            assert_same(envs.reset(seed=5), other.reset(seed=5))
        for _ in range(6):
            assert_same(envs.step(envs.action_space.sample()), other.step(other.action_space.sample()))


def test_a_copy_does_not_draw_into_the_window_of_the_first() -> None:
    from sfl_env.render.screen import Window

    window = Window()
    window._number = 7
    assert pickled(window)._number is None
    assert copy.deepcopy(window)._number is None
    assert window._number == 7


# Infos


def keys_of(infos: dict[str, Any]) -> dict[str, Any]:
    return {name: keys_of(value) if isinstance(value, dict) else None for name, value in infos.items()}


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((env_id, with_constants(env_id, {})) for env_id in PRESETS),
    ("SFL-v0", {"info_optimum": True}),
    ("SFL-v0", {"deadline_s": 20.0, "energy_weight": 1.0}),
    ("SFL-Battery-v0", {"energy_weight": 1.0, "info_optimum": True}),
    ("SFL-Accuracy-v0", {"deadline_s": 20.0, "battery_share": 0.001}),
]


@pytest.mark.parametrize(("env_id", "fields"), VARIANTS)
def test_a_reset_has_the_infos_of_a_step_which_say_that_there_was_no_round(
    env_id: str, fields: dict[str, Any]
) -> None:
    env = gym.make(env_id, **SMALL | fields)
    _, started = env.reset(seed=0)
    after = env.step(env.action_space.sample())[-1]
    assert keys_of(started) == keys_of(after)
    told = {"accuracy", "loss", "elapsed_s", "learnt"}
    for name, value in after.items():
        if name == "reward_terms":
            assert all(np.isnan(term) for term in started[name].values())
            continue
        assert np.shape(started[name]) == np.shape(value)
        assert np.asarray(started[name]).dtype == np.asarray(value).dtype
        if name in told:
            assert np.isfinite(started[name])
        elif np.asarray(value).dtype.kind == "f":
            assert np.isnan(started[name]).all()
    assert (started["cut"] == -1).all()
    assert not started["cut_limited"].any()
    assert not np.any(started.get("takes_part", False))
    # The next start is told in arrays of its own.
    again = env.reset()[1]
    assert not any(np.shares_memory(again[name], started[name]) for name in ("cut", "bandwidth_share"))


@pytest.mark.parametrize(("env_id", "fields"), [pair for pair in VARIANTS if pair[0] in BATCHED_IDS])
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_batch_has_the_same_infos_at_its_reset_and_marks_them_as_not_there(
    env_id: str, fields: dict[str, Any], mode: str
) -> None:
    envs: Any = gym.make_vec(env_id, 3, autoreset_mode=mode, **SMALL | fields)
    _, started = envs.reset(seed=0)
    # Equal shares: a round that empties all batteries would end an episode, of which infos tell more.
    after = envs.step(np.stack([ONE_ACTION] * 3))[-1]
    assert keys_of(started) == keys_of(after)
    for name, value in after.items():
        if name.startswith("_"):
            # How far the learning has come is known before the first round, too.
            assert (started[name] == (name == "_learnt")).all()
        elif not isinstance(value, dict):
            assert (started[name].shape, started[name].dtype) == (value.shape, value.dtype)


def test_where_an_episode_only_starts_infos_hold_no_round() -> None:
    envs = batch(max_rounds=1)
    envs.reset(seed=0)
    actions = np.stack([ONE_ACTION] * 2)
    envs.step(actions)
    infos = envs.step(actions)[-1]
    assert np.isnan(infos["latency_s"]).all()
    assert np.isnan(infos["reward_terms"]["latency"]).all()
    assert not infos["_latency_s"].any()


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_fresh_models_accuracy_is_told_where_its_episode_starts(mode: str) -> None:
    envs = SFLVectorEnv(1, mode="accuracy", autoreset_mode=mode, **SMALL | {"max_rounds": 2})
    _, infos = envs.reset(seed=0)
    assert infos["_accuracy"].all()
    assert infos["elapsed_s"] == [0.0]
    for _ in range(3 if mode == "NextStep" else 2):
        infos = envs.step(ONE_ACTION[None])[-1]
    assert infos["_accuracy"].all()
    assert infos["elapsed_s"] == [0.0]
    learning = envs.episodes.now.learning
    assert learning is not None
    assert infos["accuracy"] == learning.accuracy
    if mode == "SameStep":
        assert infos["final_info"]["elapsed_s"][0] > 0.0


def test_what_infos_tell_of_the_learning_is_not_what_it_goes_on_from() -> None:
    envs = SFLVectorEnv(1, mode="accuracy", **SMALL)
    _, infos = envs.reset(seed=0)
    infos["elapsed_s"][:] = 1e6
    infos = envs.step(ONE_ACTION[None])[-1]
    assert infos["elapsed_s"][0] == infos["latency_s"][0]


class CountsInverse:
    """Terms that only a possible outcome has."""

    def terms(self, outcome: Any) -> dict[str, np.ndarray]:
        assert (outcome.latency_s > 0.0).all()
        return {"speed": 1.0 / outcome.latency_s}


def test_an_own_rewards_terms_are_known_from_a_possible_round() -> None:
    env = single(reward=CountsInverse())
    _, info = env.reset(seed=0)
    assert list(info["reward_terms"]) == ["speed"]
