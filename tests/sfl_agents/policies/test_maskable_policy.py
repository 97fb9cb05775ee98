"""Masks keep agents from what does not fit, in training, in comparisons and in sb3-contrib's own loops."""

import itertools
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import sfl_agents
import sfl_env
from sfl_agents.files.interface import Interface
from sfl_agents.training.job import Job
from sfl_agents.training.rewards import training_env
from sfl_agents.vec_env import SFLVecEnv
from sfl_baselines.environments import make_batch
from sfl_baselines.rollouts import play_to_the_end
from sfl_env.errors import ScenarioError, TrainingError
from sfl_lab import cli
from tests.sfl_agents import tiny

masking = pytest.importorskip("sb3_contrib.common.maskable.utils")
distributions = pytest.importorskip("sb3_contrib.common.maskable.distributions")

MASKED = tiny.SETTINGS.replace(action_mode="cut")
FIELDS: dict[str, Any] = {"num_devices": 6, "max_rounds": 5}

pytestmark = pytest.mark.usefixtures("one_thread")


def vec_env(n: int, mode: str) -> SFLVecEnv:
    return SFLVecEnv(sfl_env.SFLVectorEnv(n, action_mode=mode, autoreset_mode="SameStep", **FIELDS))


@pytest.mark.parametrize("mode", ["cut", "discrete"])
@pytest.mark.parametrize("reward", ["raw", "log", "normalised"])
def test_sb3_contrib_finds_every_environments_masks(mode: str, reward: str) -> None:
    batch = sfl_env.SFLVectorEnv(3, action_mode=mode, autoreset_mode="SameStep", **FIELDS)
    env = training_env(batch, reward, 0.0)
    env.seed(0)
    env.reset()
    assert masking.is_masking_supported(env)
    found = masking.get_action_masks(env)
    np.testing.assert_array_equal(found, batch.action_masks())
    assert len(np.unique(found, axis=0)) > 1  # each its own
    assert found.shape == (3, env.action_space.nvec.sum())  # type: ignore[attr-defined]


def test_sb3_contrib_finds_the_masks_of_single_environments() -> None:
    env = DummyVecEnv([lambda: gym.make("SFL-v0", action_mode="cut", **FIELDS)] * 2)
    env.seed(0)
    env.reset()
    assert masking.get_action_masks(VecNormalize(env)).shape == (2, env.action_space.nvec.sum())  # type: ignore[attr-defined]


def test_masks_of_some_environments_are_theirs() -> None:
    env = vec_env(3, "cut")
    env.reset()
    (last,) = env.env_method("action_masks", indices=2)
    np.testing.assert_array_equal(last, env.action_masks()[2])


def test_continuous_actions_are_told_through_the_adapter() -> None:
    env = vec_env(2, "continuous")
    env.reset()
    with pytest.raises(ScenarioError, match="action_mode='cut'"):
        env.action_masks()


@pytest.mark.parametrize("counts", [[4], [4, 3]])
def test_masked_choices_are_those_of_sb3_contrib(counts: list[int]) -> None:
    """Equal logits and masks, in its layout and in ours, give equal likelihoods and entropies."""
    from sfl_agents.policies.maskable_policy import MaskedChoices

    generator = np.random.default_rng(0)
    devices, batch = 3, 5
    logits = generator.normal(size=(batch, devices, sum(counts))).astype(np.float32)
    edges = np.cumsum([0, *counts])
    parts = [logits[..., i:j] for i, j in itertools.pairwise(edges)]
    flat = np.concatenate([part.reshape(batch, -1) for part in parts], axis=-1)
    masks = generator.random(flat.shape) < 0.5
    firsts = np.cumsum([0, *(count for count in counts for _ in range(devices))])[:-1]
    masks[:, firsts] = True  # every choice keeps one
    ours = MaskedChoices(counts)
    ours.proba_distribution(torch.as_tensor(logits))
    ours.apply_masking(masks)
    theirs = distributions.MaskableMultiCategoricalDistribution([c for c in counts for _ in range(devices)])
    theirs.proba_distribution(torch.as_tensor(flat))
    theirs.apply_masking(masks)
    torch.manual_seed(0)
    for _ in range(20):
        actions = ours.sample()
        chosen = np.take_along_axis(masks, firsts + actions.numpy(), axis=-1)
        assert chosen.all()
        torch.testing.assert_close(ours.log_prob(actions), theirs.log_prob(actions))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.mode(), theirs.mode())
    ours.apply_masking(None)
    theirs.apply_masking(None)
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


