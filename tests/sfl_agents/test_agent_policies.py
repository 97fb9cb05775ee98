"""Networks that treat devices alike, and agents loaded to act elsewhere."""

from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from sfl_agents import agent
from sfl_agents.files.agent_file import AgentFile
from sfl_agents.files.run_folder import AGENT
from sfl_agents.policies.device_policy import DevicePolicy
from sfl_agents.policies.distributions import Choices, CutAndItsShare, CutAndShare, for_space
from sfl_agents.policies.rows import FlatRows, StandardisedRows
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings
from sfl_agents.training.train import train
from sfl_baselines.environments import make_batch
from sfl_env.errors import PolicyError, RunError, TrainingError
from sfl_env.storage import runs

SMALL = {"num_devices": 3, "max_rounds": 5}
MODES = ("continuous", "cut", "discrete")


def policy_for(mode: Any, devices: int = 4) -> Any:
    batch = make_batch("SFL-v0", 2, {"num_devices": devices}, action_mode=mode)
    torch.manual_seed(0)
    policy = DevicePolicy(
        cast(Any, batch.single_observation_space),
        batch.single_action_space,
        lambda _: 1e-3,
        num_cuts=batch.episodes.simulator.workload.num_cuts,
    )
    # The start is near to indifferent, which would hide differences between devices.
    torch.nn.init.normal_(cast(Any, policy.action_net.weight))
    return policy, batch


@pytest.mark.parametrize("mode", MODES)
def test_renumbering_devices_renumbers_decisions(mode: str) -> None:
    policy, batch = policy_for(mode)
    observation, _ = batch.reset(seed=0)
    order = np.array([2, 0, 3, 1])
    action, _ = policy.predict(observation, deterministic=True)
    renumbered, _ = policy.predict(observation[:, order], deterministic=True)
    per_device = action if mode == "continuous" else action.reshape(2, -1, 4).transpose(0, 2, 1)
    got = renumbered if mode == "continuous" else renumbered.reshape(2, -1, 4).transpose(0, 2, 1)
    np.testing.assert_allclose(got, per_device[:, order], atol=1e-5)
    values = policy.predict_values(torch.as_tensor(observation))
    np.testing.assert_allclose(
        policy.predict_values(torch.as_tensor(observation[:, order])).detach(), values.detach(), atol=1e-5
    )


@pytest.mark.parametrize("mode", MODES)
def test_actions_are_in_the_environments_space(mode: str) -> None:
    policy, batch = policy_for(mode)
    observation, _ = batch.reset(seed=0)
    for deterministic in (True, False):
        action, _ = policy.predict(observation, deterministic=deterministic)
        assert batch.action_space.contains(action.astype(batch.action_space.dtype))
        single, _ = policy.predict(observation[0], deterministic=deterministic)
        assert batch.single_action_space.contains(single.astype(batch.action_space.dtype))


@pytest.mark.parametrize("mode", MODES)
def test_likelihoods_of_drawn_and_stored_actions_agree(mode: str) -> None:
    policy, batch = policy_for(mode)
    observation = torch.as_tensor(batch.reset(seed=0)[0])
    actions, values, log_prob = policy(observation)
    again_values, again, entropy = policy.evaluate_actions(observation, actions.flatten(start_dim=1))
    torch.testing.assert_close(again, log_prob)
    torch.testing.assert_close(again_values, values)
    assert entropy.shape == log_prob.shape == (2,)


@pytest.mark.parametrize("kind", [CutAndShare, CutAndItsShare])
def test_cut_and_share_is_a_normalised_density(kind: type[CutAndShare] | type[CutAndItsShare]) -> None:
    torch.manual_seed(0)
    share = torch.linspace(-5.0, 5.0, 20_001, dtype=torch.float64)
    params = torch.randn(1, 1, kind(3).outputs, dtype=torch.float64).expand(len(share), 1, kind(3).outputs)
    distribution = kind(3).proba_distribution(params, torch.tensor(-1.0, dtype=torch.float64))
    total = 0.0
    for cut in (-2 / 3, 0.0, 2 / 3):
        actions = torch.stack([torch.full_like(share, cut), share], dim=-1)
        total += float(distribution.log_prob(actions).exp().sum() * (share[1] - share[0]))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_entropy_is_the_mean_surprise() -> None:
    torch.manual_seed(0)
    params = torch.randn(1, 2, 5).expand(200_000, 2, 5)
    distribution = CutAndShare(4).proba_distribution(params, torch.tensor(-2.0))
    surprise = -distribution.log_prob(distribution.sample())
    assert float(surprise.mean()) == pytest.approx(float(distribution.entropy()[0]), abs=0.02)
    choices = Choices([3, 2]).proba_distribution(params)
    surprise = -choices.log_prob(choices.sample())
    assert float(surprise.mean()) == pytest.approx(float(choices.entropy()[0]), abs=0.02)


