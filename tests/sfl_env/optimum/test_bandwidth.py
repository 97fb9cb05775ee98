"""The split of the band for fixed cuts."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.special import lambertw

from sfl_env import Decision, RoundProblem
from sfl_env.errors import DecisionError, ProblemError
from sfl_env.optimum import Solution, allocate_bandwidth, solve_exact
from sfl_env.optimum.descent import MAX_ITERATIONS


def allocate_first_cuts(problem: RoundProblem) -> Solution:
    """The best split where all cut first."""
    return allocate_bandwidth(problem, np.zeros(problem.shape[:2], dtype=np.intp))


def random_problem(rng: np.random.Generator, n: int, k: int, c: int, decades: float = 2.0) -> RoundProblem:
    """Problems whose numbers all spread log-uniformly over so many decades."""

    def spread(*shape: int) -> np.ndarray:
        return 10.0 ** rng.uniform(-decades / 2, decades / 2, shape)

    return RoundProblem(
        fixed_s=spread(n, k, c),
        uplink_bits=1e6 * spread(n, k, c),
        downlink_bits=1e6 * spread(n, k, c),
        uplink_snr_hz=1e7 * spread(n, k),
        downlink_full_rate_bps=1e7 * spread(n, k),
        uplink_bandwidth_hz=1e6 * spread(n),
    )


def single(
    fixed: list[float], up: list[float], down: list[float], snr: float = 3e6, down_rate: float = np.inf
) -> RoundProblem:
    """One round whose devices have a single cut each and the same radio."""
    k = len(fixed)
    return RoundProblem(
        fixed_s=np.reshape(fixed, (1, k, 1)),
        uplink_bits=np.reshape(up, (1, k, 1)),
        downlink_bits=np.reshape(down, (1, k, 1)),
        uplink_snr_hz=np.full((1, k), snr),
        downlink_full_rate_bps=np.full((1, k), down_rate),
        uplink_bandwidth_hz=np.array([2e6]),
    )


def device_time_s(problem: RoundProblem, n: int, k: int, c: int, share: float) -> float:
    """One device's time in plain scalars, independent of the package's formulae."""
    band = share * problem.uplink_bandwidth_hz[n]
    rate = band * np.log2(1.0 + problem.uplink_snr_hz[n, k] / band)
    down = problem.downlink_bits[n, k, c] / (share * problem.downlink_full_rate_bps[n, k])
    return float(problem.fixed_s[n, k, c] + problem.uplink_bits[n, k, c] / rate + down)


def needed_share(problem: RoundProblem, n: int, k: int, c: int, target_s: float) -> float:
    """The share with which a device finishes by the target, by scalar root finding; infinite above 1."""
    if device_time_s(problem, n, k, c, 1.0) > target_s:
        return np.inf
    log_share = brentq(
        lambda x: device_time_s(problem, n, k, c, np.exp(x)) - target_s, -300.0, 0.0, xtol=1e-14, rtol=1e-14
    )
    return float(np.exp(log_share))


def common_time_s(problem: RoundProblem, n: int, cut: np.ndarray) -> float:
    """When all devices finish at once, by nested scalar root finding."""
    devices = range(len(cut))
    low = max(device_time_s(problem, n, k, cut[k], 1.0) for k in devices)
    high = max(device_time_s(problem, n, k, cut[k], 1.0 / len(cut)) for k in devices)

    def excess(target_s: float) -> float:
        return min(sum(needed_share(problem, n, k, cut[k], target_s) for k in devices), 1e6) - 1.0

    return float(brentq(excess, low * (1 - 1e-12), high * (1 + 1e-12), xtol=1e-300, rtol=1e-12))


@pytest.mark.parametrize("downlink", [True, False])
def test_allocation_equals_nested_scalar_root_finding(downlink: bool) -> None:
    rng = np.random.default_rng(1)
    problem = random_problem(rng, 20, 5, 1)
    if not downlink:
        problem = RoundProblem(
            problem.fixed_s,
            problem.uplink_bits,
            problem.downlink_bits,
            problem.uplink_snr_hz,
            np.full((20, 5), np.inf),
            problem.uplink_bandwidth_hz,
        )
    cut = np.zeros((20, 5), dtype=int)
    solution = allocate_bandwidth(problem, cut)
    expected = [common_time_s(problem, n, cut[n]) for n in range(20)]
    np.testing.assert_allclose(solution.latency_s, expected, rtol=1e-9)
    np.testing.assert_allclose(solution.decision.bandwidth_share.sum(axis=1), 1.0, rtol=1e-12)


def test_allocation_equals_a_general_optimiser() -> None:
    rng = np.random.default_rng(2)
    problem = random_problem(rng, 5, 4, 1, decades=1.0)
    cut = np.zeros((5, 4), dtype=int)
    solution = allocate_bandwidth(problem, cut)
    for n in range(5):
        start = np.append(np.full(4, 0.25), max(device_time_s(problem, n, k, 0, 0.25) for k in range(4)))
        found = minimize(  # type: ignore[call-overload]  # SciPy's types know no lists of such constraints
            lambda v: v[-1],
            start,
            method="SLSQP",
            bounds=[(1e-6, 1.0)] * 4 + [(0.0, None)],
            constraints=[
                {"type": "eq", "fun": lambda v: 1.0 - v[:-1].sum()},
                {
                    "type": "ineq",
                    "fun": lambda v, n=n: np.array(
                        [v[-1] - device_time_s(problem, n, k, 0, max(v[k], 1e-9)) for k in range(4)]
                    ),
                },
            ],
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert solution.latency_s[n] == pytest.approx(found.x[-1], rel=1e-6)


def test_shares_without_downlink_follow_the_lambert_w_function() -> None:
    # T = fixed + U ln 2 / (b ln(1 + g / b)) solved for b: with r = U ln 2 / ((T - fixed) g), the inverse SNR
    # z = b / g solves z ln(1 + 1 / z) = r, hence 1 / z = -1 - W_{-1}(-r exp(-r)) / r.
    rng = np.random.default_rng(3)
    problem = random_problem(rng, 50, 6, 1)
    problem = RoundProblem(
        problem.fixed_s,
        problem.uplink_bits,
        np.zeros((50, 6, 1)),
        problem.uplink_snr_hz,
        problem.downlink_full_rate_bps,
        problem.uplink_bandwidth_hz,
    )
    solution = allocate_bandwidth(problem, np.zeros((50, 6), dtype=int))
    left = solution.latency_s[:, None] - problem.fixed_s[..., 0]
    r = problem.uplink_bits[..., 0] * np.log(2.0) / (left * problem.uplink_snr_hz)
    inverse = -1.0 - np.real(lambertw(-r * np.exp(-r), -1)) / r
    closed = problem.uplink_snr_hz / inverse / problem.uplink_bandwidth_hz[:, None]
    np.testing.assert_allclose(solution.decision.bandwidth_share, closed, rtol=1e-6)


def test_devices_that_need_the_band_finish_together_and_latency_is_the_problems_own() -> None:
    problem = random_problem(np.random.default_rng(4), 200, 7, 3)
    cut = np.random.default_rng(5).integers(0, 3, (200, 7))
    solution = allocate_bandwidth(problem, cut)
    problem.check(solution.decision)
    times = problem.device_latency_s(solution.decision)
    np.testing.assert_allclose(times, solution.latency_s[:, None] * np.ones(7), rtol=1e-9)
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-13)
    assert (solution.lower_bound_s <= solution.latency_s).all()
    assert solution.relative_gap.max() < 1e-9


def test_no_perturbed_split_is_faster_than_the_bound() -> None:
    rng = np.random.default_rng(6)
    problem = random_problem(rng, 100, 4, 2)
    cut = rng.integers(0, 2, (100, 4))
    solution = allocate_bandwidth(problem, cut)
    for width in (1e-8, 1e-4, 0.1, 1.0):
        share = solution.decision.bandwidth_share * np.exp(width * rng.standard_normal((100, 4)))
        share /= share.sum(axis=1, keepdims=True)
        assert (problem.latency_s(Decision(cut, share)) >= solution.lower_bound_s).all()


def test_identical_devices_get_equal_shares() -> None:
    solution = allocate_bandwidth(single([1.0] * 8, [1e6] * 8, [1e6] * 8, down_rate=1e7), np.zeros((1, 8), int))
    np.testing.assert_allclose(solution.decision.bandwidth_share, 1 / 8, rtol=1e-12)


def test_a_single_device_gets_the_whole_band() -> None:
    solution = allocate_bandwidth(single([1.0], [2e6], [0.0], snr=6e6), np.zeros((1, 1), int))
    assert solution.decision.bandwidth_share.tolist() == [[1.0]]
    assert solution.latency_s[0] == pytest.approx(1.5)


def test_a_device_without_need_holds_no_share_and_may_be_the_straggler() -> None:
    problem = single([9.0, 1.0, 1.0], [0.0, 2e6, 2e6], [0.0, 0.0, 0.0])
    solution = allocate_bandwidth(problem, np.zeros((1, 3), int))
    np.testing.assert_allclose(solution.decision.bandwidth_share, [[0.0, 0.5, 0.5]], rtol=1e-12)
    assert solution.latency_s[0] == 9.0
    assert solution.lower_bound_s[0] == 9.0


def test_nobody_needs_the_band() -> None:
    # Bits towards a device are free where the downlink is neglected.
    solution = allocate_bandwidth(single([1.0, 2.0], [0.0, 0.0], [5.0, 0.0]), np.zeros((1, 2), int))
    assert solution.decision.bandwidth_share.tolist() == [[0.0, 0.0]]
    assert solution.latency_s[0] == solution.lower_bound_s[0] == 2.0


def test_inactive_devices_of_zero_length_are_no_trouble() -> None:
    solution = allocate_bandwidth(single([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]), np.zeros((1, 2), int))
    assert solution.latency_s[0] == 0.0
    assert solution.relative_gap[0] == 0.0
    # There is nothing to improve, hence nothing to bisect.
    assert solution.iterations[0] < MAX_ITERATIONS


@pytest.mark.parametrize("solve", [allocate_first_cuts, solve_exact])
def test_who_asked_for_an_optimum_that_is_not_there_is_named(solve: Callable[[RoundProblem], object]) -> None:
    asked = "solve_exact" if solve is solve_exact else "allocate_bandwidth"
    with pytest.raises(ProblemError, match=asked):
        solve(replace(single([1.0], [1.0], [1.0]), system="deadline"))


def test_a_computation_bound_device_leaves_the_band_to_the_others() -> None:
    # The first device computes for 1 s and sends for nanoseconds: the others take what brings them to 1 s.
    problem = single([1.0, 0.0], [1e-3, 1.2e6], [0.0, 0.0])
    solution = allocate_bandwidth(problem, np.zeros((1, 2), int))
    assert solution.relative_gap[0] < 1e-9
    assert solution.latency_s[0] == pytest.approx(1.0, rel=1e-8)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ([[0, 2]], "device 1 .* from 0 to 1"),
        ([[0, -1]], "device 1"),
        ([[1, 0]], "device 0 .* memory"),
        ([[0, 0, 0]], "shape"),
        ([[0.0, 1.0]], "integers"),
    ],
)
def test_a_cut_that_cannot_be_taken_is_named(cut: list[list[int]], message: str) -> None:
    problem = RoundProblem(
        fixed_s=np.array([[[1.0, np.inf], [1.0, 1.0]]]),
        uplink_bits=np.ones((1, 2, 2)),
        downlink_bits=np.ones((1, 2, 2)),
        uplink_snr_hz=np.ones((1, 2)),
        downlink_full_rate_bps=np.ones((1, 2)),
        uplink_bandwidth_hz=np.array([1.0]),
    )
    with pytest.raises(DecisionError, match=message):
        allocate_bandwidth(problem, np.array(cut))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 12), decades=st.sampled_from([1.0, 6.0, 12.0]))
def test_any_instance_is_solved_within_its_bound(seed: int, k: int, decades: float) -> None:
    problem = random_problem(np.random.default_rng(seed), 20, k, 1, decades)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = allocate_bandwidth(problem, np.zeros((20, k), dtype=int))
    problem.check(solution.decision)
    assert (solution.relative_gap < 1e-8).all()
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-12)
