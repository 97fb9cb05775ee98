"""The policies of rounds in stages see what agents see, and play there alone."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

import sfl_baselines
from sfl_env.errors import PolicyError

STAGED = ("staged-search", "staged-alternating")


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
def test_a_round_alone_is_decided_as_in_a_batch(name: str, barriers: str) -> None:
    envs = gym.make_vec("SFL-Barrier-v0", num_envs=2, barriers=barriers, num_devices=4)
    env = gym.make("SFL-Barrier-v0", barriers=barriers, num_devices=4)
    observations, _ = envs.reset(seed=3)
    actions, state = sfl_baselines.make(name, envs).predict(observations)
    assert state is None
    assert envs.action_space.contains(actions)
    alone, _ = sfl_baselines.make(name, env).predict(observations[1])
    np.testing.assert_allclose(alone, actions[1], atol=1e-3)


def test_the_search_beats_the_surrogates_in_the_environment_itself() -> None:
    latency = {}
    for name in (*STAGED, "exact", "common-cut"):
        envs = gym.make_vec("SFL-Barrier-v0", num_envs=8)
        observation, _ = envs.reset(seed=5)
        action, _ = sfl_baselines.make(name, envs).predict(observation)
        latency[name] = envs.step(action)[4]["latency_s"]
    for name in ("staged-alternating", "exact", "common-cut"):
        assert (latency["staged-search"] <= latency[name] * (1.0 + 1e-4)).all()
    assert latency["staged-search"].mean() < 0.9 * latency["exact"].mean()


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("fields", [{}, {"schedule": "sequence"}, {"deadline_s": 100.0}], ids=str)
def test_they_refuse_rounds_without_stages_and_name_who_plays_there(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(
        PolicyError, match=rf"'{name}' is for rounds whose devices wait .*barriers='adaptsfl'.*exact"
    ):
        sfl_baselines.make(name, gym.make("SFL-v0", **fields))


def test_names_of_a_scenario_are_those_that_can_be_made() -> None:
    systems: tuple[dict[str, Any], ...] = ({}, {"barriers": "adaptsfl"}, {"schedule": "sequence"})
    for fields in systems:
        env = cast(Any, gym.make("SFL-v0", **fields)).unwrapped
        playing = sfl_baselines.names(env.scenario)
        for name in playing:
            sfl_baselines.make(name, env)
        for name in set(sfl_baselines.names()) - set(playing):
            with pytest.raises(PolicyError):
                sfl_baselines.make(name, env)
