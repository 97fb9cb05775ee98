"""The globally optimal cuts and shares, and the proof that comes with them."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from sfl_env import Decision, RoundProblem
from sfl_env.optimum import allocate_bandwidth, best_cuts, solve_exact
from sfl_env.optimum.bracket import bracketed_shares


def random_problem(
    rng: np.random.Generator,
    n: int,
    k: int,
    c: int,
    decades: float = 2.0,
    last_cut_free: bool = False,
    masked: float = 0.0,
) -> RoundProblem:
    """Problems whose numbers all spread log-uniformly; some cuts may not fit, the last may need no band."""

    def spread(*shape: int) -> np.ndarray:
        return 10.0 ** rng.uniform(-decades / 2, decades / 2, shape)

    fixed, up, down = spread(n, k, c), 1e6 * spread(n, k, c), 1e6 * spread(n, k, c)
    if last_cut_free:
        up[..., -1] = down[..., -1] = 0.0
    unfit = rng.random((n, k, c)) < masked
    unfit[..., 0] = False
    return RoundProblem(
        fixed_s=np.where(unfit, np.inf, fixed),
        uplink_bits=up,
        downlink_bits=down,
        uplink_snr_hz=1e7 * spread(n, k),
        downlink_full_rate_bps=1e7 * spread(n, k),
        uplink_bandwidth_hz=1e6 * spread(n),
    )


def brute_force_s(problem: RoundProblem) -> np.ndarray:
    """The best over all combinations of cuts of the optimally split band."""
    n, k, c = problem.shape
    best = np.full(n, np.inf)
    for cuts in itertools.product(range(c), repeat=k):
        fits = np.isfinite(problem.fixed_s[:, range(k), list(cuts)]).all(axis=1)
        rows = np.flatnonzero(fits)
        if len(rows):
            found = allocate_bandwidth(problem.rows(rows), np.tile(cuts, (len(rows), 1)))
            best[rows] = np.minimum(best[rows], found.latency_s)
    return best


def least_share(problem: RoundProblem, n: int, k: int, target_s: float) -> float:
    """The least share over all cuts with which a device finishes by the target, in plain scalars."""
    band, snr = problem.uplink_bandwidth_hz[n], problem.uplink_snr_hz[n, k]

    def best_time_s(log_share: float) -> float:
        held = np.exp(log_share) * band
        per_bit = 1.0 / (held * np.log1p(snr / held) / np.log(2.0))
        down = problem.downlink_bits[n, k] / (np.exp(log_share) * problem.downlink_full_rate_bps[n, k])
        return float((problem.fixed_s[n, k] + problem.uplink_bits[n, k] * per_bit + down).min())

    free = ~problem.needs_band[n, k]
    if free.any() and problem.fixed_s[n, k, free].min() <= target_s:
        return 0.0
    if best_time_s(0.0) > target_s:
        return np.inf
    return float(
        np.exp(brentq(lambda x: best_time_s(x) - target_s, -400.0, 0.0, xtol=1e-15, rtol=1e-15, maxiter=500))
    )


@pytest.mark.parametrize(("k", "c"), [(3, 4), (4, 3)])
@pytest.mark.parametrize("last_cut_free", [True, False])
def test_exact_equals_brute_force_over_all_cuts(k: int, c: int, last_cut_free: bool) -> None:
    rng = np.random.default_rng(k)
    for decades, masked in ((1.0, 0.0), (2.0, 0.3), (6.0, 0.3)):
        problem = random_problem(rng, 100, k, c, decades, last_cut_free, masked)
        solution = solve_exact(problem)
        np.testing.assert_allclose(solution.latency_s, brute_force_s(problem), rtol=1e-8)


@pytest.mark.parametrize("last_cut_free", [True, False])
def test_a_round_shorter_than_the_bound_needs_more_than_the_whole_band(last_cut_free: bool) -> None:
    problem = random_problem(np.random.default_rng(7), 25, 5, 6, 3.0, last_cut_free)
    solution = solve_exact(problem)
    assert solution.relative_gap.max() < 1e-9
    for n in range(25):
        target_s = solution.lower_bound_s[n] * (1.0 - 1e-9)
        assert sum(least_share(problem, n, k, target_s) for k in range(5)) > 1.0
        enough_s = solution.latency_s[n] * (1.0 + 1e-9)
        assert sum(least_share(problem, n, k, enough_s) for k in range(5)) <= 1.0 + 1e-9


def test_the_decision_can_be_carried_out_and_takes_the_time_stated() -> None:
    problem = random_problem(np.random.default_rng(8), 500, 10, 8, 2.0, last_cut_free=True, masked=0.3)
    solution = solve_exact(problem)
    problem.check(solution.decision)
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-12)
    needs = np.take_along_axis(problem.needs_band, solution.decision.cut[..., None], axis=-1)[..., 0]
    assert (solution.decision.bandwidth_share[~needs] == 0.0).all()


def test_no_random_decision_beats_the_bound() -> None:
    rng = np.random.default_rng(9)
    problem = random_problem(rng, 200, 5, 4, 1.0, last_cut_free=True)
    bound = solve_exact(problem).lower_bound_s
    for _ in range(50):
        decision = Decision(rng.integers(0, 4, (200, 5)), rng.dirichlet(np.ones(5), 200))
        assert (problem.latency_s(decision) >= bound).all()


def test_a_jump_is_an_optimum_too() -> None:
    # Alone the second device reaches 2 s only with 0.9 of the band, and so does the first one. At 5 s the
    # first can do without: the optimum sits exactly where it begins to, with band to spare.
    problem = RoundProblem(
        fixed_s=np.array([[[1.0, 5.0], [1.0, 50.0]]]),
        uplink_bits=np.array([[[9e6, 0.0], [9e6, 9e6]]]),
        downlink_bits=np.zeros((1, 2, 2)),
        uplink_snr_hz=np.array([[3e6, 3e6]]),
        downlink_full_rate_bps=np.array([[np.inf, np.inf]]),
        uplink_bandwidth_hz=np.array([2e6]),
    )
    solution = solve_exact(problem)
    assert solution.latency_s[0] == 5.0
    assert solution.decision.cut.tolist() == [[1, 0]]
    assert solution.decision.bandwidth_share.tolist() == [[0.0, 1.0]]
    assert solution.relative_gap[0] < 1e-9


def test_bisection_finds_the_same_optimum() -> None:
    # Written without slopes or tangents, it checks the descent and takes over where rounding stops it.
    problem = random_problem(np.random.default_rng(10), 30, 4, 5, 4.0, last_cut_free=True)

    def times(share: np.ndarray) -> np.ndarray:
        cuts = range(problem.shape[-1])
        one = [problem.device_latency_s(Decision(np.full(share.shape, c), share)) for c in cuts]
        fastest: np.ndarray = np.minimum.reduce(one)
        return fastest

    solution = solve_exact(problem)
    share, bound = bracketed_shares(times, np.full((30, 4), 0.25))
    np.testing.assert_allclose(times(share).max(axis=1), solution.latency_s, rtol=1e-9)
    np.testing.assert_allclose(bound, solution.latency_s, rtol=1e-9)
    assert (share.sum(axis=1) <= 1.0).all()


def test_a_problem_does_not_care_about_its_neighbours_in_the_batch() -> None:
    problem = random_problem(np.random.default_rng(11), 700, 10, 12, 2.0, last_cut_free=True)
    together = solve_exact(problem)
    for n in range(0, 700, 50):
        alone = solve_exact(problem.rows(slice(n, n + 1)))
        assert alone.latency_s[0] == pytest.approx(together.latency_s[n], rel=1e-9)


def test_a_single_device_takes_its_best_cut_with_the_whole_band() -> None:
    problem = random_problem(np.random.default_rng(12), 50, 1, 6)
    solution = solve_exact(problem)
    whole = np.ones((50, 1))
    best = [problem.latency_s(Decision(np.full((50, 1), c), whole)) for c in range(6)]
    np.testing.assert_allclose(solution.latency_s, np.min(best, axis=0), rtol=1e-12)


def test_one_cut_only_is_the_allocation_alone() -> None:
    problem = random_problem(np.random.default_rng(13), 50, 6, 1)
    allocated = allocate_bandwidth(problem, np.zeros((50, 6), dtype=int))
    np.testing.assert_allclose(solve_exact(problem).latency_s, allocated.latency_s, rtol=1e-9)


def test_identical_devices_share_equally() -> None:
    one = random_problem(np.random.default_rng(14), 20, 1, 5)
    problem = RoundProblem(
        np.repeat(one.fixed_s, 6, axis=1),
        np.repeat(one.uplink_bits, 6, axis=1),
        np.repeat(one.downlink_bits, 6, axis=1),
        np.repeat(one.uplink_snr_hz, 6, axis=1),
        np.repeat(one.downlink_full_rate_bps, 6, axis=1),
        one.uplink_bandwidth_hz,
    )
    np.testing.assert_allclose(solve_exact(problem).decision.bandwidth_share, 1 / 6, rtol=1e-9)


def test_a_masked_cut_is_never_taken_and_masking_never_helps() -> None:
    rng = np.random.default_rng(15)
    problem = random_problem(rng, 100, 6, 5, 2.0)
    unfit = rng.random(problem.shape) < 0.4
    unfit[..., 0] = False
    masked = replace(problem, fixed_s=np.where(unfit, np.inf, problem.fixed_s))
    solution = solve_exact(masked)
    assert not np.take_along_axis(unfit, solution.decision.cut[..., None], axis=-1).any()
    assert (solution.latency_s >= solve_exact(problem).lower_bound_s).all()


def test_time_scales_with_the_work() -> None:
    problem = random_problem(np.random.default_rng(16), 50, 6, 5)
    base = solve_exact(problem)
    slow = replace(
        problem,
        fixed_s=3.0 * problem.fixed_s,
        uplink_bits=3.0 * problem.uplink_bits,
        downlink_bits=3.0 * problem.downlink_bits,
    )
    np.testing.assert_allclose(solve_exact(slow).latency_s, 3.0 * base.latency_s, rtol=1e-9)


def test_twice_the_radio_is_half_the_bits() -> None:
    problem = random_problem(np.random.default_rng(17), 50, 6, 5)
    wide = replace(
        problem,
        uplink_bandwidth_hz=2.0 * problem.uplink_bandwidth_hz,
        uplink_snr_hz=2.0 * problem.uplink_snr_hz,
        downlink_full_rate_bps=2.0 * problem.downlink_full_rate_bps,
    )
    few = replace(problem, uplink_bits=problem.uplink_bits / 2, downlink_bits=problem.downlink_bits / 2)
    np.testing.assert_allclose(solve_exact(wide).latency_s, solve_exact(few).latency_s, rtol=1e-9)


@pytest.mark.parametrize("name", ["uplink_bandwidth_hz", "uplink_snr_hz", "downlink_full_rate_bps"])
def test_a_better_radio_never_hurts(name: str) -> None:
    problem = random_problem(np.random.default_rng(18), 100, 6, 5, last_cut_free=True)
    better = replace(problem, **{name: 1.5 * getattr(problem, name)})
    assert (solve_exact(better).lower_bound_s <= solve_exact(problem).latency_s).all()


def test_best_cuts_prove_a_bound_at_any_shares() -> None:
    rng = np.random.default_rng(19)
    problem = random_problem(rng, 200, 5, 6, 2.0, last_cut_free=True)
    optimum = solve_exact(problem)
    for share in (np.full((200, 5), 0.2), rng.dirichlet(np.ones(5), 200), np.zeros((200, 5))):
        _, bound = best_cuts(problem, share)
        assert (bound <= optimum.latency_s).all()


def test_many_devices() -> None:
    problem = random_problem(np.random.default_rng(20), 20, 50, 8, 3.0)
    solution = solve_exact(problem)
    problem.check(solution.decision)
    assert solution.relative_gap.max() < 1e-9


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 12),
    c=st.integers(1, 8),
    decades=st.sampled_from([1.0, 6.0, 12.0]),
    last_cut_free=st.booleans(),
    masked=st.sampled_from([0.0, 0.5]),
    infinite_downlink=st.booleans(),
)
def test_any_instance_is_solved_and_certified(
    seed: int, k: int, c: int, decades: float, last_cut_free: bool, masked: float, infinite_downlink: bool
) -> None:
    problem = random_problem(np.random.default_rng(seed), 20, k, c, decades, last_cut_free, masked)
    if infinite_downlink:
        problem = replace(problem, downlink_full_rate_bps=np.full((20, k), np.inf))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = solve_exact(problem)
    problem.check(solution.decision)
    assert (solution.relative_gap < 1e-8).all()
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-12)


edge = st.sampled_from([0.0, 1e-12, 1e-6, 1.0, 1e6, 1e12])
positive_edge = st.sampled_from([1e-12, 1e-6, 1.0, 1e6, 1e12])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), k=st.integers(1, 4), c=st.integers(1, 3))
def test_corner_values_in_any_combination(data: st.DataObject, k: int, c: int) -> None:
    def draw(values: st.SearchStrategy[float], *shape: int) -> np.ndarray:
        size = int(np.prod(shape))
        return np.reshape(data.draw(st.lists(values, min_size=size, max_size=size)), shape)

    problem = RoundProblem(
        fixed_s=draw(edge, 1, k, c),
        uplink_bits=draw(edge, 1, k, c),
        downlink_bits=draw(edge, 1, k, c),
        uplink_snr_hz=draw(positive_edge, 1, k),
        downlink_full_rate_bps=draw(positive_edge, 1, k),
        uplink_bandwidth_hz=draw(positive_edge, 1),
    )
    solution = solve_exact(problem)
    problem.check(solution.decision)
    assert (solution.relative_gap < 1e-8).all()


def test_best_cuts_warn_of_nothing_where_devices_are_left_without_band() -> None:
    problem = random_problem(np.random.default_rng(0), 4, 3, 5, last_cut_free=True)
    share = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [5e-324, 0.5, 0.5], [0.0, 1.0, 0.0]])
    with np.errstate(all="raise"):
        cut, bound = best_cuts(problem, share)
    # Without band only the cut that needs none can be done, and where nobody has any, computing alone bounds.
    np.testing.assert_array_equal(cut[share == 0.0], 4)
    assert bound[1] == problem.fixed_s[1].min(axis=-1).max()
    assert (bound <= solve_exact(problem).latency_s * (1.0 + 1e-9)).all()