def test_each_cut_has_the_share_of_its_own() -> None:
    params = torch.tensor([[[9.0, 0.0, 0.0, 2.0, 0.0, 0.0], [0.0, 9.0, 0.0, 5.0, -1.0, 5.0]]])
    cut, share = CutAndItsShare(3).proba_distribution(params, torch.tensor(-2.0)).mode().unbind(dim=-1)
    assert cut[0].tolist() == pytest.approx([-2 / 3, 0.0])
    assert float(share[0, 0] - share[0, 1]) == pytest.approx(0.2 * 3.0)
    assert float(share.sum()) == pytest.approx(0.0, abs=1e-6)


def test_all_log_shares_together_do_not_matter() -> None:
    params = torch.randn(2, 3, 5)
    moved = params.clone()
    moved[..., -1] += 7.0
    first = CutAndShare(4).proba_distribution(params, torch.tensor(-2.0)).mode()
    second = CutAndShare(4).proba_distribution(moved, torch.tensor(-2.0)).mode()
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0.0)


def test_spaces_that_do_not_fit_are_told() -> None:
    with pytest.raises(TrainingError, match="num_cuts"):
        for_space(spaces.Box(-1.0, 1.0, (3, 2)), 3, None)
    with pytest.raises(TrainingError, match="MlpPolicy"):
        for_space(spaces.Discrete(5), 3, 4)


@pytest.mark.parametrize("kind", [StandardisedRows, FlatRows])
def test_rows_are_standardised_by_column(kind: Any) -> None:
    rng = np.random.default_rng(0)
    spread = np.array([0.3, 0.02, 0.0])
    rows = torch.as_tensor((rng.normal(size=(500, 4, 3)) * spread + 0.4).astype(np.float32))
    extractor = kind(spaces.Box(-1.0, 1.0, (4, 3)))
    extractor.fit(rows)
    columns = extractor(rows).reshape(-1, 3)
    np.testing.assert_allclose(columns.mean(dim=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(columns.std(dim=0), [1.0, 1.0, 0.0], atol=1e-3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs") / "agent"
    tiny = Settings(
        total_steps=64,
        num_envs=4,
        policy="DevicePolicy",
        policy_kwargs={"net_arch": [8]},
        hyperparameters={"n_steps": 8, "batch_size": 16, "n_epochs": 1},
    )
    work = Job("ppo", "SFL-v0", tiny, SMALL, num_evaluations=1)
    train(work, work.open_run(folder))
    return folder


def test_an_agent_acts_as_it_did_when_saved(trained: Any) -> None:
    batch = make_batch("SFL-v0", 3, SMALL)
    observation, _ = batch.reset(seed=0)
    loaded = agent.load(trained, batch)
    other = agent.load(trained / AGENT, batch)
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], other.predict(observation, deterministic=True)[0]
    )
    # The scale of the features travels with the weights.
    assert float(cast(Any, loaded.policy.features_extractor.spread).min()) < 1.0


def test_an_agent_acts_for_any_number_of_devices(trained: Any) -> None:
    env = gym.make("SFL-v0", num_devices=8)
    observation, _ = env.reset(seed=0)
    action, _ = agent.load(trained, env).predict(observation, deterministic=True)
    assert env.action_space.contains(action)
    env.step(action)


@pytest.mark.parametrize(
    ("fields", "options"),
    [({"model": "lenet5"}, {}), ({"battery_share": 0.001}, {}), ({}, {"action_mode": "cut"})],
)
def test_an_agent_for_other_cuts_features_or_actions_is_refused(trained: Any, fields: Any, options: Any) -> None:
    with pytest.raises(PolicyError, match="was trained for"):
        agent.load(trained, make_batch("SFL-v0", 1, SMALL | fields, **options))


def test_what_is_no_agent_is_refused(trained: Any, tmp_path: Path) -> None:
    batch = make_batch("SFL-v0", 1, SMALL)
    with pytest.raises(RunError, match="folder of a run"):
        agent.load(tmp_path, batch)
    runs.start(tmp_path / "other", "benchmark", {})
    with pytest.raises(PolicyError, match="kind 'benchmark'"):
        agent.load(tmp_path / "other", batch)
    AgentFile.open(trained / AGENT).job.open_run(tmp_path / "running")
    with pytest.raises(PolicyError, match="has not ended"):
        agent.load(tmp_path / "running", batch)
    (tmp_path / "running" / AGENT).write_bytes((trained / AGENT).read_bytes()[:1000])
    with pytest.raises(PolicyError, match="not a whole agent file"):
        agent.load(tmp_path / "running", batch)
