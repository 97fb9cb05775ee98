"""Files that Stable-Baselines3 alone has written act, once they are trusted, where their spaces are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy

import sfl_agents
from sfl_agents.files.stock import StockAgent, is_stock
from sfl_baselines.environments import make_batch
from sfl_env.errors import PolicyError, RunError
from tests.fuzz import crafted
from tests.sfl_agents import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def network() -> dict[str, Any]:
    """Return options of an algorithm, which may change them."""
    return {"policy_kwargs": {"net_arch": [8]}, "device": "cpu"}


class OwnPolicy(ActorCriticPolicy):
    """A policy that a user derives."""


def saved(folder: Path, kind: type[BaseAlgorithm] = PPO, policy: Any = "MlpPolicy", **options: Any) -> Path:
    env = gym.make("SFL-Bandit-v0", **options.pop("fields", {}))
    file = folder / "mine.zip"
    kind(policy, env, **network(), **options).save(file)
    return file


@pytest.mark.parametrize(
    ("kind", "name"),
    [(PPO, "ppo"), (A2C, "a2c"), (SAC, "sac"), (TD3, "td3"), (DDPG, "ddpg"), (RecurrentPPO, "recurrent-ppo")],
)
def test_the_algorithm_follows_from_what_is_stored(tmp_path: Path, kind: type[BaseAlgorithm], name: str) -> None:
    small = {"buffer_size": 8} if kind in (SAC, TD3, DDPG) else {}
    policy = "MlpLstmPolicy" if kind is RecurrentPPO else "MlpPolicy"
    agent = StockAgent.open(saved(tmp_path, kind, policy, **small), trust=True)
    assert agent.algo == name
    acting = agent.load(make_batch("SFL-Bandit-v0", 2))
    assert type(acting) is kind


def test_one_critic_makes_no_other_algorithm_of_it(tmp_path: Path) -> None:
    file = tmp_path / "mine.zip"
    TD3("MlpPolicy", gym.make("SFL-Bandit-v0"), policy_kwargs={"n_critics": 1}, buffer_size=8).save(file)
    assert StockAgent.open(file, trust=True).algo == "td3"


def test_an_algorithm_that_is_not_known_is_not_taken_for_one_that_shares_its_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"has the policy of a2c and ppo, and settings of neither"):
        StockAgent.open(saved(tmp_path, TRPO), trust=True)


def test_what_is_told_more_than_the_reward_is_not_taken_for_another(tmp_path: Path) -> None:
    work = tiny.job("imitation")
    sfl_agents.load(tiny.finished(work, tmp_path / "run"), work.batch(1)).save(tmp_path / "mine.zip")
    with pytest.raises(PolicyError, match=r"has the policy of a2c and ppo, and settings of neither"):
        StockAgent.open(tmp_path / "mine.zip", trust=True)


def test_weights_that_are_no_numbers_are_told_of(tmp_path: Path) -> None:
    env = gym.make("SFL-Bandit-v0")
    model = PPO("MlpPolicy", env, **network())
    next(model.policy.parameters()).data.fill_(np.nan)
    model.save(tmp_path / "mine.zip")
    with pytest.raises(PolicyError, match="weights that are not finite"):
        sfl_agents.load(tmp_path / "mine.zip", env, trust=True)


def falling(first: float) -> Callable[[float], float]:
    return lambda left: first * left


@pytest.mark.parametrize(
    ("kind", "name", "ours", "theirs"),
    [
        (PPO, "clip_range", 0.1, 0.4),
        (PPO, "learning_rate", falling(1e-3), falling(1e-4)),
        (PPO, "clip_range", lambda left: 0.1 * left, lambda left: 0.2 * left),
        (SAC, "train_freq", 1, 8),
    ],
)
def test_trainings_with_other_settings_are_told_apart(
    tmp_path: Path, kind: type[BaseAlgorithm], name: str, ours: Any, theirs: Any
) -> None:
    small = {"buffer_size": 8} if kind is SAC else {}
    told = []
    for place, value in enumerate((ours, ours, theirs)):
        (tmp_path / str(place)).mkdir()
        file = saved(tmp_path / str(place), kind, **{name: value, "seed": 0, **small})
        told.append(StockAgent.open(file, trust=True).to_dict())
    assert told[0] == told[1] != told[2]


def test_an_own_policy_is_played_by_the_algorithm_that_it_was_derived_for(tmp_path: Path) -> None:
    agent = StockAgent.open(saved(tmp_path, policy=OwnPolicy), trust=True)
    assert (agent.algo, agent.policy) == ("ppo", "OwnPolicy")


def test_choices_that_are_masked_are_those_of_the_masking_algorithm(tmp_path: Path) -> None:
    agent = StockAgent.open(saved(tmp_path, MaskablePPO, fields={"action_mode": "cut"}), trust=True)
    assert agent.algo == "maskable-ppo"


@pytest.mark.parametrize("devices", [2, 10])
def test_a_trusted_agent_acts_as_it_did(tmp_path: Path, devices: int) -> None:
    env = gym.make("SFL-Bandit-v0", num_devices=devices)
    model = PPO("MlpPolicy", env, **network())
    model.save(tmp_path / "mine.zip")
    observation, _ = env.reset(seed=0)
    theirs = sfl_agents.load(tmp_path / "mine.zip", env, trust=True)
    np.testing.assert_array_equal(
        theirs.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
    )


def test_without_trust_nothing_is_opened(tmp_path: Path) -> None:
    file, touched = tmp_path / "mine.zip", tmp_path / "touched"
    crafted.foreign_agent(file, touched)
    assert is_stock(file)
    with pytest.raises(RunError, match=r"mine\.zip .* runs whatever code .* trust=True"):
        sfl_agents.load(file, gym.make("SFL-v0"))
    with pytest.raises(RunError, match=r"does not say what its agent was trained for, and no training run's"):
        sfl_agents.describe(file)
    assert not touched.exists()
    with pytest.raises(PolicyError, match="not a whole agent file"):
        sfl_agents.load(file, gym.make("SFL-v0"), trust=True)
    assert touched.exists()


def test_where_it_does_not_fit_it_is_told_where_it_does(tmp_path: Path) -> None:
    file = saved(tmp_path, fields={"num_devices": 4})
    with pytest.raises(PolicyError) as told:
        sfl_agents.load(file, gym.make("SFL-v0"), trust=True)
    assert "observations Box(-1, 1, (4, 56)) and actions Box(-5, 5, (4, 2)); this environment has" in str(
        told.value
    )
    assert "SFL-Bandit-v0 with num_devices=4;" in str(told.value)
    assert "SFL-v0 with num_devices=4 and observation_mode='problem', action_mode='residual'" in str(told.value)


def test_flattened_observations_are_no_ids(tmp_path: Path) -> None:
    file = tmp_path / "flat.zip"
    PPO("MlpPolicy", gym.wrappers.FlattenObservation(gym.make("SFL-v0")), **network()).save(file)
    with pytest.raises(PolicyError, match=r"No id of this package has such spaces .* FlattenObservation"):
        sfl_agents.load(file, gym.make("SFL-v0"), trust=True)


def test_modes_are_those_with_the_spaces_of_the_file(tmp_path: Path) -> None:
    agent = StockAgent.open(saved(tmp_path), trust=True)
    make = lambda **modes: make_batch("SFL-v0", 1, **modes)  # noqa: E731
    assert agent.modes_in(make, "SFL-v0") == ("problem", "residual")
    always = lambda **modes: make_batch("SFL-Bandit-v0", 1)  # noqa: E731
    with pytest.raises(PolicyError, match="its file does not say which"):
        agent.modes_in(always, "mine")


def test_trainings_are_alike_but_for_their_seeds(tmp_path: Path) -> None:
    told = []
    for seed in (0, 1, None):
        (tmp_path / str(seed)).mkdir()
        told.append(StockAgent.open(saved(tmp_path / str(seed), seed=seed), trust=True).to_dict())
    assert [each.pop("seed") for each in told] == [0, 1, None]
    assert told[0] == told[1] != told[2]
