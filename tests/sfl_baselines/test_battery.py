"""The battery tier: rules that ration, what losing devices costs, and a bound that nobody exceeds."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines import Policy, solve_exact
from sfl_baselines.battery import BudgetRule, EnergyPrice, return_bound
from sfl_baselines.battery.bound import ReturnBound
from sfl_baselines.battery.burning import KillStragglers
from sfl_baselines.battery.demand import Demand, demand_of
from sfl_baselines.battery.foresight import foresee
from sfl_baselines.battery.pricing import Tariff, grid, solve_priced
from sfl_baselines.battery.relaxation import least_cost_s
from sfl_baselines.environments import make_batch
from sfl_baselines.rollouts import play_to_the_end
from sfl_env import SFLVectorEnv
from sfl_env.arrays import Array
from sfl_env.errors import PolicyError, SolverError
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import RoundProblem

ENV_ID = "SFL-Battery-v0"
SHORT: dict[str, Any] = {
    "num_devices": 4,
    "max_rounds": 8,
    "bandwidth_hz": 4e6,
    "battery_share": 0.0253,
    "dropout_weight": 16.0,
}
"""Few devices and rounds; about as much of the battery for a round and of the band for a device as in the id."""
EPISODES, SEED = 4, 11


def played(policy: Policy, envs: SFLVectorEnv, seed: int = SEED) -> tuple[Array, Array]:
    """Returns (N,) of episodes, and the part of the devices that has left at their ends."""
    total = np.zeros(envs.num_envs)
    for one in play_to_the_end(policy, envs.episodes, seed):
        total += one.done.reward
    return total, (envs.episodes.now.state.charge == 0.0).mean(axis=1)


def careful(envs: SFLVectorEnv) -> Policy:
    """The energy price for so few rounds, of which a bad one at the end finds less put by than of many."""
    return EnergyPrice(envs, limit=1.25)


def first_round(seed: int = 0, n: int = 6, **fields: Any) -> tuple[RoundProblem, Demand]:
    episodes = make_batch(ENV_ID, n, {**SHORT, "max_rounds": 1, **fields}).episodes
    foreseen = foresee(episodes, seed)
    work, resources = episodes.simulator.workload, episodes.simulator.resources
    now = foreseen.rounds[0]
    return round_problem(work, resources, now), demand_of(work, resources, now, foreseen.drain_per_s)


@pytest.fixture(scope="module")
def envs() -> SFLVectorEnv:
    return make_batch(ENV_ID, EPISODES, SHORT)


@pytest.fixture(scope="module")
def bound(envs: SFLVectorEnv) -> ReturnBound:
    return return_bound(envs.episodes, SEED, shares=40)


@pytest.mark.parametrize(
    "name", ["exact", "common-cut", "shallow", "budget-rule", "energy-price", "random-decision"]
)
def test_no_baseline_exceeds_the_bound(envs: SFLVectorEnv, bound: ReturnBound, name: str) -> None:
    returns, left = played(sfl_baselines.make(name, envs), envs)
    assert (returns <= bound.any_policy).all()
    assert (returns[left > 0.0] <= bound.losing_a_device[left > 0.0]).all()


@pytest.mark.parametrize(
    "ways",
    [
        {"doomed": 0.25},
        {"doomed": 1.0},
        {"doomed": 0.0, "limit": 100.0, "weight": 0.0},
        {"doomed": 0.0, "limit": 2.0},
    ],
)
def test_killing_devices_and_overdrawing_batteries_does_not_pay(
    envs: SFLVectorEnv, bound: ReturnBound, ways: dict[str, float]
) -> None:
    kept, left = played(careful(envs), envs)
    assert (left == 0.0).all()
    killed, left = played(KillStragglers(envs, **ways), envs)
    assert left.any() or ways["doomed"] == 0.0
    assert (killed <= bound.any_policy).all()
    assert (killed[left > 0.0] < kept[left > 0.0]).all()


def test_policies_that_lose_a_device_are_proven_to_do_worse_than_one_that_keeps_all(
    envs: SFLVectorEnv, bound: ReturnBound
) -> None:
    kept, left = played(careful(envs), envs)
    assert (left == 0.0).all()
    assert (bound.losing_a_device < kept).all()


def test_where_batteries_never_end_the_bound_is_the_sum_of_the_optima() -> None:
    envs = make_batch(ENV_ID, EPISODES, {**SHORT, "battery_share": 1.0, "max_rounds": 4})
    bound = return_bound(envs.episodes, SEED, shares=100).any_policy
    optimum, _ = played(sfl_baselines.make("exact", envs), envs)
    assert (optimum <= bound).all()
    np.testing.assert_allclose(bound, optimum, rtol=5e-3)


@pytest.mark.parametrize(("battery_share", "dropout_weight"), [(0.003, 2.0), (0.012, 0.3), (0.006, 40.0)])
def test_the_bound_is_below_zero_where_batteries_are_next_to_nothing_or_cost_next_to_nothing(
    battery_share: float, dropout_weight: float
) -> None:
    fields = {"num_devices": 2, "max_rounds": 3, "bandwidth_hz": 2e6, "dropout_weight": dropout_weight}
    envs = make_batch(ENV_ID, EPISODES, {**fields, "battery_share": battery_share})
    bound = return_bound(envs.episodes, SEED, shares=40).any_policy
    greedy, _ = played(sfl_baselines.make("exact", envs), envs)
    assert (greedy <= bound).all()
    assert (bound < 0.0).all()


def test_the_bound_lies_below_every_decision_of_a_round_and_near_the_best() -> None:
    problem, demand = first_round(num_devices=2)
    price_s = np.random.default_rng(0).uniform(0.0, 4000.0, problem.shape[:2])
    least = least_cost_s(demand, price_s, 1e9, grid(100, 2))
    best = np.full(len(least), np.inf)
    for share in np.linspace(0.005, 0.995, 199):
        seconds, drain = demand.at_every_cut(np.tile([share, 1.0 - share], (len(least), 1)))
        for cuts in itertools.product(range(problem.shape[2]), repeat=2):
            latency = np.maximum(seconds[:, 0, cuts[0]], seconds[:, 1, cuts[1]])
            cost = latency + price_s[:, 0] * drain[:, 0, cuts[0]] + price_s[:, 1] * drain[:, 1, cuts[1]]
            best = np.minimum(best, cost)
    assert (least <= best).all()
    # Cuts are whole numbers, so that the dual may stay below the optimum: a little.
    assert (least >= 0.99 * best).all()
    found = solve_priced(problem, demand, Tariff(price_s, np.full_like(price_s, np.inf)))
    assert (found.cost_s >= least).all()
    assert (found.cost_s <= 1.02 * best).all()


def test_an_absent_device_costs_its_charge_and_nothing_more() -> None:
    problem, demand = first_round()
    price_s = np.full(problem.shape[:2], 1e9)
    # At such prices everybody is better absent; at a charge of nothing, rounds cost nothing.
    np.testing.assert_allclose(least_cost_s(demand, price_s, 5.0, grid(30, 4)), 4 * 5.0, rtol=1e-8)
    assert (least_cost_s(demand, price_s, 0.0, grid(30, 4)) == 0.0).all()


def test_without_prices_a_round_costs_its_shortest_length() -> None:
    problem, demand = first_round()
    shortest = solve_exact(problem).latency_s
    least = least_cost_s(demand, np.zeros(problem.shape[:2]), 1e9, grid(200, 4))
    assert (least <= shortest).all()
    np.testing.assert_allclose(least, shortest, rtol=5e-3)


def test_what_a_round_takes_from_the_batteries_is_what_the_environment_charges(envs: SFLVectorEnv) -> None:
    foreseen = foresee(envs.episodes, SEED)
    rounds = iter(foreseen.rounds)
    charge = np.ones((EPISODES, SHORT["num_devices"]))
    episodes = envs.episodes
    for one in play_to_the_end(careful(envs), episodes, SEED):
        demand = demand_of(
            episodes.simulator.workload, episodes.simulator.resources, next(rounds), foreseen.drain_per_s
        )
        seconds, drain = demand.at(one.done.infos["cut"], one.done.infos["bandwidth_share"])
        np.testing.assert_allclose(one.done.infos["device_latency_s"], seconds, rtol=1e-9)
        idle_j = episodes.now.state.setup.devices.idle_w * one.done.infos["latency_s"][:, None]
        spent = (one.done.infos["energy_j"] - idle_j) * episodes.now.state.setup.charge_per_j
        np.testing.assert_allclose(spent, drain, rtol=1e-9)
        charge = charge - drain
        np.testing.assert_allclose(episodes.now.state.charge, charge, atol=1e-12)


def test_what_comes_depends_on_no_decision(envs: SFLVectorEnv) -> None:
    foreseen = foresee(envs.episodes, SEED).rounds
    for name in ("exact", "federated"):
        for one, now in zip(
            play_to_the_end(sfl_baselines.make(name, envs), envs.episodes, SEED), foreseen, strict=True
        ):
            for ours, theirs in zip(one.true[:6], now[:6], strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_rationing_keeps_devices_that_the_optimum_of_each_round_loses(envs: SFLVectorEnv) -> None:
    greedy, lost = played(sfl_baselines.make("exact", envs), envs)
    assert lost.any()
    for policy in (BudgetRule(envs), careful(envs)):
        returns, left = played(policy, envs)
        assert (left == 0.0).all()
        assert returns.mean() > greedy.mean()


def test_where_batteries_are_ample_rationing_is_the_optimum_of_each_round() -> None:
    envs = make_batch(ENV_ID, EPISODES, {**SHORT, "battery_share": 1.0})
    optimum, _ = played(sfl_baselines.make("exact", envs), envs)
    for policy in (BudgetRule(envs), careful(envs)):
        np.testing.assert_allclose(played(policy, envs)[0], optimum, rtol=1e-3)


def test_observations_tell_of_charge_drains_and_progress(envs: SFLVectorEnv) -> None:
    observation, _ = envs.reset(seed=3)
    observation, *_ = envs.step(envs.action_space.sample())
    state = envs.episodes.now.state
    told = envs.episodes.observation_encoder.decode_batteries(observation)  # type: ignore[attr-defined]
    np.testing.assert_allclose(told.charge, state.charge, atol=1e-6)
    np.testing.assert_allclose(told.progress, 1 / 8, atol=1e-6)
    added_w = state.setup.devices.computing_w - state.setup.devices.idle_w
    np.testing.assert_allclose(told.drain_per_s.computing_w, added_w * state.setup.charge_per_j, rtol=1e-4)


@pytest.mark.parametrize("name", ["budget-rule", "energy-price"])
def test_rationing_refuses_where_there_is_nothing_to_ration(name: str) -> None:
    with pytest.raises(PolicyError, match="'exact' decides there"):
        sfl_baselines.make(name, make_batch("SFL-v0", 1))
    with pytest.raises(PolicyError, match="'deadline'"):
        sfl_baselines.make(name, make_batch(ENV_ID, 1, {"deadline_s": 100.0}))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"mobility": "random-waypoint"}, "mobility"),
        ({"csi_delay_rounds": 1}, "csi_delay_rounds"),
        ({"availability_hold_s": 200.0}, "availability_hold_s"),
        ({"blockage_hold_s": 60.0}, "blockage_hold_s"),
        ({"energy_weight": 1.0}, "energy_weight"),
        ({"latency_weight": 0.0}, "latency_weight"),
        ({"battery_share": None}, "battery_share"),
        ({"barriers": "adaptsfl"}, "system"),
    ],
)
def test_no_bound_is_given_where_it_is_not_proven(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        return_bound(make_batch(ENV_ID, 2, {**SHORT, **fields}).episodes, 0)


@pytest.mark.parametrize("shares", [1, 0, -3, 2.5, float("nan")])
def test_a_grid_without_intervals_is_refused(envs: SFLVectorEnv, shares: Any) -> None:
    with pytest.raises(SolverError, match="shares is"):
        return_bound(envs.episodes, SEED, shares=shares)


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_a_bound_is_of_the_episodes_of_a_seed(envs: SFLVectorEnv, seed: Any) -> None:
    with pytest.raises(PolicyError, match="seed is"):
        return_bound(envs.episodes, seed)
    wrong: Any = envs
    with pytest.raises(PolicyError, match=r"env\.unwrapped\.episodes"):
        return_bound(wrong, SEED)


@pytest.mark.parametrize("battery_share", [1e-9, 1e-4, 1e-2])
@pytest.mark.parametrize("dropout_weight", [0.0, 16.0])
def test_the_smallest_batteries_loosen_no_bound(battery_share: float, dropout_weight: float) -> None:
    fields = {**SHORT, "max_rounds": 2, "dropout_weight": dropout_weight, "battery_share": battery_share}
    bound = return_bound(make_batch(ENV_ID, EPISODES, fields).episodes, SEED, shares=20)
    plenty = return_bound(make_batch(ENV_ID, EPISODES, {**fields, "battery_share": 1.0}).episodes, SEED, shares=20)
    assert (bound.any_policy <= plenty.any_policy + 1e-9).all()
    assert (bound.any_policy <= 0.0).all()
    assert (bound.losing_a_device <= bound.any_policy).all()


def test_the_default_price_is_the_best_of_the_stored_grid() -> None:
    path = Path(__file__).parents[2] / "docs" / "data" / "battery.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    best = max(stored["grid"], key=lambda one: one["return"])
    policy = EnergyPrice(make_batch(ENV_ID, 1))
    assert {name: getattr(policy, name) for name in stored["price"]} == stored["price"]
    assert {name: best[name] for name in stored["price"]} == stored["price"]
