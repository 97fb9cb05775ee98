"""The pointer for rounds in stages: devices alike, any number of them and of cuts, and only where they wait."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sfl_agents
import sfl_baselines
from sfl_agents.files.interface import Interface
from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.problem_columns import num_absolute, read
from sfl_agents.policies.stage_columns import StageColumns
from sfl_agents.policies.staged_needs import stage_needs
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings, load
from sfl_agents.training.train import train
from sfl_baselines.environments import make_batch
from sfl_baselines.staged import staged_common_cut, staged_problem_of
from sfl_env import SFLVectorEnv
from sfl_env.errors import PolicyError, TrainingError
from sfl_env.scenario import Barriers

BARRIERS: tuple[Barriers, ...] = ("adaptsfl", "every-phase")
MODES = ("continuous", "cut", "discrete")


def batch_of(n: int = 2, mode: str = "continuous", **fields: Any) -> SFLVectorEnv:
    return make_batch("SFL-Barrier-v0", n, fields, action_mode=mode, observation_mode="problem")


def policy_as_it_starts(batch: Any, **kwargs: Any) -> Any:
    return CutPointerPolicy(
        cast(Any, batch.single_observation_space),
        batch.single_action_space,
        lambda _: 1e-3,
        num_cuts=batch.episodes.simulator.workload.num_cuts,
        staged=True,
        **({"barriers": batch.scenario.barriers} | kwargs),
    )


def policy_in(batch: Any, *, blank: bool = False, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    policy = policy_as_it_starts(batch, **kwargs)
    if not blank:
        for weights in policy.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return policy


@pytest.mark.parametrize("barriers", BARRIERS)
def test_renumbering_devices_renumbers_decisions(barriers: Barriers) -> None:
    batch = batch_of(num_devices=4, barriers=barriers)
    policy, order = policy_in(batch), [2, 0, 3, 1]
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    cuts = batch.episodes.simulator.workload.num_cuts
    pointer, renumbered = policy.point(rows, cuts), policy.point(rows[:, order], cuts)
    torch.testing.assert_close(renumbered.logits, pointer.logits[:, order], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(renumbered.log_share, pointer.log_share[:, order], atol=1e-3, rtol=1e-4)
    value = policy.predict_values(rows)
    torch.testing.assert_close(policy.predict_values(rows[:, order]), value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fields", [{"num_devices": 1}, {"num_devices": 40, "model": "lenet5"}, {"model": "vgg16"}]
)
def test_the_same_weights_act_for_any_number_of_devices_and_cuts(mode: str, fields: dict[str, Any]) -> None:
    weights = policy_in(batch_of(mode=mode)).state_dict()
    batch = batch_of(mode=mode, **fields)
    policy = policy_in(batch, blank=True)
    policy.load_state_dict(weights)
    observation, _ = batch.reset(seed=0)
    for deterministic in (True, False):
        action, _ = policy.predict(observation, deterministic=deterministic)
        assert batch.action_space.contains(action.astype(batch.action_space.dtype))
        batch.step(action)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from([-1.0, 0.0, 1.0, None]), st.integers(0, 2**32 - 1))
def test_no_rows_give_anything_but_numbers(k: int, c: int, fill: float | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.full((3, k, 10 + 6 + 11 * c), 0.0 if fill is None else fill, np.float32)
    if fill is None:
        rows = rng.choice(np.array([-1.0, 0.0, 1.0], np.float32), size=rows.shape)
    policy = policy_in(batch_of())
    pointer = policy.point(torch.as_tensor(rows), c)
    loss = pointer.logits.log_softmax(-1)[..., 0].sum() + pointer.log_share.square().sum()
    loss.backward()
    found = [*pointer, *(weights.grad for weights in policy.parameters() if weights.grad is not None)]
    assert all(bool(torch.isfinite(numbers).all()) for numbers in found)


def test_rows_with_phases_are_not_mistaken_for_others() -> None:
    """With any number of cuts, columns of the phases make a number of columns that nothing else does."""
    leading = {False: (10, 11, 13, 19, 22), True: (13, 14, 16, 22, 25)}
    for late, absolute in leading.items():
        for cuts in range(1, 60):
            for phases in (0, 7 * cuts):
                for columns in absolute:
                    assert num_absolute(columns + phases + 6 + 4 * cuts, cuts, late_channel=late) == columns


@pytest.mark.parametrize("barriers", BARRIERS)
def test_columns_tell_what_stages_take_at_an_equal_share(barriers: Barriers) -> None:
    batch = batch_of(4, num_devices=5, barriers=barriers)
    rows, _ = batch.reset(seed=0)
    problem = staged_problem_of(batch.episodes, batch.episodes.now.true)
    n, k, num_cuts = problem.server_s.shape
    now = StageColumns.of(read(torch.as_tensor(rows), num_cuts), barriers)
    sensible_s = (now.columns.log_length.exp().numpy() * batch.episodes.reference_latency_s)[:, None, None]
    told_s = (now.fixed + now.log_air.exp()).numpy() * sensible_s[:, None]
    for place in range(now.cut.shape[-1]):
        cut, there = now.cut[..., place].numpy(), now.fits[..., place].numpy()
        seconds = np.moveaxis(problem.at(cut).stage_s(np.full((n, k), 1.0 / k)), 0, 1)
        known = there[:, None] & (seconds > 2e-3 * sensible_s[..., 0][:, None])
        np.testing.assert_allclose(told_s[..., place][known], seconds[known], rtol=1e-3)
        jobs = np.take_along_axis(problem.server_s, cut[..., None], axis=-1)[..., 0] * k
        known = there & (jobs > 1e-3)
        log_jobs = now.log_jobs[..., place].numpy()
        np.testing.assert_allclose((np.exp(log_jobs) * sensible_s[..., 0])[known], jobs[known], rtol=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_cuts_that_are_left_out_are_beaten_in_every_stage_where_rates_are_proportional(seed: int) -> None:
    batch = batch_of(num_devices=3)
    rows, _ = batch.reset(seed=seed)
    columns = read(torch.as_tensor(rows), batch.episodes.simulator.workload.num_cuts)
    lengths = torch.zeros(2, 4) + torch.linspace(-2.0, 0.5, 4)

    def least_need(fits: torch.Tensor) -> torch.Tensor:
        now = StageColumns.of(columns._replace(fits=fits), "adaptsfl")
        needs, _ = stage_needs(now, lengths)
        return torch.where(now.fits, needs.amax(dim=1), torch.inf).amin(dim=-1)

    least = least_need(columns.fits)
    for cut in range(columns.fits.shape[-1]):
        alone = columns.fits & (torch.arange(columns.fits.shape[-1]) == cut)
        assert bool((least_need(alone) >= least - 1e-4).all())


def test_decisions_are_possible_where_some_cannot_be_reached() -> None:
    batch = batch_of(cell_radius_m=3000.0, path_loss="macro", min_distance_m=35.0, num_devices=6)
    policy = policy_in(batch, blank=True)
    rows, _ = batch.reset(seed=1)
    for _ in range(3):
        action, _ = policy.predict(rows, deterministic=True)
        assert batch.action_space.contains(action)
        rows = batch.step(action)[0]


@pytest.mark.parametrize("barriers", BARRIERS)
def test_untrained_it_is_nearer_to_the_search_than_one_cut_for_all(barriers: Barriers) -> None:
    batch = batch_of(12, barriers=barriers)
    rows, _ = batch.reset(seed=0)
    action, _ = policy_in(batch, blank=True).predict(rows, deterministic=True)
    latency_s = batch.step(action)[4]["latency_s"]
    plain = make_batch("SFL-Barrier-v0", 12, {"barriers": barriers})
    plain_rows, _ = plain.reset(seed=0)
    best_s = plain.step(sfl_baselines.make("staged-search", plain).predict(plain_rows)[0])[4]["latency_s"]
    assert bool((latency_s >= best_s * (1.0 - 1e-6)).all())
    assert np.mean(latency_s / best_s) < 1.1


def test_where_nobody_waits_it_is_refused() -> None:
    batch = make_batch("SFL-v0", 1, {}, observation_mode="problem")
    with pytest.raises(TrainingError, match="barriers='none'"):
        policy_in(batch)
    with pytest.raises(TrainingError, match="neither hedge nor price"):
        policy_in(batch_of(1), price=True)


def tiny(settings_of: Settings) -> Settings:
    rollout = dict(settings_of.hyperparameters) | {"n_steps": 2, "batch_size": 8, "n_epochs": 1}
    return settings_of.replace(total_steps=8, num_envs=4, hyperparameters=rollout)


def test_an_agent_in_a_file_acts_for_other_devices_and_not_for_other_barriers(tmp_path: Path) -> None:
    job = Job("ppo", "SFL-Barrier-v0", tiny(load("ppo", "SFL-Barrier-v0")), {"num_devices": 3}, 0)
    train(job, job.open_run(tmp_path / "run"))
    more = batch_of(2, num_devices=5, model="lenet5")
    rows, _ = more.reset(seed=0)
    action, _ = sfl_agents.load(tmp_path / "run", more).predict(rows, deterministic=True)
    more.step(action)
    for other in (batch_of(num_devices=3, barriers="every-phase"), batch_of(num_devices=3, barriers="none")):
        with pytest.raises(PolicyError, match="barriers='adaptsfl'"):
            sfl_agents.load(tmp_path / "run", other)


def test_an_agent_of_rounds_without_barriers_acts_with_them_as_if_nobody_waited() -> None:
    batch = batch_of()
    rows, _ = batch.reset(seed=0)
    agent = sfl_agents.load("pretrained:SFL-v0", batch)
    action, _ = agent.predict(rows, deterministic=True)
    free = make_batch("SFL-v0", 2, {}, observation_mode="problem")
    np.testing.assert_allclose(
        action, sfl_agents.load("pretrained:SFL-v0", free).predict(free.reset(seed=0)[0], deterministic=True)[0]
    )


def test_an_interface_tells_where_devices_wait_and_files_that_do_not_are_refused() -> None:
    base = Interface.of(batch_of())
    assert base.barriers == "adaptsfl"
    told = base.to_dict()
    assert Interface.from_dict(told) == base
    with pytest.raises(PolicyError, match="interface"):
        Interface.from_dict({**told, "barriers": ["adaptsfl"]})
    del told["barriers"]
    with pytest.raises(PolicyError, match="interface"):
        Interface.from_dict(told)


@pytest.mark.parametrize("barriers", BARRIERS)
@pytest.mark.parametrize(
    "fields",
    [{}, {"rate_curve": "shannon", "uplink_attenuation": 1.0}, {"num_devices": 3, "battery_share": 0.001}],
)
def test_no_stage_is_aimed_at_that_is_shorter_than_computing_in_it(
    barriers: Barriers, fields: dict[str, Any]
) -> None:
    """Steps of all lengths' scale once went below it, where a device seemed to need all of the band."""
    for seed in range(3):
        batch = batch_of(16, barriers=barriers, **fields)
        torch.manual_seed(seed)
        untrained = policy_as_it_starts(batch)
        observation, _ = batch.reset(seed=seed)
        common_s = staged_common_cut(staged_problem_of(batch.episodes, batch.episodes.now.true)).latency_s
        infos = batch.step(untrained.predict(observation, deterministic=True)[0])[-1]
        assert bool((infos["latency_s"] < 1.5 * common_s).all())


def test_rows_of_rounds_without_stages_are_told_of() -> None:
    batch = make_batch("SFL-v0", 2, observation_mode="problem")
    with pytest.raises(TrainingError, match=r"reads the seconds of the phases.*barriers='every-phase'"):
        policy_as_it_starts(batch, barriers="every-phase")
