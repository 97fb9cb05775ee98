"""The pointer as SAC's actor, and its critics."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import sfl_agents
from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.cut_pointer_sac import CutPointerSACPolicy
from sfl_baselines.environments import make_batch
from sfl_env import SFLVectorEnv
from sfl_env.errors import TrainingError
from tests.sfl_agents import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def batch_of(n: int = 3, **fields: Any) -> SFLVectorEnv:
    return make_batch("SFL-v0", n, fields, observation_mode="problem")


def policy_in(batch: SFLVectorEnv, kind: Any = CutPointerSACPolicy, *, blank: bool = False) -> Any:
    torch.manual_seed(0)
    cuts = batch.episodes.simulator.workload.num_cuts
    spaces = cast(Any, (batch.single_observation_space, batch.single_action_space))
    policy = kind(*spaces, lambda _: 1e-3, num_cuts=cuts)
    if not blank:
        for weights in policy.parameters():
            torch.nn.init.normal_(weights, std=0.2)
    return policy


def test_renumbering_devices_renumbers_decisions_and_keeps_values() -> None:
    batch = batch_of(num_devices=4)
    policy, order = policy_in(batch), np.array([2, 0, 3, 1])
    observation, _ = batch.reset(seed=0)
    action, renumbered = (policy.predict(o, deterministic=True)[0] for o in (observation, observation[:, order]))
    np.testing.assert_allclose(renumbered, action[:, order], atol=1e-5)
    values, again = (
        policy.critic(torch.as_tensor(o), torch.as_tensor(a).flatten(start_dim=1))
        for o, a in ((observation, action), (observation[:, order], action[:, order]))
    )
    torch.testing.assert_close(values, again, atol=1e-4, rtol=1e-4)


def test_untrained_its_likeliest_decision_is_that_of_the_actor_critic_policy() -> None:
    batch = batch_of()
    observation, _ = batch.reset(seed=0)
    sac, other = (policy_in(batch, kind, blank=True) for kind in (CutPointerSACPolicy, CutPointerPolicy))
    ours, theirs = (p.predict(observation, deterministic=True)[0] for p in (sac, other))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_untrained_critics_rank_decisions_as_the_rounds_do() -> None:
    """Values and logarithms of rounds' lengths hang together over random decisions near the sensible one."""
    batch = batch_of(64)
    observation, _ = batch.reset(seed=0)
    policy = policy_in(batch, blank=True)
    torch.manual_seed(1)
    action, _ = policy.predict(observation, deterministic=True)
    action = np.clip(action + np.random.default_rng(0).normal(0.0, 0.05, action.shape), -1.0, 1.0)
    rows, flat = torch.as_tensor(observation), torch.as_tensor(action, dtype=torch.float32).flatten(start_dim=1)
    value = policy.critic.q1_forward(rows, flat).detach().numpy()[:, 0]
    _, _, _, _, infos = batch.step(action.astype(np.float32))
    assert np.corrcoef(value, -np.log(infos["latency_s"]))[0, 1] > 0.9


def test_actors_and_critics_have_gradients_for_every_device() -> None:
    batch = batch_of()
    policy = policy_in(batch)
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    action, log_prob = policy.actor.action_log_prob(rows)
    action.retain_grad()
    policy.critic.q1_forward(rows, action).sum().backward(retain_graph=True)
    assert bool(torch.isfinite(action.grad).all())
    assert bool((action.grad.reshape(3, -1, 2) != 0.0).any(dim=1).all())
    log_prob.sum().backward()
    assert all(bool(torch.isfinite(w.grad).all()) for w in policy.actor.parameters() if w.grad is not None)


def test_it_trains_end_to_end_and_acts_elsewhere(tmp_path: Path) -> None:
    settings = tiny.OFF_POLICY.replace(
        observation_mode="problem", policy="CutPointerPolicy", policy_kwargs={"width": 8}, reward="log"
    )
    folder = tiny.finished_later(tiny.job("sac", settings), tmp_path / "run")
    elsewhere = batch_of(2, num_devices=7, model="vgg16")
    action, _ = sfl_agents.load(folder, elsewhere).predict(elsewhere.reset(seed=0)[0], deterministic=True)
    assert elsewhere.action_space.contains(action)
    assert "CutPointerPolicy (points at cuts" in sfl_agents.about(sfl_agents.describe(folder))


def test_rows_and_actions_of_other_modes_are_told() -> None:
    wrong: list[dict[str, Any]] = [{}, {"observation_mode": "problem", "action_mode": "residual"}]
    for options in wrong:
        with pytest.raises(TrainingError, match=r"observation_mode='problem'|action_mode continuous"):
            policy_in(make_batch("SFL-v0", 1, **options))
