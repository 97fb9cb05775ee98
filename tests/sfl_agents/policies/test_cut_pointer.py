"""The policy that points at cuts: devices alike, any number of devices and cuts, safe on whatever rows."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.problem_columns import read
from sfl_baselines.environments import make_batch
from sfl_env import SFLVectorEnv
from sfl_env.errors import TrainingError
from sfl_env.optimum.seen import own_cuts_under

MODES = ("continuous", "cut", "discrete")
COLUMNS = st.sampled_from([10, 11, 13, 19, 22])
"""Columns before those of the round: without and with those of batteries, a network's progress and a surrogate."""


def policy_in(batch: Any, *, blank: bool = False, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    policy = CutPointerPolicy(
        cast(Any, batch.single_observation_space),
        batch.single_action_space,
        lambda _: 1e-3,
        num_cuts=batch.episodes.simulator.workload.num_cuts,
        **kwargs,
    )
    if not blank:  # the start makes nothing of most features, which would hide differences between devices
        for weights in policy.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return policy


def batch_of(mode: str = "continuous", n: int = 2, **fields: Any) -> SFLVectorEnv:
    return make_batch("SFL-v0", n, fields, action_mode=mode, observation_mode="problem")


def per_device(action: np.ndarray, mode: str, devices: int) -> np.ndarray:
    return action if mode == "continuous" else action.reshape(len(action), -1, devices).transpose(0, 2, 1)


@pytest.mark.parametrize("mode", MODES)
def test_renumbering_devices_renumbers_decisions(mode: str) -> None:
    batch = batch_of(mode, num_devices=4)
    policy, order = policy_in(batch), np.array([2, 0, 3, 1])
    observation, _ = batch.reset(seed=0)
    action, renumbered = (policy.predict(o, deterministic=True)[0] for o in (observation, observation[:, order]))
    np.testing.assert_allclose(per_device(renumbered, mode, 4), per_device(action, mode, 4)[:, order], atol=1e-5)
    value, again = (policy.predict_values(torch.as_tensor(o)) for o in (observation, observation[:, order]))
    torch.testing.assert_close(again, value, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "fields", [{"num_devices": 1}, {"num_devices": 70, "model": "lenet5"}, {"model": "vgg16"}]
)
def test_the_same_weights_act_for_any_number_of_devices_and_cuts(mode: str, fields: dict[str, Any]) -> None:
    weights = policy_in(batch_of(mode)).state_dict()
    batch = batch_of(mode, **fields)
    policy = policy_in(batch, blank=True)
    policy.load_state_dict(weights)
    observation, _ = batch.reset(seed=0)
    for deterministic in (True, False):
        action, _ = policy.predict(observation, deterministic=deterministic)
        assert batch.action_space.contains(action.astype(batch.action_space.dtype))
        batch.step(action)


@pytest.mark.parametrize("mode", MODES)
def test_likelihoods_of_drawn_and_stored_actions_agree(mode: str) -> None:
    batch = batch_of(mode)
    policy = policy_in(batch)
    observation = torch.as_tensor(batch.reset(seed=0)[0])
    actions, values, log_prob = policy(observation)
    again_values, again, entropy = policy.evaluate_actions(observation, actions.flatten(start_dim=1))
    torch.testing.assert_close(again, log_prob)
    torch.testing.assert_close(again_values, values)
    assert entropy.shape == log_prob.shape == (2,)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 12),
    COLUMNS,
    st.sampled_from([-1.0, 0.0, 1.0, None]),
    st.integers(0, 2**32 - 1),
)
def test_no_rows_give_anything_but_numbers(k: int, c: int, leading: int, fill: float | None, seed: int) -> None:
    """Rows all at an end of their scales, and rows whose every entry lies at one end or the other."""
    rng = np.random.default_rng(seed)
    rows = np.full((3, k, leading + 6 + 4 * c), 0.0 if fill is None else fill, np.float32)
    if fill is None:
        rows = rng.choice(np.array([-1.0, 0.0, 1.0], np.float32), size=rows.shape)
    policy = policy_in(batch_of())
    pointer = policy.point(torch.as_tensor(rows), c)
    loss = pointer.logits.log_softmax(-1)[..., 0].sum() + pointer.log_share.square().sum()
    loss.backward()
    found = [*pointer, *(w.grad for w in policy.parameters() if w.grad is not None)]
    assert all(bool(torch.isfinite(numbers).all()) for numbers in found)
    assert loss.isfinite()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_a_cut_that_does_not_fit_is_never_chosen(seed: int, deepest: int) -> None:
    batch = batch_of(num_devices=3)
    cuts = batch.episodes.simulator.workload.num_cuts
    rows = torch.as_tensor(batch.reset(seed=seed)[0])
    rows[..., -cuts:] = torch.where(torch.arange(cuts) < deepest, 1.0, -1.0)
    logits = policy_in(batch).point(rows, cuts).logits
    assert bool((logits.softmax(-1)[..., deepest:] == 0.0).all())


