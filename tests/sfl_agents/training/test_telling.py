"""What an agent is made of is told from its settings, not from its name."""

from importlib import resources
from typing import Any

import pytest

import sfl_agents
from sfl_agents import Job, Settings, settings_for
from sfl_agents.training.algorithms import algorithm
from sfl_agents.training.settings import REWARDS
from sfl_env.presets import PRESETS
from tests.sfl_agents.contrib import algorithms


def test_what_is_this_packages_own_is_said_to_be() -> None:
    told = sfl_agents.about(Job("ppo", "SFL-v0", settings_for("ppo", "SFL-v0")))
    assert told == (
        "PPO of Stable-Baselines3 with this package's CutPointerPolicy (points at cuts by the share that each "
        "needs; categorical cut and Gaussian log-share), learnt from reward alone, log reward, gamma = 0, 249,856 "
        "rounds of `SFL-v0`, the best of its checkpoints on 32 validation episodes"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"policy": "MlpPolicy", "policy_kwargs": {}}, "its stock MlpPolicy (diagonal Gaussian) on standardised"),
        ({"reward": "normalised"}, "reward scaled by VecNormalize"),
        ({"reward": "raw"}, "the environment's reward as it is"),
        ({"action_mode": "cut"}, "(points at cuts by the share that each needs; categorical choices)"),
        ({"hyperparameters": {"n_steps": 32}}, "gamma = 0.99"),  # Stable-Baselines3's own
        ({"hyperparameters": {"n_steps": 32, "gamma": 0.5}}, "gamma = 0.5"),
        ({"total_steps": 4000}, "4,096 rounds"),  # whole rollouts
    ],
)
def test_every_setting_that_is_told_follows_the_settings(changes: dict[str, object], told: str) -> None:
    base = settings_for("ppo", "SFL-v0").replace(total_steps=2048)
    assert told in sfl_agents.about(Job("ppo", "SFL-v0", base.replace(**changes)))


@pytest.mark.parametrize(
    ("algo", "distribution"),
    [
        ("sac", "CutPointerPolicy (points at cuts by the share that each needs; squashed Gaussian)"),
        ("td3", "stock MlpPolicy (deterministic, exploring with Gaussian noise of"),
    ],
)
def test_off_policy_algorithms_have_distributions_of_their_own(algo: str, distribution: str) -> None:
    told = sfl_agents.about(Job(algo, "SFL-v0", settings_for(algo, "SFL-v0")))
    assert told.startswith(f"{algorithm(algo).__name__} of Stable-Baselines3 with ")
    assert distribution in told


def test_the_environments_fields_are_told_and_the_seed_is_not() -> None:
    settings = Settings(total_steps=4096, hyperparameters={"n_steps": 32})
    jobs = [Job("ppo", "SFL-v0", settings, {"num_devices": 3}, seed=seed) for seed in (0, 1)]
    assert "of `SFL-v0`, num_devices=3," in sfl_agents.about(jobs[0])
    assert sfl_agents.about(jobs[0]) == sfl_agents.about(jobs[1])


@pytest.mark.parametrize("algo", algorithms())
def test_every_agent_with_settings_that_are_offered_can_be_told_of(algo: str) -> None:
    """Agents of the battery tier once could not: a comparison or a card of theirs ended in a KeyError."""
    files = resources.files("sfl_agents") / "settings" / algo
    offered = {file.name.removesuffix(".yml") for file in files.iterdir()} & set(PRESETS)
    assert offered
    for env_id in offered:
        told = sfl_agents.about(Job(algo, env_id, settings_for(algo, env_id)))
        assert f"of `{env_id}`" in told


@pytest.mark.parametrize("reward", REWARDS)
def test_every_reward_is_told_in_words_of_its_own(reward: Any) -> None:
    base = settings_for("ppo", "SFL-v0")
    texts = {other: sfl_agents.about(Job("ppo", "SFL-v0", base.replace(reward=other))) for other in REWARDS}
    assert [other for other, text in texts.items() if text == texts[reward]] == [reward]
