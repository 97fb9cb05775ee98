"""A policy decodes what the environment has encoded: what stands between is known to be harmless, or refused."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecFrameStack, VecNormalize

import sfl_baselines
from sfl_agents.training.rewards import LogReward
from sfl_agents.vec_env import SFLVecEnv
from sfl_baselines.wrapped import episodes_of, unchanged_episodes_of
from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.errors import PolicyError

Wrap = Callable[[Any], Any]


class Shifted(gym.ObservationWrapper[Any, Any, Any]):
    """Keeps the space, and the numbers in it."""

    def observation(self, observation: Any) -> Any:
        return -observation


class Quiet(gym.Wrapper[Any, Any, Any, Any]):
    """Overrides the step to do nothing at all, which nobody can see from outside."""

    def step(self, action: Any) -> Any:
        return super().step(action)


class Halved(gym.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> Any:
        return 0.5 * reward


class HalvedAndShifted(Halved):
    def reset(self, **options: Any) -> Any:
        observation, info = super().reset(**options)
        return -observation, info


class Named(gym.Wrapper[Any, Any, Any, Any]):
    name = "mine"


class Turned(SFLEnv):
    def step(self, action: Any) -> Any:
        return super().step(-action)


class NotAWrapper:
    """Wraps without any of Gymnasium's classes."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def step(self, action: Any) -> Any:
        return self.env.step(-action)


unit: Any = (np.float32(0), np.float32(1))


def patched(env: Any) -> Any:
    wrapped = Named(env)
    step = wrapped.step
    wrapped.step = lambda action: step(-action)  # type: ignore[method-assign]
    return wrapped


def respaced(env: Any) -> Any:
    wrapped = Named(env)
    wrapped.action_space = gym.spaces.Box(-2.0, 2.0, env.action_space.shape, np.float32)
    return wrapped


def for_sb3(envs: Any) -> SFLVecEnv:
    """Stable-Baselines3 wants episodes restarted in the step that ends them."""
    envs.unwrapped.autoreset_mode = AutoresetMode.SAME_STEP
    return SFLVecEnv(envs.unwrapped)


CHANGING: dict[str, Wrap] = {
    "NormalizeObservation": wrappers.NormalizeObservation,
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, np.float32(0), np.float32(1)),
    "TransformObservation": lambda env: wrappers.TransformObservation(env, lambda x: -x, env.observation_space),
    "FlattenObservation": wrappers.FlattenObservation,
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 2),
    "DelayObservation": lambda env: wrappers.DelayObservation(env, 1),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, 3)),
    "RescaleAction": lambda env: wrappers.RescaleAction(env, np.float32(0), np.float32(1)),
    "ClipAction": wrappers.ClipAction,
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda x: -x, env.action_space),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.5),
    "Shifted": Shifted,
    "Quiet": Quiet,
    "HalvedAndShifted": HalvedAndShifted,
    "NotAWrapper": NotAWrapper,
    "Named": patched,
    "Named ": respaced,
}
HARMLESS: list[Wrap] = [
    lambda env: env,
    lambda env: wrappers.TimeLimit(env, 3),
    wrappers.RecordEpisodeStatistics,
    wrappers.NormalizeReward,
    lambda env: wrappers.TransformReward(env, lambda r: r),
    lambda env: wrappers.ClipReward(env, -1.0, 1.0),
    Monitor,
    Halved,
    Named,
    lambda env: Monitor(Halved(wrappers.TimeLimit(env, 3))),
]
CHANGING_BATCHES: dict[str, Wrap] = {
    "NormalizeObservation": vector.NormalizeObservation,
    "FlattenObservation": vector.FlattenObservation,
    "RescaleObservation": lambda envs: vector.RescaleObservation(envs, np.float32(0), np.float32(1)),
    "RescaleAction": lambda envs: vector.RescaleAction(envs, *unit),
    "ClipAction": vector.ClipAction,
    "TransformAction": lambda envs: vector.TransformAction(envs, lambda x: -x),
    "VecNormalize": lambda envs: VecNormalize(for_sb3(envs)),
    "VecFrameStack": lambda envs: VecFrameStack(for_sb3(envs), 2),
}
HARMLESS_BATCHES: list[Wrap] = [
    lambda envs: envs,
    vector.RecordEpisodeStatistics,
    vector.NormalizeReward,
    lambda envs: vector.ClipReward(envs, -1.0, 1.0),
    lambda envs: for_sb3(envs),
    lambda envs: VecNormalize(for_sb3(envs), norm_obs=False),
    lambda envs: LogReward(for_sb3(envs)),
    lambda envs: VecCheckNan(for_sb3(envs)),
]


