"""Agents that are told more than the reward: what they are told is right, and what they are is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sfl_agents
from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.pointer_network import Pointer
from sfl_agents.training.algorithms import TAUGHT
from sfl_agents.training.job import Job
from sfl_agents.training.settings import known_ids, load
from sfl_agents.training.taught.imitation import Imitation
from sfl_agents.training.taught.lessons import Lesson, chosen_log_share
from sfl_agents.training.taught.physics import length_gradient
from sfl_agents.training.train import train
from sfl_agents.vec_env import SFLVecEnv
from sfl_baselines.environments import make_batch
from sfl_env import Decision
from sfl_env.errors import TrainingError
from sfl_env.presets import PRESETS
from sfl_env.storage.json_text import read_json
from tests.sfl_agents import tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def lesson(n: int = 4, **fields: Any) -> Lesson:
    batch = make_batch("SFL-v0", n, fields, observation_mode="problem", autoreset_mode="SameStep")
    return Lesson(SFLVecEnv(batch)).start()


def pointer_at(log_share: torch.Tensor, cut: np.ndarray, num_cuts: int) -> Pointer:
    """What points at cuts for sure, with the same log-share at every cut."""
    logits = torch.nn.functional.one_hot(torch.as_tensor(cut), num_cuts) * 100.0
    none = torch.zeros(len(cut))
    return Pointer(logits, log_share.unsqueeze(-1).expand_as(logits), none, none, none)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 8))
def test_the_slopes_that_physics_teaches_with_are_those_of_the_rounds_length(seed: int, k: int) -> None:
    """Against central differences of devices' times, computed from the problem itself."""
    taught = lesson(num_devices=k)
    rng = np.random.default_rng(seed)
    log_share = np.log(rng.dirichlet(np.full(k, 5.0), size=4))
    devices, problem = taught.devices(), taught.episodes.true_problem()
    there = devices.evaluate(np.exp(log_share))
    cut, eps = devices.cut(there), 1e-5

    def time_s(step: float) -> Any:
        # Shares that sum to less than one are allowed, so all may be moved together.
        return problem.device_latency_s(Decision(cut, np.exp(log_share - 2 * eps + step)))

    slope_s = devices.slope_s(devices.evaluate(np.exp(log_share - 2 * eps)))
    np.testing.assert_allclose(-(time_s(eps) - time_s(-eps)) / (2 * eps), slope_s, rtol=1e-4, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_a_small_step_along_the_gradient_shortens_the_round(seed: int) -> None:
    """Wherever the last device is alone in being late, as it nearly always is."""
    rng = np.random.default_rng(seed)
    fixed, air = rng.uniform(0.0, 1.0, (1, 6)), rng.uniform(0.1, 1.0, (1, 6))
    log_share = np.log(rng.dirichlet(np.full(6, 4.0), size=1))

    def times(at: Any) -> Any:
        return fixed + air / (np.exp(at) / np.exp(at).sum())

    now = times(log_share)
    gradient = length_gradient(now, now - fixed)
    moved = log_share - 1e-4 * gradient
    moved -= np.log(np.exp(moved).sum())
    assert times(moved).max() < now.max()


def test_at_the_optimum_there_is_nothing_to_imitate() -> None:
    taught = lesson(num_devices=5)
    imitation = Imitation(CutPointerPolicy, None, _init_setup_model=False)
    cut, share = taught.solution().decision
    assert (share > 0.0).all()
    exact = torch.as_tensor(np.log(share), dtype=torch.float32)
    at_optimum = imitation.loss(pointer_at(exact, cut, taught.num_cuts), taught)
    off = imitation.loss(pointer_at(exact + 0.3 * torch.randn_like(exact), cut, taught.num_cuts), taught)
    assert float(at_optimum) < 1e-9 < float(off)


def test_at_the_optimum_the_gradient_by_which_times_are_made_equal_vanishes() -> None:
    taught = lesson(num_devices=5)
    share = taught.solution().decision.bandwidth_share
    devices = taught.devices()
    there = devices.evaluate(share)
    # What is left is the softmax's, and equal times share it.
    np.testing.assert_allclose(
        length_gradient(there.time_s, devices.slope_s(there)),
        -0.05 * devices.slope_s(there) / there.time_s.max(axis=-1, keepdims=True) / 5,
        rtol=1e-4,
    )


def test_chosen_shares_sum_to_one() -> None:
    pointer = pointer_at(torch.randn(3, 6), np.zeros((3, 6), np.intp), 4)
    total = chosen_log_share(pointer, torch.zeros(3, 6, dtype=torch.long)).exp().sum(dim=-1)
    torch.testing.assert_close(total, torch.ones(3))


@pytest.mark.parametrize("algo", TAUGHT)
def test_a_taught_agent_gets_better_acts_elsewhere_and_is_told_as_what_it_is(tmp_path: Path, algo: str) -> None:
    chosen = load(algo, "SFL-v0").replace(
        total_steps=1280,
        num_envs=16,
        scenarios=({"num_devices": 3, "model": "lenet5"},),
        hyperparameters={"n_steps": 40},
    )
    work = Job(algo, "SFL-v0", chosen, {"num_devices": 12, "bandwidth_hz": 50e6}, num_evaluations=1)
    folder = tmp_path / "run"
    seen: list[Any] = []

    train(work, work.open_run(folder), on_milestone=seen.append)
    assert seen[-1].mean_ratio < seen[0].mean_ratio
    way = {"imitation": "imitation of the solver", "physics": "gradients through the known physics"}[algo]
    assert f"learnt by {way}, 1,280 rounds" in sfl_agents.about(work)
    assert read_json(folder / "summary.json", TrainingError)["way"] == way
    elsewhere = make_batch("SFL-IoT-v0", 2, observation_mode="problem")
    action, _ = sfl_agents.load(folder, elsewhere).predict(elsewhere.reset(seed=0)[0], deterministic=True)
    assert elsewhere.action_space.contains(action)


@pytest.mark.parametrize("algo", TAUGHT)
def test_only_lengths_of_rounds_are_taught(algo: str) -> None:
    for env_id in PRESETS:
        if PRESETS[env_id].fields.get("mode") == "accuracy":  # which has no batch
            continue
        modes: dict[str, Any] = {"observation_mode": "problem", "action_mode": "continuous"}
        batch = make_batch(env_id, 1, autoreset_mode="SameStep", **modes)
        if env_id in (*known_ids(algo), "SFL-Bandit-v0"):  # which has the rounds of SFL-v0
            Lesson(SFLVecEnv(batch))
        else:
            with pytest.raises(TrainingError, match="learns from reward"):
                Lesson(SFLVecEnv(batch))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenarios": [{"num_devices": 3}]}, "scenarios are for imitation and physics"),
        ({"observation_mode": "devices"}, "observation_mode is 'devices' and has to be 'problem'"),
        ({"action_mode": "residual"}, "decides on cuts and shares themselves"),
        ({"scenarios": 3}, "it has to be a list of mappings"),
        ({"observation_mode": "problems"}, "did you mean 'problem'"),
    ],
)
def test_what_does_not_go_with_the_pointer_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        Job("ppo", "SFL-v0", tiny.POINTER.replace(**changes))
