"""Blockage is a two-state Markov process in continuous time: fraction, holding time, and steps that add up."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.channel import Blockage, NoBlockage, TwoStateBlockage
from sfl_env.channel.blockage import BlockageState
from sfl_env.errors import ScenarioError

N, K = 400, 500


def after(blockage: TwoStateBlockage, blocked: bool, steps: tuple[float, ...], seed: int) -> float:
    """Return the share of links that are blocked so many seconds after all or none were."""
    rng = np.random.default_rng(seed)
    state = BlockageState(np.full((N, K), blocked))
    for seconds in steps:
        state = blockage.step(state, np.full(N, seconds), rng)
    return float(state.blocked.mean())


def test_links_are_blocked_for_their_fraction_of_time_whatever_rounds_last() -> None:
    blockage, rng = TwoStateBlockage(6.0, 0.2, 60.0), np.random.default_rng(0)
    state = blockage.initial(rng, N, K)
    for seconds in (0.0, 1.0, 17.0, 400.0, 1e9, 5.0):
        # Standard error: sqrt(0.2 x 0.8 / 200,000) = 0.0009.
        assert state.blocked.mean() == pytest.approx(0.2, abs=0.0045)
        state = blockage.step(state, np.full(N, seconds), rng)


@pytest.mark.parametrize("blocked", [True, False])
@pytest.mark.parametrize("steps", [(20.0,), (10.0, 10.0), (1.0, 4.0, 15.0)])
def test_two_steps_are_one_of_their_sum(blocked: bool, steps: tuple[float, ...]) -> None:
    blockage = TwoStateBlockage(6.0, 0.3, 40.0)
    expected = 0.3 + (blocked - 0.3) * math.exp(-20.0 / (40.0 * 0.7))
    assert after(blockage, blocked, steps, 1) == pytest.approx(expected, abs=0.0056)


def test_blocked_links_become_free_after_the_mean_time() -> None:
    blockage = TwoStateBlockage(6.0, 0.25, 50.0)
    # In a moment each link leaves its state at most once: at the rates 1 / 50 and 0.25 / (50 x 0.75).
    assert (1.0 - after(blockage, True, (0.5,), 2)) / 0.5 == pytest.approx(1.0 / 50.0, rel=0.1)
    assert after(blockage, False, (0.5,), 3) / 0.5 == pytest.approx(1.0 / 150.0, rel=0.15)


def test_a_blocked_link_loses_its_decibels() -> None:
    factor = TwoStateBlockage(10.0, 0.5, 1.0).factor(BlockageState(np.array([[True, False]])))
    np.testing.assert_allclose(factor, [[0.1, 1.0]], rtol=1e-12)


def test_each_environment_has_its_own_time_and_states_stay_as_they_are() -> None:
    blockage, rng = TwoStateBlockage(6.0, 0.5, 10.0), np.random.default_rng(4)
    state = blockage.initial(rng, 2, 1000)
    before = state.blocked.copy()
    later = blockage.step(state, np.array([0.0, 1e9]), rng)
    assert (later.blocked[0] == before[0]).all()
    assert (later.blocked[1] != before[1]).mean() == pytest.approx(0.5, abs=0.08)
    assert (state.blocked == before).all()


def test_nothing_in_the_way_draws_nothing() -> None:
    rng = np.random.default_rng(5)
    nothing: Blockage[Any] = NoBlockage()
    state = nothing.initial(rng, 2, 3)
    assert nothing.step(state, np.ones(2), rng) is state
    assert nothing.factor(state) is None
    assert rng.bit_generator.state == np.random.default_rng(5).bit_generator.state


@settings(deadline=None)
@given(fraction=st.floats(0.0, 0.999), hold_s=st.floats(1e-9, 1e12), seconds=st.floats(0.0, 1e9))
def test_any_figures_give_states(fraction: float, hold_s: float, seconds: float) -> None:
    blockage, rng = TwoStateBlockage(3.0, fraction, hold_s), np.random.default_rng(6)
    state = blockage.step(blockage.initial(rng, 2, 3), np.full(2, seconds), rng)
    assert state.blocked.dtype == np.bool_
    assert fraction > 0.0 or not state.blocked.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoStateBlockage(-1.0, 0.2, 1.0), "loss_db is -1.0; .* from 0 to 200"),
        (lambda: TwoStateBlockage(6.0, 1.0, 1.0), "fraction is 1.0; .* of at least 0 and below 1"),
        (lambda: TwoStateBlockage(6.0, math.nan, 1.0), "fraction is nan"),
        (lambda: TwoStateBlockage(6.0, 0.2, 0.0), "hold_s is 0.0; .* above 0"),
    ],
)
def test_figures_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()
