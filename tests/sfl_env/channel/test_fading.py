"""Fading has the power, the distribution and the autocorrelation that it claims.

Statistical tests use fixed seeds; tolerances are about five standard errors of the estimate.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.channel import NoFading, Rayleigh, Rician, jakes_correlation
from sfl_env.errors import ScenarioError

SAMPLES = 200_000


def powers(fading: Any, rounds: int, seed: int = 0, n: int = 200, num_devices: int = 1000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    state = fading.initial(rng, n, num_devices)
    series = [state.power]
    for _ in range(rounds):
        state = fading.step(state, rng)
        series.append(state.power)
    return np.array(series)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.7, 0.95])
def test_rayleigh_power_is_exponential_with_mean_one_in_every_round(rho: float) -> None:
    for power in powers(Rayleigh(rho), rounds=2):
        # Standard error of the mean: 1 / sqrt(200,000) = 0.0022; of the second moment 2: sqrt(20) / 447 = 0.01.
        assert power.mean() == pytest.approx(1.0, abs=0.012)
        assert (power**2).mean() == pytest.approx(2.0, abs=0.05)
        assert (power > 1.0).mean() == pytest.approx(math.exp(-1.0), abs=0.006)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_rayleigh_autocorrelation(rho: float) -> None:
    fading, rng = Rayleigh(rho), np.random.default_rng(1)
    first = state = fading.initial(rng, 200, 1000)
    for lag in range(1, 5):
        state = fading.step(state, rng)
        # Amplitude: rho^lag, from 400,000 pairs; power: rho^(2 lag), from 200,000 heavy-tailed ones.
        assert correlation(first.scatter, state.scatter) == pytest.approx(rho**lag, abs=0.008)
        assert correlation(first.power, state.power) == pytest.approx(rho ** (2 * lag), abs=0.015)


def test_the_two_parts_of_the_amplitude_are_independent() -> None:
    scatter = Rayleigh(0.9).initial(np.random.default_rng(2), 200, 1000).scatter
    assert correlation(scatter[:, 0], scatter[:, 1]) == pytest.approx(0.0, abs=0.012)


@pytest.mark.parametrize("k_factor", [0.0, 1.0, 10.0])
def test_rician_moments_in_every_round(k_factor: float) -> None:
    variance = (1.0 + 2.0 * k_factor) / (1.0 + k_factor) ** 2
    for power in powers(Rician(k_factor, 0.8), rounds=2, seed=3):
        assert power.mean() == pytest.approx(1.0, abs=5.0 * math.sqrt(variance / SAMPLES))
        assert power.var() == pytest.approx(variance, rel=0.04)


def test_rician_scatter_has_the_autocorrelation() -> None:
    fading, rng = Rician(3.0, 0.8), np.random.default_rng(4)
    first = state = fading.initial(rng, 200, 1000)
    for lag in range(1, 4):
        state = fading.step(state, rng)
        assert correlation(first.scatter, state.scatter) == pytest.approx(0.8**lag, abs=0.008)


def test_rician_without_steady_wave_is_rayleigh() -> None:
    rician, rayleigh = (powers(kind, 3, seed=5, n=2, num_devices=4) for kind in (Rician(0.0, 0.7), Rayleigh(0.7)))
    np.testing.assert_allclose(rician, rayleigh, rtol=1e-12)


def test_full_correlation_never_changes() -> None:
    series = powers(Rayleigh(1.0), rounds=3, n=2, num_devices=5)
    assert (series == series[0]).all()


def test_no_fading_is_constant_and_draws_nothing() -> None:
    rng = np.random.default_rng(6)
    state = NoFading().initial(rng, 2, 3)
    assert NoFading().step(state, rng) is state
    assert (state.power == 1.0).all()
    assert rng.bit_generator.state == np.random.default_rng(6).bit_generator.state
    assert NoFading().correlation == 1.0


@settings(max_examples=50)
@given(rho=st.floats(-1.0, 1.0), k_factor=st.floats(0.0, 1e9), seed=st.integers(0, 2**32))
def test_powers_are_positive_and_finite(rho: float, k_factor: float, seed: int) -> None:
    for fading in (Rayleigh(rho), Rician(k_factor, rho)):
        series = powers(fading, rounds=3, seed=seed, n=2, num_devices=4)
        assert ((series > 0.0) & np.isfinite(series)).all()


def test_a_step_leaves_the_state_as_it_was() -> None:
    fading, rng = Rayleigh(0.5), np.random.default_rng(7)
    state = fading.initial(rng, 2, 3)
    scatter, power = state.scatter.copy(), state.power.copy()
    fading.step(state, rng)
    assert (state.scatter == scatter).all()
    assert (state.power == power).all()


@pytest.mark.parametrize("zero", [2.404825557695773, 5.520078110286311, 8.653727912911013])
def test_jakes_correlation_vanishes_at_the_zeros_of_j0(zero: float) -> None:
    assert jakes_correlation(doppler_hz=zero / (2.0 * math.pi), interval_s=1.0) == pytest.approx(0.0, abs=1e-12)


def test_jakes_correlation_starts_at_one_and_has_the_known_minimum() -> None:
    assert jakes_correlation(doppler_hz=0.0, interval_s=1.0) == 1.0
    # J0 is lowest at 3.8317, where it is -0.402760.
    assert jakes_correlation(3.8317059702 / (2.0 * math.pi), 1.0) == pytest.approx(-0.402760, abs=1e-6)
    # It depends on doppler x interval alone.
    assert jakes_correlation(10.0, 0.02) == pytest.approx(jakes_correlation(100.0, 0.002), rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rayleigh(1.5), "correlation is 1.5; .* from -1 to 1"),
        (lambda: Rayleigh(math.nan), "correlation is nan"),
        (lambda: Rician(k_factor=-1.0), "k_factor is -1.0"),
        (lambda: Rician(correlation="much"), "correlation is 'much'"),  # type: ignore[arg-type]  # the mistake under test
    ],
)
def test_parameters_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()