def test_who_takes_no_part_is_not_asked_what_the_others_need() -> None:
    """Devices without bits leave the others' target alone, whatever else their rows say."""
    batch = batch_of(num_devices=5)
    cuts = batch.episodes.simulator.workload.num_cuts
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    rows[:, 3:, -3 * cuts : -cuts] = -1.0
    other = rows.clone()
    other[:, 3:, -4 * cuts : -3 * cuts] *= 0.5
    columns = read(rows, cuts)
    assert columns.takes_part.tolist() == [[True] * 3 + [False] * 2] * 2
    policy = policy_in(batch)
    torch.testing.assert_close(
        policy.point(rows, cuts).log_share[:, :3], policy.point(other, cuts).log_share[:, :3]
    )


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1e6, 20e6, 200e6]), st.integers(2, 30), st.integers(0, 1000))
def test_the_columns_tell_every_cuts_seconds_at_an_equal_share(band: float, k: int, seed: int) -> None:
    batch = batch_of(num_devices=k, bandwidth_hz=band)
    observation, _ = batch.reset(seed=seed)
    episodes = batch.episodes
    devices = own_cuts_under(episodes.simulator.workload, episodes.simulator.resources, episodes.now.observed)
    columns = read(torch.as_tensor(observation), devices.fixed_s.shape[-1])
    toll = devices.link.toll(np.full(observation.shape[:2], 1.0 / k))
    seconds = devices.fixed_s + devices.uplink_bits * toll.up[..., None]
    seconds += devices.downlink_bits * toll.down[..., None]
    told = (columns.log_fixed.exp() + columns.uplink + columns.downlink).numpy()
    # All are over one round's length, and each column is clipped to a factor of a thousand around it.
    known = (told < 900.0) & (columns.uplink.numpy() > 2e-3) & (columns.log_fixed.exp().numpy() > 2e-3)
    ratio = np.where(known, told / seconds, np.nan)
    spread = np.nanmax(ratio, axis=(1, 2)) / np.nanmin(ratio, axis=(1, 2))
    np.testing.assert_allclose(spread[np.isfinite(spread)], 1.0, atol=2e-3)


def test_untrained_it_is_close_to_the_optimum_and_better_than_proportional_shares() -> None:
    batch = make_batch("SFL-v0", 32, {}, observation_mode="problem", info_optimum=True)
    observation, _ = batch.reset(seed=0)
    policy = policy_in(batch, blank=True)
    ratios = []
    for _ in range(5):
        action, _ = policy.predict(observation, deterministic=True)
        observation, _, _, _, infos = batch.step(action)
        ratios.append(infos["latency_s"] / infos["optimal_latency_s"])
    assert 1.0 <= np.mean(ratios) < 1.06


LATE: dict[str, Any] = {"csi_delay_rounds": 1, "fading": "block", "fading_correlation": 0.5}