@pytest.mark.parametrize("policy", ["DevicePolicy", "MlpPolicy"])
@pytest.mark.parametrize("mode", ["cut", "discrete"])
def test_a_masked_agent_trains_and_asks_for_nothing_that_does_not_fit(
    tmp_path: Path, policy: str, mode: str
) -> None:
    settings = MASKED.replace(action_mode=mode, policy=policy)
    work = Job("maskable-ppo", "SFL-v0", settings, FIELDS, num_evaluations=1, evaluation_episodes=2)
    batch = make_batch("SFL-v0", 8, FIELDS, action_mode=mode)
    agent = sfl_agents.load(tiny.finished(work, tmp_path / "run"), batch)
    assert type(agent).__name__ == "MaskablePPO"
    # Now let it want the last option of every choice, the deepest cut.
    counts = Interface.of(batch).choices if policy == "DevicePolicy" else batch.single_action_space.nvec  # type: ignore[attr-defined]
    wishes = np.concatenate([np.linspace(0.0, 1e4, count) for count in counts])
    agent.policy.action_net.bias.data = torch.as_tensor(wishes, dtype=torch.float32)  # type: ignore[union-attr]

    def limited(policy: Any) -> bool:
        played = play_to_the_end(policy, batch.episodes, 0)
        return any(round_.done.infos["cut_limited"].any() for round_ in played)

    assert not limited(agent)
    assert limited(Unmasked(agent))


class Unmasked:
    """An agent that is not told of masks."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        action, _ = self._agent.predict(observation, deterministic=deterministic)
        return action, None


def test_comparisons_give_a_masked_agent_its_masks() -> None:
    seen: list[Any] = []

    class Recorder:
        def predict(
            self,
            observation: Any,
            state: Any = None,
            episode_start: Any = None,
            deterministic: bool = False,
            action_masks: Any = None,
        ) -> tuple[Any, Any]:
            np.testing.assert_array_equal(action_masks, batch.action_masks())
            seen.append(action_masks)
            # The deepest cut of each device that is left, so that no other mask would do.
            deepest = action_masks.reshape(len(observation), FIELDS["num_devices"], -1).sum(axis=-1) - 1
            return deepest, state

    batch = sfl_env.SFLVectorEnv(4, action_mode="cut", **FIELDS)
    played = list(play_to_the_end(Recorder(), batch.episodes, 0))
    assert len(seen) == len(played) == FIELDS["max_rounds"]
    assert not any(round_.done.infos["cut_limited"].any() for round_ in played)


def test_a_masked_agent_is_evaluated_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.finished(tiny.job("maskable-ppo", MASKED), tmp_path / "masked")
    assert cli.main(["evaluate", str(folder), "--episodes", "2"]) == 0
    assert "MaskablePPO of sb3-contrib with this package's DevicePolicy" in " ".join(
        capsys.readouterr().out.split()
    )


def test_masks_are_refused_for_continuous_actions_before_anything_is_made() -> None:
    with pytest.raises(TrainingError, match=r"action_mode is 'continuous' and has to be cut or discrete"):
        tiny.job("maskable-ppo", tiny.SETTINGS)


def test_the_maskable_policy_refuses_a_box() -> None:
    from sfl_agents.policies.maskable_policy import MaskableDevicePolicy

    env: Any = sfl_env.SFLEnv(**FIELDS)
    with pytest.raises(TrainingError, match="action_mode: cut"):
        MaskableDevicePolicy(env.observation_space, env.action_space, lambda _: 1e-3)
