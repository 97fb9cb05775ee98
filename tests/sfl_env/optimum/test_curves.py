"""The optimum is global and proven whatever the rate curve and the fading, by scalars of the tests' own."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import ncx2

from sfl_env import RoundProblem
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.rounds.curves import SHANNON, Modes, RateCurve, TruncatedShannon
from tests.sfl_env.optimum.test_joint import brute_force_s, random_problem
from tests.sfl_env.rounds.test_curves import NR

Efficiency = Callable[[float], float]

FADING = {"steady": np.inf, "Rician": 8.0, "Rayleigh": 0.0}


def truncated(sinr: float) -> float:
    lowest, highest = 0.1, math.pow(10.0, 2.2)
    held = min(max(sinr, lowest), highest)
    return 0.4 * math.log2(1.0 + held) * min(1.0, sinr / lowest)


def nr(sinr: float) -> float:
    pairs = zip(NR.thresholds_db, NR.efficiencies, strict=True)
    return max(e * min(1.0, sinr / math.pow(10.0, y / 10.0)) for y, e in pairs)


def one_mode(sinr: float) -> float:
    return 2.0 * min(1.0, sinr / 100.0)


CURVES: dict[str, tuple[RateCurve, Efficiency]] = {
    "Shannon": (SHANNON, lambda sinr: math.log2(1.0 + sinr)),
    "truncated": (TruncatedShannon(), truncated),
    "NR's modes": (NR, nr),
    "one mode": (Modes((20.0,), (2.0,)), one_mode),
}


def levels(rician_k: float) -> list[tuple[float, float]]:
    """Weights and powers, from their definition."""
    if math.isinf(rician_k):
        return [(1.0, 1.0)]
    abscissae, weights = np.polynomial.legendre.leggauss(5)
    v = 0.5 * (abscissae + 1.0)
    p = v * v * (3.0 - 2.0 * v)
    power = ncx2.ppf(p, 2.0, 2.0 * rician_k) / (2.0 * (1.0 + rician_k)) if rician_k else -np.log1p(-p)
    return list(zip(3.0 * weights * v * (1.0 - v), power, strict=True))


def least_share(problem: RoundProblem, k: int, target_s: float, efficiency: Efficiency) -> float:
    band, snr = problem.uplink_bandwidth_hz[0], problem.uplink_snr_hz[0, k]
    fading = levels(float(problem.rician_k[0, k]))

    def best_time_s(log_share: float) -> float:
        held = math.exp(log_share) * band
        rate = held * sum(weight * efficiency(snr * power / held) for weight, power in fading)
        down = problem.downlink_bits[0, k] / (math.exp(log_share) * problem.downlink_full_rate_bps[0, k])
        return float((problem.fixed_s[0, k] + problem.uplink_bits[0, k] / rate + down).min())

    if best_time_s(0.0) > target_s:
        return math.inf
    return math.exp(brentq(lambda x: best_time_s(x) - target_s, -60.0, 0.0, xtol=1e-14, rtol=1e-14))


@pytest.mark.parametrize("fading", FADING)
@pytest.mark.parametrize("curve", CURVES)
def test_exact_is_the_root_of_the_needed_shares(curve: str, fading: str) -> None:
    """The least T for which the shares that devices need sum to 1, found in plain scalars."""
    given, efficiency = CURVES[curve]
    rng = np.random.default_rng(0)
    for _ in range(6):
        problem = replace(
            random_problem(rng, 1, 3, 3), uplink_curve=given, rician_k=np.full((1, 3), FADING[fading])
        )
        solution = solve_exact(problem)
        assert solution.lower_bound_s[0] <= solution.latency_s[0] * (1.0 + 1e-12)
        assert solution.lower_bound_s == pytest.approx(solution.latency_s, rel=1e-8)
        assert problem.latency_s(solution.decision) == pytest.approx(solution.latency_s, rel=1e-9)
        # Levels come from a table, to 1e-5 of the fading's quantiles.
        table = 1e-8 if math.isinf(FADING[fading]) else 3e-5
        for factor, reached in ((1.0 - table, False), (1.0 + table, True)):
            target_s = float(solution.latency_s[0]) * factor
            needed = sum(least_share(problem, k, target_s, efficiency) for k in range(3))
            assert (needed <= 1.0) is reached


@pytest.mark.parametrize("fading", FADING)
@pytest.mark.parametrize("curve", CURVES)
def test_exact_equals_brute_force_over_all_cuts(curve: str, fading: str) -> None:
    problem = random_problem(np.random.default_rng(1), 4, 3, 3, last_cut_free=True)
    problem = replace(problem, uplink_curve=CURVES[curve][0], rician_k=np.full((4, 3), FADING[fading]))
    solution = solve_exact(problem)
    np.testing.assert_allclose(solution.latency_s, brute_force_s(problem), rtol=1e-8)
    np.testing.assert_allclose(solution.lower_bound_s, solution.latency_s, rtol=1e-8)


@pytest.mark.parametrize("curve", CURVES)
def test_a_device_whose_band_is_saturated_holds_the_round_up_alone(curve: str) -> None:
    """Its link carries next to nothing however much of the band it holds; the bound says so."""
    problem = random_problem(np.random.default_rng(2), 3, 4, 3)
    weak = problem.uplink_snr_hz.copy()
    weak[:, 0] *= 1e-7
    problem = replace(problem, uplink_snr_hz=weak, uplink_curve=CURVES[curve][0])
    solution = solve_exact(problem)
    np.testing.assert_allclose(solution.lower_bound_s, solution.latency_s, rtol=1e-8)
    alone = allocate_bandwidth(problem.rows(slice(0, 1)), solution.decision.cut[:1])
    assert alone.latency_s == pytest.approx(solution.latency_s[:1], rel=1e-8)


@pytest.mark.parametrize("curve", ["Shannon", "truncated"])
def test_the_descent_needs_no_bisection_on_the_default_curves(curve: str) -> None:
    """Where times are not concave in the reciprocal share, a few steps are enough all the same."""
    rng = np.random.default_rng(3)
    problem = random_problem(rng, 300, 10, 8)
    fading = np.where(rng.random((300, 10)) < 0.5, 8.0, 0.0)
    solution = solve_exact(replace(problem, uplink_curve=CURVES[curve][0], rician_k=fading))
    assert np.mean(solution.iterations > 60) < 0.02