def test_rows_of_an_old_channel_tell_of_the_fading_that_was_and_nothing_of_a_network() -> None:
    batch = batch_of(**LATE)
    observation, _ = batch.reset(seed=0)
    cuts = batch.episodes.simulator.workload.num_cuts
    seen = batch.episodes.observation_encoder.decode(observation)
    assert seen.large_scale is not None
    columns = read(torch.as_tensor(observation), cuts, late_channel=True)
    faded = np.log(seen.large_scale.uplink_snr_hz / seen.uplink_snr_hz)
    np.testing.assert_allclose(columns.log_faded.numpy(), faded, atol=1e-3)
    assert not columns.device[..., 6:].any()


def test_a_hedge_is_taken_where_the_channel_is_old_and_nowhere_else() -> None:
    """With other weights of the hedge alone: other decisions for an old channel, the same ones for that of now."""
    cases: list[tuple[dict[str, Any], bool]] = [({}, True), (LATE, False)]
    for fields, same in cases:
        batch = batch_of(**fields)
        rows = torch.as_tensor(batch.reset(seed=0)[0])
        policy = policy_in(batch, late_channel=bool(fields), hedge=True)
        before = policy(rows, deterministic=True)[0]
        for weights in policy.mlp_extractor.pointer.hedge.parameters():
            torch.nn.init.normal_(weights, std=0.5)
        assert torch.equal(before, policy(rows, deterministic=True)[0]) is same


def test_rows_and_actions_of_other_modes_are_told() -> None:
    with pytest.raises(TrainingError, match="observation_mode='problem'"):
        policy_in(make_batch("SFL-v0", 1))
    with pytest.raises(TrainingError, match="action_mode continuous, cut or discrete"):
        policy_in(batch_of("residual"))


TIERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "old channel": {"csi_delay_rounds": 1},
    "old channels in blocks": {"csi_delay_rounds": 2, "fading": "block"},
    "batteries": {"battery_share": 0.01},
    "batteries and an old channel": {"battery_share": 0.01, "csi_delay_rounds": 1},
    "surrogate": {
        "learning_surrogate": True,
        "target_accuracy": 0.9,
        "surrogate_rounds": (5.0, *[1.0] * 9),
    },
    "surrogate and an old channel": {
        "learning_surrogate": True,
        "target_accuracy": 0.9,
        "surrogate_rounds": (5.0, *[1.0] * 9),
        "csi_delay_rounds": 1,
    },
    "deadline": {"deadline_s": 90.0},
}


@pytest.mark.parametrize("tier", TIERS)
def test_columns_are_read_as_what_the_environment_means_by_them(tier: str) -> None:
    batch = batch_of(n=3, num_devices=4, **TIERS[tier])
    late = batch.scenario.csi_delay_rounds > 0
    observation, _ = batch.reset(seed=5)
    for _ in range(3):
        observation = batch.step(policy_in(batch, late_channel=late).predict(observation)[0])[0]
    episodes = batch.episodes
    now, num_cuts = episodes.now.observed, episodes.simulator.workload.num_cuts
    columns = read(torch.as_tensor(observation), num_cuts, late_channel=late)
    bandwidth_hz = episodes.scenario.bandwidth_hz
    ratio = np.log(now.uplink_snr_hz * 4 / bandwidth_hz)
    np.testing.assert_allclose(columns.log_snr, np.clip(ratio, -np.log(1e6), np.log(1e6)), rtol=1e-4)
    np.testing.assert_array_equal(columns.fits.sum(dim=-1), np.minimum(now.deepest_cut, num_cuts - 1) + 1)
    np.testing.assert_allclose(columns.device[..., 4], now.fading.spread * 2.0 - 1.0, atol=1e-5)
    there = np.ones((3, 4)) if now.takes_part is None else now.takes_part * 2.0 - 1.0
    charge = episodes.now.state.charge * 2.0 - 1.0
    has_battery = episodes.scenario.battery_share is not None
    np.testing.assert_allclose(columns.device[..., 6], there if has_battery else 0.0)
    np.testing.assert_allclose(columns.device[..., 7], charge if has_battery else 0.0, atol=1e-6)
    np.testing.assert_array_equal(columns.device[..., 8:], 0.0)
