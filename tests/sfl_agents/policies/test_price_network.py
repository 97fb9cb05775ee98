"""The pointer where batteries have a price: dearer ones are spared, and nothing changes where there are none."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.price_network import log_budgets
from sfl_agents.policies.problem_columns import read
from sfl_baselines.battery.demand import demand_of
from sfl_baselines.environments import make_batch
from sfl_env import SFLVectorEnv

CUTS = 10


def policy_in(batch: Any, *, price: bool = True, shuffled: bool = False) -> Any:
    torch.manual_seed(0)
    policy = CutPointerPolicy(
        cast(Any, batch.single_observation_space),
        batch.single_action_space,
        lambda _: 1e-3,
        num_cuts=CUTS,
        price=price,
    )
    if shuffled:
        for weights in policy.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return policy


def with_batteries(mode: str = "cut", **fields: Any) -> SFLVectorEnv:
    return make_batch("SFL-Battery-v0", 4, fields, action_mode=mode, observation_mode="problem")


@pytest.mark.parametrize("mode", ["continuous", "cut"])
def test_renumbering_devices_renumbers_decisions(mode: str) -> None:
    batch = with_batteries(mode, num_devices=4)
    policy, order = policy_in(batch, shuffled=True), [2, 0, 3, 1]
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    pointer, renumbered = policy.point(rows, CUTS), policy.point(rows[:, order], CUTS)
    torch.testing.assert_close(renumbered.logits, pointer.logits[:, order], atol=1e-3, rtol=1e-4)
    values = policy.predict_values(rows)
    torch.testing.assert_close(policy.predict_values(rows[:, order]), values, atol=1e-4, rtol=1e-4)


def test_where_there_are_no_batteries_a_price_makes_no_difference() -> None:
    batch = make_batch("SFL-v0", 3, {}, observation_mode="problem")
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    policy, without = policy_in(batch), policy_in(batch, price=False)
    without.load_state_dict({name: w for name, w in policy.state_dict().items() if name in without.state_dict()})
    torch.nn.init.constant_(policy.mlp_extractor.pointer.sharpness, 2.5)
    torch.nn.init.constant_(without.mlp_extractor.pointer.sharpness, 2.5)
    for one, other in zip(policy.point(rows, CUTS), without.point(rows, CUTS), strict=True):
        torch.testing.assert_close(one, other)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-4.0, 0.0), st.floats(0.1, 3.0))
def test_at_a_target_a_higher_price_picks_no_cut_that_takes_more(seed: int, low: float, more: float) -> None:
    batch = with_batteries()
    columns = read(torch.as_tensor(batch.reset(seed=seed)[0]), CUTS)
    price = policy_in(batch).mlp_extractor.pointer.price
    target = torch.zeros(4)
    taken = log_budgets(columns, columns.log_fixed.exp(), target)
    need = (columns.uplink + columns.downlink).log()
    found = []
    dearer = torch.tensor([1.0, 0.0, 0.0])  # the price alone
    for log_price in (low, low + more):
        price.for_all.data = log_price * dearer
        told = price(columns, taken.amin(dim=-1), target)
        picked = price.cost(need, taken, told).argmin(dim=-1, keepdim=True)
        found.append(taken.gather(-1, picked))
    assert bool((found[1] <= found[0] + 1e-6).all())


def test_the_budgets_that_cuts_take_are_those_of_the_physics_within_a_few_per_cent() -> None:
    """At an equal share a device is done at its own time, from which the network works back to what it takes."""
    batch = with_batteries(num_devices=3)
    rows, _ = batch.reset(seed=3)
    encoder, simulator = batch.episodes.observation_encoder, batch.episodes.simulator
    batteries = cast(Any, encoder).decode_batteries(rows)
    demand = demand_of(simulator.workload, simulator.resources, encoder.decode(rows), batteries.drain_per_s)
    _, drain = demand.at_every_cut(np.full(rows.shape[:2], 1.0 / 3.0))
    columns = read(torch.as_tensor(rows), CUTS)
    fixed = columns.log_fixed.exp()
    relative = (fixed + columns.uplink + columns.downlink).numpy()
    for cut in range(CUTS):
        for device in range(3):
            log_target = torch.as_tensor(np.log(relative[:, device, cut]))
            told = log_budgets(columns, fixed, log_target)[:, device, cut].exp().numpy()
            budget = batteries.charge[:, device] / batch.scenario.max_rounds
            np.testing.assert_allclose(told, drain[:, device, cut] / budget, rtol=0.08)


def test_no_battery_is_overdrawn_before_training_starts() -> None:
    """The first price is one at which nobody leaves, to the last round."""
    batch = with_batteries()
    policy = policy_in(batch)
    rows, _ = batch.reset(seed=11)
    for _ in range(batch.scenario.max_rounds - 1):
        rows = batch.step(policy.predict(rows, deterministic=True)[0])[0]
    assert bool((batch.episodes.now.state.charge > 0.0).all())


def test_nothing_is_expected_after_the_last_round() -> None:
    batch = with_batteries(max_rounds=2)
    policy = policy_in(batch, shuffled=True)
    rows = torch.as_tensor(batch.reset(seed=0)[0])
    assert float(policy.predict_values(rows).detach().std()) > 0.0
    rows[..., 4], rows[..., 15] = 1.0, -1.0  # the end of the episode; the rounds left at their least
    bias = policy.value_net.bias.expand(4, 1)
    torch.testing.assert_close(policy.predict_values(rows), bias)
