"""The bound is below every decision, whatever the curve, and near the optimum where that is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.staged import (
    Multipliers,
    StagedProblem,
    best_shares,
    solve_staged_exactly,
    staged_alternating,
    staged_bound,
    staged_common_cut,
    staged_search,
)
from sfl_baselines.staged.duality import cut_costs_s
from sfl_baselines.staged.needs import Needs
from sfl_env.arrays import Array
from sfl_env.errors import SolverError
from sfl_env.rounds.problem import Decision
from tests.sfl_baselines.staged.rounds import (
    CONCAVE,
    problems,
    random_cuts,
    random_decision,
    random_problem,
    random_shares,
    true_problem,
)


def brute_force_s(problem: StagedProblem) -> Array:
    """The least length over all vectors of cuts, (N,)."""
    _, n, k, c = problem.shape
    vectors = np.array(list(itertools.product(range(c), repeat=k)))
    least = np.empty(n)
    for row in range(n):
        fitting = vectors[problem.fits[row, np.arange(k), vectors].all(axis=1)]
        rows = problem.rows(np.full(len(fitting), row))
        least[row] = best_shares(rows.at(fitting)).latency_s.min()
    return least


@settings(max_examples=20, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_no_decision_is_faster_than_prices_whatever_they_are(problem: StagedProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages, n, k, _ = problem.shape
    price = 10.0 ** rng.uniform(-3, 1, (stages, n, k))
    price /= price.sum(axis=-1, keepdims=True)
    prices = Multipliers(price, 10.0 ** rng.uniform(-2, 2, n))
    cost = cut_costs_s(problem, prices, np.zeros(problem.server_s.shape))
    bound = cost.min(axis=-1).sum(axis=-1) - prices.band_s + problem.wait_s
    for _ in range(10):
        latency = problem.latency_s(random_decision(problem, rng))
        assert (bound <= latency * (1.0 + 1e-12)).all()


@settings(max_examples=4, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_no_decision_is_faster_than_the_bound(problem: StagedProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = problem.latency_s(random_decision(problem, rng))  # a bad one, so that the bound has room to be wrong
    bound = staged_bound(problem, known, 0.001, 20).lower_bound_s
    found = staged_search(problem).latency_s
    assert (bound <= np.minimum(found, known) * (1.0 + 1e-9)).all()
    for _ in range(20):
        assert (bound <= problem.latency_s(random_decision(problem, rng)) * (1.0 + 1e-9)).all()


@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
def test_brute_force_finds_nothing_better_than_the_exact_solver_nor_below_the_bound(barriers: str) -> None:
    problem = true_problem(2, barriers, num_devices=3, model="lenet5")
    least = brute_force_s(problem)
    np.testing.assert_allclose(solve_staged_exactly(problem).latency_s, least, rtol=1e-6)
    found = staged_search(problem).latency_s
    assert (found >= least * (1.0 - 1e-6)).all()
    assert (found <= least * 1.02).all()
    bound = staged_bound(problem, found, 0.01, 100).lower_bound_s
    assert (bound <= least * (1.0 + 1e-9)).all()
    assert (bound >= least * 0.93).all()


@pytest.mark.parametrize("k", [2, 3])
def test_of_random_rounds_the_exact_solver_finds_the_optimum(k: int) -> None:
    for curve in CONCAVE:
        problem = random_problem(np.random.default_rng(k), 4, k, 3, stages=2, curve=curve)
        np.testing.assert_allclose(solve_staged_exactly(problem).latency_s, brute_force_s(problem), rtol=1e-6)


@settings(max_examples=12, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_no_less_band_than_is_said_to_be_needed_keeps_the_stages(problem: StagedProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cut, share = random_cuts(problem, rng), random_shares(problem, rng)
    at_cut = problem.at(cut)
    for device in range(problem.shape[2]):
        needed = Needs(problem).at_least(at_cut.stage_s(share)[:, :, device])
        own = needed[np.arange(len(cut)), device, cut[:, device]]
        assert (own <= share[:, device] * (1.0 + 1e-9)).all()


def test_what_is_about_needed_keeps_the_stages_about() -> None:
    problem = true_problem(3)
    cut, share = random_cuts(problem, np.random.default_rng(0)), np.full((3, 10), 0.1)
    times = problem.at(cut).stage_s(share)
    for device in range(10):
        about = Needs(problem).about(times[:, :, device, None])[:, 0]
        own = about[np.arange(3), device, cut[:, device]]
        np.testing.assert_allclose(own, share[:, device], rtol=0.02)


@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
def test_the_search_is_near_the_bound_and_no_worse_than_simpler_solvers(barriers: str) -> None:
    problem = true_problem(3, barriers, seed=3)
    found = staged_search(problem)
    np.testing.assert_allclose(found.latency_s, problem.latency_s(found.decision), rtol=1e-12)
    assert (found.decision.bandwidth_share.sum(axis=1) <= 1.0 + 1e-12).all()
    for simpler in (staged_common_cut, staged_alternating):
        assert (found.latency_s <= simpler(problem).latency_s * (1.0 + 1e-6)).all()
    root, more = (staged_bound(problem, found.latency_s, 0.01, boxes).lower_bound_s for boxes in (0, 20))
    assert (root <= more).all()
    assert (more >= 0.85 * found.latency_s).all()


def test_a_problem_does_not_care_about_its_neighbours() -> None:
    problem = true_problem(6, num_devices=4)
    found = staged_search(problem)
    bound = staged_bound(problem, found.latency_s, 0.01, 10).lower_bound_s
    for n in (0, 5):
        one = problem.rows(np.array([n]))
        alone = staged_search(one)
        np.testing.assert_array_equal(alone.decision.cut[0], found.decision.cut[n])
        np.testing.assert_allclose(alone.latency_s, found.latency_s[n], rtol=1e-9)
        # Subgradient steps carry rounding on, so that bounds, each of which holds, are alike but not equal.
        np.testing.assert_allclose(staged_bound(one, alone.latency_s, 0.01, 10).lower_bound_s, bound[n], rtol=0.02)


def test_alternating_ends_where_no_device_gains_and_no_shares_are_better() -> None:
    problem = true_problem(8)
    ended = staged_alternating(problem)
    share, cut = ended.decision.bandwidth_share, ended.decision.cut
    for device, to in itertools.product(range(10), range(problem.shape[3])):
        other = cut.copy()
        other[:, device] = np.where(problem.fits[:, device, to], to, cut[:, device])
        needs = problem.at(other).needs_band & (share == 0.0)
        slower = problem.latency_s(Decision(other, share)) >= ended.latency_s * (1.0 - 1e-6)
        assert (slower | needs.any(axis=1)).all()


def test_where_nobody_takes_part_all_wait() -> None:
    problem = true_problem(6, cell_radius_m=3000.0, num_devices=4)
    waiting = problem.wait_s > 0.0
    assert waiting.any()
    assert not waiting.all()
    found = staged_search(problem)
    np.testing.assert_allclose(found.latency_s[waiting], problem.wait_s[waiting])
    assert (staged_bound(problem, found.latency_s).lower_bound_s <= found.latency_s).all()
    np.testing.assert_allclose(solve_staged_exactly(problem).latency_s, found.latency_s, rtol=1e-6)


def test_too_many_vectors_of_cuts_are_not_gone_through() -> None:
    with pytest.raises(SolverError, match=r"leaves more than 3 vectors.*staged_search and staged_bound"):
        solve_staged_exactly(true_problem(1, num_devices=7), max_vectors=3)
