"""A few levels of power stand for the fading that a round averages over."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ncx2

from sfl_env.rounds.curves import SHANNON, RateCurve, TruncatedShannon
from sfl_env.rounds.fading_levels import LEVELS, SmallScaleFading, fading_levels, level_weights
from sfl_env.rounds.radio import Downlink, uplink_rate_bps

K_FACTORS = [0.0, 0.3, 1.0, 3.0, 8.0, 30.0, 300.0, 2_000.0, 1e5]


def ergodic_rate(curve: RateCurve, sinr: float, rician_k: float) -> float:
    """The mean rate on a band of 1 Hz, by integration over the power's quantiles."""

    def rate(probability: float) -> float:
        power = ncx2.ppf(probability, 2.0, 2.0 * rician_k) / (2.0 * (1.0 + rician_k))
        return float(curve.held_efficiency(np.array([sinr * power]))[0])

    return float(quad(rate, 0.0, 1.0, limit=400, epsrel=1e-6)[0])


@pytest.mark.parametrize("rician_k", K_FACTORS)
def test_levels_are_the_quantiles_of_rician_power(rician_k: float) -> None:
    abscissae, _ = np.polynomial.legendre.leggauss(LEVELS)
    v = 0.5 * (abscissae + 1.0)
    p = v * v * (3.0 - 2.0 * v)
    expected = ncx2.ppf(p, 2.0, 2.0 * rician_k) / (2.0 * (1.0 + rician_k)) if rician_k else -np.log1p(-p)
    found = fading_levels(np.array([[rician_k]]))
    assert found is not None
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=3e-5)


def test_weights_sum_to_one_and_levels_have_the_mean_of_the_fading() -> None:
    levels = fading_levels(np.array([K_FACTORS]))
    assert levels is not None
    assert level_weights().sum() == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(np.tensordot(level_weights(), levels, 1), 1.0, atol=4e-3)


@pytest.mark.parametrize("curve", [TruncatedShannon(), TruncatedShannon(0.6, -10.0, 30.0)], ids=["up", "down"])
@pytest.mark.parametrize("rician_k", [0.0, 0.3, 2.0, 10.0])
def test_the_mean_over_levels_is_the_ergodic_rate(curve: RateCurve, rician_k: float) -> None:
    levels = fading_levels(np.array([[rician_k]]))
    for sinr in 10.0 ** np.arange(-1.5, 4.0, 0.35):
        found = uplink_rate_bps(np.array([[1.0]]), 1.0, np.array([[sinr]]), curve, levels)[0, 0]
        assert found == pytest.approx(ergodic_rate(curve, sinr, rician_k), rel=1e-2)


def test_links_that_do_not_fade_within_the_round_have_one_level() -> None:
    assert fading_levels(np.full((2, 3), np.inf)) is None
    mixed = fading_levels(np.array([[np.inf, 0.0]]))
    assert mixed is not None
    np.testing.assert_array_equal(mixed[:, 0, 0], 1.0)
    gain = np.array([[1e-9, 1e-9]])
    downlink = Downlink(2e7, 10.0, 1e-19, SHANNON)
    steady, fades = downlink.full_rate_bps(gain, mixed)[0]
    assert steady == pytest.approx(downlink.full_rate_bps(gain)[0, 0], rel=1e-12)
    assert fades < steady, "by Jensen's inequality fading costs rate"


def test_spread_and_factor_tell_the_same() -> None:
    fading = SmallScaleFading(np.array([[0.0, 1.0, 8.0, np.inf]]))
    np.testing.assert_allclose(fading.spread, [[1.0, 0.5**0.5, 1.0 / 3.0, 0.0]])
    np.testing.assert_allclose(SmallScaleFading.from_spread(fading.spread).rician_k, fading.rician_k, atol=1e-12)
