"""A baseline decides about what the environment gives, or not at all."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecCheckNan, VecFrameStack, VecNormalize

import sfl_baselines
from sfl_agents.training.rewards import ExcessReward, LogReward
from sfl_agents.vec_env import SFLVecEnv
from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.errors import PolicyError


class HalfObservation(gym.Wrapper[Any, Any, Any, Any]):
    """A user's own, which overrides step and reset."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(**options)
        return observation * 0.5, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, *rest = super().step(action)
        return (observation * 0.5, *rest)


class Nothing(gym.Wrapper[Any, Any, Any, Any]):
    """A user's own, which overrides nothing."""


class Reward(gym.RewardWrapper[Any, Any]):
    """A user's own, of the reward alone."""

    def reward(self, reward: Any) -> Any:
        return -reward


class SwappedEnv(SFLEnv):
    """A user's own kind of environment."""

    def step(self, action: Any) -> Any:
        return super().step(action[::-1])


def batch() -> SFLVecEnv:
    return SFLVecEnv(SFLVectorEnv(2, autoreset_mode="SameStep"))


def excess(rows: SFLVectorEnv) -> ExcessReward:
    return ExcessReward(SFLVecEnv(rows), rows)


CHANGING: dict[str, Callable[[], Any]] = {
    "NormalizeObservation": lambda: wrappers.NormalizeObservation(gym.make("SFL-v0")),
    "FlattenObservation": lambda: wrappers.FlattenObservation(gym.make("SFL-v0")),
    "FrameStackObservation": lambda: wrappers.FrameStackObservation(gym.make("SFL-v0"), 2),
    "TransformObservation": lambda: wrappers.TransformObservation(gym.make("SFL-v0"), lambda x: x, None),
    "RescaleAction": lambda: wrappers.RescaleAction(gym.make("SFL-v0"), np.float32(0.0), np.float32(1.0)),
    "StickyAction": lambda: wrappers.StickyAction(gym.make("SFL-v0"), 0.5),
    "an inner one": lambda: Monitor(wrappers.NormalizeObservation(gym.make("SFL-v0"))),
    "vector NormalizeObservation": lambda: vector.NormalizeObservation(gym.make_vec("SFL-v0", num_envs=2)),
    "vector RescaleAction": lambda: vector.RescaleAction(
        gym.make_vec("SFL-v0", num_envs=2), np.zeros((10, 2), np.float32), np.ones((10, 2), np.float32)
    ),
    "VecNormalize": lambda: VecNormalize(batch()),
    "VecFrameStack": lambda: VecFrameStack(batch(), 2),
    "an own one": lambda: HalfObservation(gym.make("SFL-v0")),
    "an own environment": SwappedEnv,
}
HARMLESS: dict[str, Callable[[], Any]] = {
    "none": lambda: gym.make("SFL-v0"),
    "the environment itself": SFLEnv,
    "Monitor": lambda: Monitor(gym.make("SFL-v0")),
    "RecordEpisodeStatistics": lambda: wrappers.RecordEpisodeStatistics(gym.make("SFL-v0")),
    "NormalizeReward": lambda: wrappers.NormalizeReward(gym.make("SFL-v0")),
    "TransformReward": lambda: wrappers.TransformReward(gym.make("SFL-v0"), lambda r: -float(r)),
    "TimeLimit": lambda: wrappers.TimeLimit(gym.make("SFL-v0"), 3),
    "an own one": lambda: Nothing(Reward(gym.make("SFL-v0"))),
    "vector": lambda: gym.make_vec("SFL-v0", num_envs=2),
    "vector statistics": lambda: vector.RecordEpisodeStatistics(gym.make_vec("SFL-v0", num_envs=2)),
    "vector reward": lambda: vector.NormalizeReward(gym.make_vec("SFL-v0", num_envs=2)),
    "SFLVecEnv": batch,
    "VecCheckNan": lambda: VecCheckNan(LogReward(batch())),
    "ExcessReward": lambda: excess(SFLVectorEnv(2, autoreset_mode="SameStep", observation_mode="problem")),
    "VecNormalize of rewards": lambda: VecNormalize(batch(), norm_obs=False),
}


@pytest.mark.parametrize("name", ["exact", "oracle", "random"])
@pytest.mark.parametrize("kind", CHANGING)
def test_wrappers_that_change_what_is_seen_or_done_are_refused(kind: str, name: str) -> None:
    with pytest.raises(PolicyError, match=r"changes, or may change, .* env\.unwrapped"):
        sfl_baselines.make(name, CHANGING[kind]())


@pytest.mark.parametrize("kind", HARMLESS)
def test_wrappers_that_change_neither_are_taken(kind: str) -> None:
    env = HARMLESS[kind]()
    policy = sfl_baselines.make("exact", env)
    found = env.reset()
    observation = found[0] if isinstance(found, tuple) else found
    action, _ = policy.predict(observation)
    assert env.action_space.contains(action if action.ndim == len(env.action_space.shape) else action[0])


def test_spaces_that_a_wrapper_declares_anew_are_refused() -> None:
    env = Nothing(gym.make("SFL-v0"))
    env.action_space = gym.spaces.Box(-2.0, 2.0, (10, 2), np.float32)
    with pytest.raises(PolicyError, match="Nothing changes, or may change"):
        sfl_baselines.make("exact", env)


@pytest.mark.parametrize("method", ["step", "reset"])
def test_methods_put_on_a_wrapper_or_an_environment_are_refused(method: str) -> None:
    for env in (Nothing(gym.make("SFL-v0")), gym.make("SFL-v0").unwrapped):
        sfl_baselines.make("exact", env)
        setattr(env, method, lambda *given, **options: None)
        with pytest.raises(PolicyError, match=rf"{type(env).__name__} changes, or may change"):
            sfl_baselines.make("exact", env)


def test_the_environment_inside_is_decided_as_before() -> None:
    env = wrappers.NormalizeObservation(gym.make("SFL-v0", info_optimum=True))
    env.reset(seed=0)
    policy = sfl_baselines.make("oracle", env.unwrapped)
    action, _ = policy.predict(np.zeros((10, 7), np.float32))
    info = env.step(action)[4]
    assert info["latency_s"] == pytest.approx(info["optimal_latency_s"], rel=1e-5)


@pytest.mark.parametrize("method", ["reset", "step"])
@pytest.mark.parametrize("layer", ["wrapper", "environment"])
def test_a_method_replaced_on_the_object_may_change_what_is_seen(method: str, layer: str) -> None:
    env: Any = gym.make("SFL-v0", num_devices=3)
    changed = env if layer == "wrapper" else env.unwrapped
    setattr(changed, method, getattr(changed, method))
    with pytest.raises(PolicyError, match="may change"):
        sfl_baselines.make("exact", env)


def test_a_wrapper_that_answers_for_every_attribute_may_change_what_is_seen() -> None:
    class Everything(gym.Wrapper[Any, Any, Any, Any]):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

    with pytest.raises(PolicyError, match="Everything"):
        sfl_baselines.make("exact", Everything(gym.make("SFL-v0", num_devices=3)))
