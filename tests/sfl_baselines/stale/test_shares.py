"""Shares for draws of the channel: the optimum where it is known, and what is near it on fine grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.stale.sampled import SampledRounds
from sfl_baselines.stale.shares import best_shares
from sfl_env import Decision
from sfl_env.optimum import allocate_bandwidth
from tests.sfl_baselines.stale.cells import random_shares, sampled

NEAR = 1e-3
"""By what part shares may be worse than the optimum: what rounding off the longest time leaves."""


def some_cuts(rounds: SampledRounds, seed: int) -> np.ndarray:
    n, k, c = rounds.problem.shape
    lots = np.random.default_rng(seed).random((n, k, c))
    cut: np.ndarray = np.where(np.isfinite(rounds.problem.fixed_s), lots, -1.0).argmax(axis=-1)
    return cut


def test_rounds_of_one_draw_are_the_problems_that_are_solved_exactly() -> None:
    episodes, _, rounds = sampled(20, draws=1, fading_correlation=1.0)
    cut = some_cuts(rounds, 0)
    best = allocate_bandwidth(rounds.problem, cut)
    np.testing.assert_allclose(rounds.mean_s(best.decision), best.latency_s, rtol=1e-6)  # as it was observed
    n, k, _ = rounds.problem.shape
    found = rounds.mean_s(best_shares(rounds, Decision(cut, np.full((n, k), 1.0 / k))))
    assert (found >= best.latency_s * (1.0 - 1e-6)).all()
    assert (found <= best.latency_s * (1.0 + 6.0 * NEAR)).all()  # the longest of ten is rounded off more
    assert episodes.scenario.num_devices == k


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_two_devices_share_as_on_a_fine_grid(correlation: float) -> None:
    _, _, rounds = sampled(6, draws=32, num_devices=2, fading_correlation=correlation)
    cut = some_cuts(rounds, 1)
    part = np.linspace(0.0, 1.0, 2001)[1:-1]
    for number in range(6):
        many = rounds.rows(np.full(len(part), number))
        grid = many.mean_s(Decision(cut[np.full(len(part), number)], np.stack([part, 1.0 - part], axis=1)))
        one = rounds.rows(slice(number, number + 1))
        found = one.mean_s(best_shares(one, Decision(cut[number : number + 1], np.array([[0.9, 0.1]])))).item()
        assert found <= grid.min() * (1.0 + NEAR)
        assert found >= grid.min() * (1.0 - NEAR)


def test_three_devices_share_as_on_a_grid() -> None:
    _, _, rounds = sampled(3, draws=32, num_devices=3, seed=4)
    cut = some_cuts(rounds, 2)
    steps = 120
    a, b = (index.ravel() + 1 for index in np.indices((steps - 2, steps - 2)))
    inside = a + b < steps
    grid_share = np.stack([a, b, steps - a - b], axis=1)[inside] / steps
    for number in range(3):
        which = np.full(len(grid_share), number)
        grid = rounds.rows(which).mean_s(Decision(cut[which], grid_share)).min()
        one = rounds.rows(slice(number, number + 1))
        found = one.mean_s(best_shares(one, Decision(cut[number : number + 1], np.full((1, 3), 1 / 3)))).item()
        assert found <= grid * (1.0 + NEAR)
        assert found >= grid * (1.0 - 0.02)  # the grid is coarse


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.05, 0.95))
def test_the_mean_length_is_convex_in_the_shares(seed: int, scale: float) -> None:
    _, _, rounds = sampled(4, draws=8, num_devices=4)
    rng, cut = np.random.default_rng(seed), some_cuts(rounds, seed)
    one, other = random_shares(rng, 4, 4), random_shares(rng, 4, 4)
    between = rounds.mean_s(Decision(cut, scale * one + (1.0 - scale) * other))
    ends = scale * rounds.mean_s(Decision(cut, one)) + (1.0 - scale) * rounds.mean_s(Decision(cut, other))
    assert (between <= ends * (1.0 + 1e-12)).all()


def test_the_derivatives_are_those_of_the_times() -> None:
    _, _, rounds = sampled(5, draws=16)
    rng, cut = np.random.default_rng(0), some_cuts(rounds, 3)
    share, step = random_shares(rng, 5, 10), 1e-4
    now = rounds.times(Decision(cut, share))
    np.testing.assert_allclose(now.seconds, rounds.device_s(Decision(cut, share)), rtol=1e-12)
    up, down = (rounds.device_s(Decision(cut, share * (1.0 + way * step))) for way in (1.0, -1.0))
    slope = (down - up) / (2.0 * step)
    curvature = (up + down - 2.0 * now.seconds) / step**2
    smooth = np.abs(slope / np.maximum(now.slope_s, 1e-9) - 1.0) < 1e-3  # not at a bend of the rate curve
    assert smooth[rounds.reached].mean() > 0.99
    # What is left out of the curvature, how the elasticity falls with the share, would only make it larger.
    assert (curvature[smooth] >= now.curvature_s[smooth] * (1.0 - 1e-2) - 1e-3).all()


def test_it_makes_no_difference_from_which_shares_the_search_starts() -> None:
    _, _, rounds = sampled(15, draws=32, seed=7)
    cut, rng = some_cuts(rounds, 0), np.random.default_rng(0)
    starts = (np.full((15, 10), 0.1), random_shares(rng, 15, 10), rng.dirichlet(np.ones(10), 15))
    found = np.stack([rounds.mean_s(best_shares(rounds, Decision(cut, start))) for start in starts])
    assert (np.ptp(found, axis=0) < 3.0 * NEAR * found.min(axis=0)).all()


def test_shares_are_never_worse_than_what_they_start_from() -> None:
    _, _, rounds = sampled(10, draws=16)
    cut = some_cuts(rounds, 5)
    start = Decision(cut, random_shares(np.random.default_rng(2), 10, 10))
    found = best_shares(rounds, start)
    assert (rounds.mean_s(found) < rounds.mean_s(start)).all()
    np.testing.assert_allclose(found.bandwidth_share.sum(axis=1), 1.0, rtol=1e-9)
    again = best_shares(rounds, found)
    assert (rounds.mean_s(again) <= rounds.mean_s(found)).all()


def test_nobody_waits_for_a_device_that_cannot_be_reached() -> None:
    _, _, rounds = sampled(2, draws=4, num_devices=3)
    decision = Decision(some_cuts(rounds, 6), np.full((2, 3), 1 / 3))
    times = rounds.device_s(decision)
    reached = np.ones_like(rounds.reached)
    reached[0, 0, 1], reached[1, 1] = False, False
    changed = SampledRounds(
        rounds.problem, rounds.uplink_snr_hz, rounds.downlink_full_rate_bps, reached, outage_wait_s=7.0
    )
    lengths = changed.lengths_s(decision)
    assert lengths[0, 0] == times[0, 0, [0, 2]].max()
    assert lengths[1, 1] == 7.0
    np.testing.assert_array_equal(lengths[2:], times[2:].max(axis=-1))
