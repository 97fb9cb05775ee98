"""Availability is a stationary Markov chain with the autocorrelation that it claims."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.devices import AlwaysAvailable, MarkovAvailability
from sfl_env.devices.availability import edges_between
from sfl_env.errors import ScenarioError

LEVELS, WEIGHTS = (0.2, 0.5, 1.0), (1.0, 3.0, 6.0)


def test_the_weights_are_the_distribution_in_every_round() -> None:
    chain, rng = MarkovAvailability(LEVELS, WEIGHTS, 50.0), np.random.default_rng(0)
    state = chain.initial(rng, 200, 500)
    for seconds in (1.0, 20.0, 0.0, 300.0, 1e6, 5.0):
        for level, weight in zip(LEVELS, WEIGHTS, strict=True):
            # Standard error at most 0.0016.
            assert (state.fraction == level).mean() == pytest.approx(weight / 10.0, abs=0.008)
        state = chain.step(state, np.full(200, seconds), rng)


@pytest.mark.parametrize("hold_s", [10.0, 40.0])
def test_autocorrelation_falls_with_the_seconds_however_they_are_cut(hold_s: float) -> None:
    chain, rng = MarkovAvailability(LEVELS, WEIGHTS, hold_s), np.random.default_rng(1)
    first = state = chain.initial(rng, 200, 500)
    passed = 0.0
    for seconds in (2.0, 10.0, 0.5, 30.0):
        state = chain.step(state, np.full(200, seconds), rng)
        passed += seconds
        measured = np.corrcoef(first.fraction.ravel(), state.fraction.ravel())[0, 1]
        assert measured == pytest.approx(math.exp(-passed / hold_s), abs=0.016)


def test_each_environment_has_its_own_time() -> None:
    chain, rng = MarkovAvailability(LEVELS, WEIGHTS, 10.0), np.random.default_rng(5)
    before = chain.initial(rng, 3, 2000)
    after = chain.step(before, np.array([0.0, 10.0, math.inf]), rng)
    assert (after.fraction[0] == before.fraction[0]).all()
    same = sum((weight / 10.0) ** 2 for weight in WEIGHTS)
    for env, stays in ((1, math.exp(-1.0)), (2, 0.0)):
        kept = (after.fraction[env] == before.fraction[env]).mean()
        assert kept == pytest.approx(stays + (1.0 - stays) * same, abs=0.05)


def test_where_a_device_switches_to_does_not_depend_on_where_it_was() -> None:
    chain, rng = MarkovAvailability(LEVELS, WEIGHTS, 1e-3), np.random.default_rng(2)
    before = chain.initial(rng, 200, 500)
    after = chain.step(before, np.full(200, 10.0), rng)
    for level in LEVELS:
        # Standard error at most sqrt(0.6 x 0.4 / 10,000) = 0.005.
        assert (after.fraction[before.fraction == level] == 1.0).mean() == pytest.approx(0.6, abs=0.025)


def test_in_no_time_nothing_changes() -> None:
    chain, rng = MarkovAvailability(LEVELS, WEIGHTS), np.random.default_rng(3)
    state = chain.initial(rng, 2, 3)
    assert chain.step(state, np.zeros(2), rng) is state


def test_always_available_is_one_and_draws_nothing() -> None:
    rng = np.random.default_rng(4)
    state = AlwaysAvailable().initial(rng, 2, 3)
    assert (state.fraction == 1.0).all()
    assert AlwaysAvailable().step(state, np.ones(2), rng) is state
    assert rng.bit_generator.state == np.random.default_rng(4).bit_generator.state


@settings(max_examples=50)
@given(
    levels=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=6, unique=True).map(sorted).map(tuple),
    hold_s=st.floats(1e-3, 1e12),
    seed=st.integers(0, 2**32),
)
def test_fractions_are_levels_and_repeat_with_the_seed(
    levels: tuple[float, ...], hold_s: float, seed: int
) -> None:
    chain = MarkovAvailability(levels, hold_s=hold_s)
    ends = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        state = chain.initial(rng, 3, 4)
        for _ in range(5):
            before = state.fraction.copy()
            following = chain.step(state, np.array([0.0, 20.0, 1e9]), rng)
            assert (state.fraction == before).all()
            assert np.isin(following.fraction, levels).all()
            state = following
        ends.append(state.fraction)
    assert (ends[0] == ends[1]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MarkovAvailability(()), "levels is empty"),
        (lambda: MarkovAvailability((0.0, 1.0)), r"levels\[0\] is 0.0"),
        (lambda: MarkovAvailability((0.5, 1.5)), r"levels\[1\] is 1.5"),
        (lambda: MarkovAvailability((0.5, 1.0), (1.0,)), "weights has 1 entries for 2 levels"),
        (lambda: MarkovAvailability((0.5, 1.0), (1.0, -1.0)), r"weights\[1\] is -1.0"),
        (lambda: MarkovAvailability((0.5, 1.0), (0.0, 0.0)), "weights are all 0"),
        (lambda: MarkovAvailability(hold_s=0.0), "hold_s is 0.0; .* above 0"),
    ],
)
def test_bad_parameters_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()


def test_levels_may_come_in_any_order_and_twice() -> None:
    availability = MarkovAvailability((1.0, 0.5, 1.0), hold_s=1e-3)
    state = availability.initial(np.random.default_rng(0), 100, 100)
    later = availability.step(state, np.full(100, 10.0), np.random.default_rng(1))
    for fraction in (state.fraction, later.fraction):
        assert (fraction == 1.0).mean() == pytest.approx(2 / 3, abs=0.02)
        assert set(np.unique(fraction)) == {0.5, 1.0}


def test_a_choice_without_weight_is_never_drawn() -> None:
    for count in range(1, 60):
        edges = edges_between((*(0.1,) * count, 0.0))
        assert edges[-1] == 1.0
