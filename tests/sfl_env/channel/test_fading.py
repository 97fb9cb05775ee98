"""Fading: block fading has the moments and correlations of its formulae, averaged fading tells its factor."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.channel import AveragedFading, BlockFading, NoFading, jakes_correlation
from sfl_env.errors import ScenarioError

COUNT = 200_000


def powers(
    fading: BlockFading, k_factor: float, rounds: int, seed: int = 0, shape: Any = (200, 1000)
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    state = fading.initial(rng, *shape)
    k = np.full(shape, k_factor)
    series = [fading.power(state, k)]
    for _ in range(rounds - 1):
        state = fading.step(state, rng)
        series.append(fading.power(state, k))
    return np.array(series)


@pytest.mark.parametrize("rho", [0.0, 0.9, -0.5])
def test_without_a_steady_wave_the_power_is_exponential_in_every_round(rho: float) -> None:
    for power in powers(BlockFading(rho), 0.0, rounds=2):
        # Standard errors: of the mean 1 / sqrt(200,000) = 0.0022, of the variance sqrt(8) times that.
        assert power.mean() == pytest.approx(1.0, abs=0.011)
        assert power.var() == pytest.approx(1.0, abs=0.035)
        for level in (0.1, 1.0, 2.0):
            assert (power < level).mean() == pytest.approx(1.0 - math.exp(-level), abs=0.006)


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_without_a_steady_wave_the_power_s_autocorrelation_is_the_squared_one(rho: float) -> None:
    series = powers(BlockFading(rho), 0.0, rounds=4, seed=1)
    for lag in (1, 2, 3):
        measured = np.corrcoef(series[0].ravel(), series[lag].ravel())[0, 1]
        assert measured == pytest.approx(rho ** (2 * lag), abs=0.02)


@pytest.mark.parametrize("k_factor", [0.5, 3.0, 20.0])
def test_power_has_mean_one_and_the_rician_variance(k_factor: float) -> None:
    for power in powers(BlockFading(0.8), k_factor, rounds=2, seed=3):
        assert power.mean() == pytest.approx(1.0, abs=0.011)
        assert power.var() == pytest.approx((1.0 + 2.0 * k_factor) / (1.0 + k_factor) ** 2, rel=0.04)


def test_each_link_has_its_own_factor() -> None:
    fading, rng = BlockFading(), np.random.default_rng(4)
    power = fading.power(fading.initial(rng, COUNT, 2), np.tile([0.0, 1e6], (COUNT, 1)))
    assert power[:, 0].std() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(power[:, 1], 1.0, atol=0.02)


def test_fully_correlated_fading_never_changes() -> None:
    series = powers(BlockFading(1.0), 2.0, rounds=3, shape=(2, 5))
    assert (series[0] == series[2]).all()


@settings(max_examples=30)
@given(rho=st.floats(-1.0, 1.0), k_factor=st.floats(0.0, 1e6), seed=st.integers(0, 2**32))
def test_powers_are_finite_and_repeat_with_the_seed(rho: float, k_factor: float, seed: int) -> None:
    one, other = (powers(BlockFading(rho), k_factor, rounds=3, seed=seed, shape=(2, 4)) for _ in range(2))
    assert ((one > 0.0) & np.isfinite(one)).all()
    assert (one == other).all()


def test_a_step_leaves_the_state_as_it_was() -> None:
    fading, rng = BlockFading(0.5), np.random.default_rng(7)
    state = fading.initial(rng, 2, 3)
    before = state.scatter.copy()
    fading.step(state, rng)
    fading.power(state, np.ones((2, 3)))
    assert (state.scatter == before).all()


@pytest.mark.parametrize("fading", [AveragedFading(), NoFading()])
def test_what_is_constant_over_rounds_draws_nothing_and_leaves_the_gain(fading: Any) -> None:
    rng = np.random.default_rng(6)
    state = fading.initial(rng, 2, 3)
    assert fading.step(state, rng) is state
    assert fading.power(state, np.ones((2, 3))) is None
    assert rng.bit_generator.state == np.random.default_rng(6).bit_generator.state


def test_only_averaged_fading_fades_within_the_round() -> None:
    k, rng = np.array([[0.0, 7.9]]), np.random.default_rng(0)
    assert (AveragedFading().initial(rng, 1, 2).within_round(k) == k).all()
    constants: list[Any] = [BlockFading(), NoFading()]
    for constant in constants:
        assert (constant.initial(rng, 1, 2).within_round(k) == math.inf).all()


@pytest.mark.parametrize("zero", [2.404825557695773, 5.520078110286311])
def test_jakes_correlation_vanishes_at_the_zeros_of_j0(zero: float) -> None:
    assert jakes_correlation(doppler_hz=zero / (2.0 * math.pi), interval_s=1.0) == pytest.approx(0.0, abs=1e-12)


def test_jakes_correlation_starts_at_one_and_has_the_known_minimum() -> None:
    assert jakes_correlation(doppler_hz=0.0, interval_s=1.0) == 1.0
    # J0 has its smallest value, -0.402760, at 3.8317059702.
    assert jakes_correlation(3.8317059702 / (2.0 * math.pi), 1.0) == pytest.approx(-0.402760, abs=1e-6)
    # It depends on the product alone.
    assert jakes_correlation(10.0, 0.02) == pytest.approx(jakes_correlation(100.0, 0.002), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BlockFading(1.5), "correlation is 1.5; .* from -1 to 1"),
        (lambda: BlockFading(math.nan), "correlation is nan"),
        (lambda: BlockFading(correlation="much"), "correlation is 'much'"),  # type: ignore[arg-type]  # the mistake under test
    ],
)
def test_parameters_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()
