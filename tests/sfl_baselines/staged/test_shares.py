"""Shares for given cuts: a convex problem, so any other solver finds nothing better."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from sfl_baselines.staged import StagedCuts, StagedProblem, best_shares
from sfl_baselines.staged.duality import cut_costs_s
from sfl_env.optimum.link import Band
from sfl_env.rounds.curves import SHANNON, RateCurve
from tests.sfl_baselines.staged.rounds import (
    CONCAVE,
    problems,
    random_cuts,
    random_problem,
    random_shares,
    true_problem,
)


def by_slsqp_s(cuts: StagedCuts) -> float:
    """The least length of one round by SciPy, over logarithms of shares and stage times."""
    needs = cuts.needs_band[0]
    k = int(needs.sum())

    def stage_s(x: np.ndarray) -> np.ndarray:
        share = np.zeros((1, len(needs)))
        share[0, needs] = np.exp(x)
        return cuts.stage_s(share)[:, 0]

    start = np.full(k, np.log(0.99 / max(k, 1)))
    first = stage_s(start).max(axis=1)
    scale = max(first.sum(), 1e-9)
    options: Any = {"maxiter": 500, "ftol": 1e-13}
    kept: Any = [
        {"type": "ineq", "fun": lambda z: 1.0 - np.exp(z[:k]).sum()},
        {"type": "ineq", "fun": lambda z: (z[k:, None] - stage_s(z[:k]) / scale).ravel()},
    ]

    def length(z: np.ndarray) -> float:
        return float(z[k:].sum())

    begin = np.concatenate([start, first / scale * 1.01])
    found = minimize(length, begin, constraints=kept, method="SLSQP", options=options)
    share = np.zeros((1, len(needs)))
    share[0, needs] = np.exp(found.x[:k]) / np.exp(found.x[:k]).sum()
    return float(cuts.latency_s(share)[0])


@pytest.mark.parametrize("curve", CONCAVE, ids=["shannon", "truncated"])
@pytest.mark.parametrize("k", [2, 3])
def test_no_other_solver_finds_shorter_rounds(curve: RateCurve, k: int) -> None:
    rng = np.random.default_rng(k)
    problem = random_problem(rng, 6, k, 3, curve=curve)
    cuts = problem.at(random_cuts(problem, rng))
    found = best_shares(cuts)
    other = [by_slsqp_s(cuts.rows(np.array([n]))) for n in range(6)]
    assert (found.latency_s <= np.array(other) * (1.0 + 1e-6)).all()
    np.testing.assert_allclose(found.latency_s, cuts.latency_s(found.share), rtol=1e-12)


@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
@pytest.mark.parametrize(
    ("fields", "gap"),
    [({"rate_curve": "shannon", "fading": "none"}, 2e-3), ({}, 1e-2)],  # a kink has more than one right price
    ids=["smooth", "with kinks"],
)
def test_the_multipliers_prove_the_shares(barriers: str, fields: dict[str, Any], gap: float) -> None:
    problem = true_problem(10, barriers, **fields)
    cut = random_cuts(problem, np.random.default_rng(0))
    found = best_shares(problem.at(cut))
    cost = cut_costs_s(problem, found.multipliers, np.zeros(problem.server_s.shape))
    own = np.take_along_axis(cost, cut[..., None], axis=-1)[..., 0].sum(axis=1)
    bound = own - found.multipliers.band_s + problem.wait_s
    assert (bound <= found.latency_s).all()
    assert (bound >= found.latency_s * (1.0 - gap)).all()
    np.testing.assert_allclose(found.multipliers.stage.sum(axis=-1), 1.0)


@settings(max_examples=15, deadline=None)
@given(problem=problems, seed=st.integers(0, 1000))
def test_shares_can_be_carried_out_and_random_ones_are_no_better(problem: StagedProblem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = problem.at(random_cuts(problem, rng))
    found = best_shares(cuts)
    assert np.isfinite(found.latency_s).all()
    assert (found.share >= 0.0).all()
    assert (found.share.sum(axis=1) <= 1.0 + 1e-12).all()
    assert (found.share[~cuts.needs_band] == 0.0).all()
    if problem.band.uplink_curve in CONCAVE:
        for _ in range(5):
            other = cuts.latency_s(random_shares(problem, rng))
            assert (found.latency_s <= other * (1.0 + 1e-6)).all()


def test_a_round_is_solved_alike_alone_and_beside_others() -> None:
    problem = true_problem(40)
    cut = random_cuts(problem, np.random.default_rng(0))
    together = best_shares(problem.at(cut))
    for n in range(0, 40, 8):
        alone = best_shares(problem.rows(np.array([n])).at(cut[n : n + 1]))
        np.testing.assert_allclose(alone.latency_s, together.latency_s[n], rtol=1e-9)
        np.testing.assert_allclose(alone.share[0], together.share[n], rtol=1e-4, atol=1e-9)


def test_where_only_the_downlink_counts_shares_go_by_the_square_root() -> None:
    """Two stages, each with one receiver: b1 / s + b2 / (1 - s) is least at shares like roots of the bits."""
    bits = np.zeros((2, 1, 2))
    bits[0, 0, 0], bits[1, 0, 1] = 9e6, 1e6
    link = Band(np.full((1, 2), 1e7), np.full((1, 2), 1e6), np.array([1e6]), SHANNON, None).link()
    found = best_shares(StagedCuts(np.zeros_like(bits), np.zeros_like(bits), bits, np.zeros(1), link))
    np.testing.assert_allclose(found.share, [[0.75, 0.25]], rtol=1e-4)
    np.testing.assert_allclose(found.latency_s, 16.0, rtol=1e-9)


def test_who_needs_no_band_gets_none_and_may_hold_the_stage_up() -> None:
    fixed, bits = np.array([[[5.0, 0.0]]]), np.array([[[0.0, 1e6]]])
    link = Band(np.full((1, 2), 1e6), np.full((1, 2), np.inf), np.array([1e6]), SHANNON, None).link()
    found = best_shares(StagedCuts(fixed, bits, bits, np.array([0.5]), link))
    assert found.share.tolist() == [[0.0, 1.0]]
    assert found.latency_s.tolist() == [5.5]


def test_where_nobody_needs_the_band_the_round_is_what_computing_takes() -> None:
    fixed = np.array([[[5.0, 1.0]], [[2.0, 3.0]]])
    link = Band(np.full((1, 2), 1e6), np.full((1, 2), np.inf), np.array([1e6]), SHANNON, None).link()
    found = best_shares(StagedCuts(fixed, np.zeros_like(fixed), np.ones_like(fixed), np.zeros(1), link))
    assert found.latency_s.tolist() == [8.0]
    assert found.multipliers.band_s.tolist() == [0.0]