def batch() -> Any:
    return gym.make_vec("SFL-v0", num_envs=2)


@pytest.mark.parametrize("policy", ["exact", "oracle", "random"])
@pytest.mark.parametrize("name", CHANGING)
def test_wrappers_that_change_what_policies_see_or_do_are_refused(name: str, policy: str) -> None:
    env = CHANGING[name](gym.make("SFL-v0"))
    with pytest.raises(PolicyError, match=rf"^{name.strip()} may change what policies see or do.*env\.unwrapped"):
        sfl_baselines.make(policy, env)
    # Under harmless ones too.
    if isinstance(env, gym.Env):
        with pytest.raises(PolicyError, match=name.strip()):
            sfl_baselines.make(policy, Monitor(env))
        sfl_baselines.make(policy, env.unwrapped)


@pytest.mark.parametrize("name", CHANGING_BATCHES)
def test_wrappers_of_batches_that_change_them_are_refused(name: str) -> None:
    with pytest.raises(PolicyError, match=f"{name} may change"):
        sfl_baselines.make("exact", CHANGING_BATCHES[name](batch()))


def test_an_environment_of_ones_own_is_held_to_the_same() -> None:
    with pytest.raises(PolicyError, match="Turned may change what policies see or do: it overrides step"):
        sfl_baselines.make("exact", Turned())

    class Renamed(SFLVectorEnv):
        title = "mine"

    sfl_baselines.make("exact", Renamed(2))


@pytest.mark.parametrize("wrap", HARMLESS)
def test_wrappers_that_change_neither_are_taken(wrap: Wrap) -> None:
    env = wrap(gym.make("SFL-v0", info_optimum=True))
    policy = sfl_baselines.make("exact", env)
    observation, _ = env.reset(seed=0)
    info = env.step(policy.predict(observation)[0])[4]
    assert info["latency_s"] == pytest.approx(info["optimal_latency_s"], rel=1e-5)


@pytest.mark.parametrize("wrap", HARMLESS_BATCHES)
def test_wrappers_of_batches_that_change_neither_are_taken(wrap: Wrap) -> None:
    envs = batch()
    assert unchanged_episodes_of(wrap(envs)) is envs.unwrapped.episodes
    sfl_baselines.make("exact", wrap(envs))


def test_the_episodes_are_found_through_any_wrapper() -> None:
    env = gym.make("SFL-v0")
    assert episodes_of(wrappers.NormalizeObservation(env)) is env.unwrapped.episodes  # type: ignore[attr-defined]
    for stranger in (gym.make("CartPole-v1"), DummyVecEnv([lambda: gym.make("SFL-v0")]), None, 3):
        for find in (episodes_of, unchanged_episodes_of):
            with pytest.raises(PolicyError, match="no environment of sfl_env's"):
                find(stranger)


OBSERVATIONS: dict[str, Any] = {
    "shape": np.zeros((9, 7), np.float32),
    "shape ": np.zeros((2, 9, 7), np.float32),
    "shape  ": np.zeros((10, 8), np.float32),
    "shape   ": 0.5,
    "type object": {"rows": np.zeros((10, 7))},
    "type complex128": np.zeros((10, 7), complex),
    "type <U3": np.full((10, 7), "0.5"),
    "type bool": np.zeros((10, 7), bool),
    "is a list": [[0.5], [0.5, 0.5]],
    "masked": np.ma.masked_array(np.zeros((10, 7)), mask=True),
    "nan": np.full((10, 7), np.nan),
    "inf": np.full((2, 10, 7), np.inf),
    "1.5": np.full((10, 7), 1.5),
}


@pytest.mark.parametrize("name", ["exact", "oracle", "random", "random-decision"])
@pytest.mark.parametrize("what", OBSERVATIONS)
def test_what_is_no_observation_of_the_environment_is_refused(what: str, name: str) -> None:
    env = gym.make("SFL-v0")
    env.reset(seed=0)
    with pytest.raises(PolicyError, match=f"The observation.*{what.strip()}"):
        sfl_baselines.make(name, env).predict(OBSERVATIONS[what])
