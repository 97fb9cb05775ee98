"""Alternating optimisation: what it guarantees, where it is exact, and where it is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.alternating import solve_alternating
from sfl_env import Decision, RoundProblem
from sfl_env.errors import DecisionError, SolverError
from sfl_env.optimum import solve_exact


def random_problem(seed: int, n: int, k: int, c: int, decades: float, last_cut_free: bool) -> RoundProblem:
    """Problems whose numbers all spread log-uniformly over so many decades."""
    rng = np.random.default_rng(seed)

    def spread(*shape: int) -> np.ndarray:
        return 10.0 ** rng.uniform(-decades / 2, decades / 2, shape)

    up, down = 1e6 * spread(n, k, c), 1e6 * spread(n, k, c)
    if last_cut_free:
        up[..., -1] = down[..., -1] = 0.0
    return RoundProblem(
        fixed_s=spread(n, k, c),
        uplink_bits=up,
        downlink_bits=down,
        uplink_snr_hz=1e7 * spread(n, k),
        downlink_full_rate_bps=1e7 * spread(n, k),
        uplink_bandwidth_hz=1e6 * spread(n),
    )


def hopeless_start() -> RoundProblem:
    """At equal shares both devices do best without the band; one of them would gain by having it all."""
    return RoundProblem(
        fixed_s=np.array([[[1.0, 2.4], [1.0, 1.5]]]),
        uplink_bits=np.array([[[3e6, 0.0], [3e6, 0.0]]]),
        downlink_bits=np.zeros((1, 2, 2)),
        uplink_snr_hz=np.array([[3e6, 3e6]]),
        downlink_full_rate_bps=np.array([[np.inf, np.inf]]),
        uplink_bandwidth_hz=np.array([2e6]),
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 10),
    c=st.integers(1, 8),
    decades=st.sampled_from([1.0, 4.0, 12.0]),
    last_cut_free=st.booleans(),
)
def test_it_never_rises_and_never_beats_the_optimum(
    seed: int, k: int, c: int, decades: float, last_cut_free: bool
) -> None:
    problem = random_problem(seed, 20, k, c, decades, last_cut_free)
    solution = solve_alternating(problem)
    assert (np.diff(solution.history_s, axis=0) <= 0.0).all()
    np.testing.assert_array_equal(solution.history_s[-1], solution.latency_s)
    problem.check(solution.decision)
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-12)
    optimum = solve_exact(problem)
    assert (solution.latency_s >= optimum.lower_bound_s).all()
    assert (solution.lower_bound_s <= optimum.latency_s).all()


@pytest.mark.parametrize("last_cut_free", [True, False])
def test_it_is_exact_where_all_finish_together_with_a_share_each(last_cut_free: bool) -> None:
    problem = random_problem(1, 500, 3, 6, 1.0, last_cut_free)
    solution = solve_alternating(problem)
    share = solution.decision.bandwidth_share
    times = problem.device_latency_s(solution.decision)
    cuts = range(problem.shape[-1])
    own_best = np.minimum.reduce(
        [problem.device_latency_s(Decision(np.full(share.shape, c), share)) for c in cuts]
    )
    together = np.isclose(own_best, times, rtol=1e-8).all(axis=1) & (share > 0.0).all(axis=1)
    together &= np.isclose(times, solution.latency_s[:, None], rtol=1e-8).all(axis=1)
    assert together.any()
    optimum = solve_exact(problem)
    np.testing.assert_allclose(solution.latency_s[together], optimum.latency_s[together], rtol=1e-7)
    # Its own bound says so too, without the exact solver.
    np.testing.assert_allclose(solution.lower_bound_s[together], solution.latency_s[together], rtol=1e-7)


def test_where_every_cut_needs_the_band_it_is_exact_within_few_iterations() -> None:
    problem = random_problem(2, 300, 10, 12, 2.0, last_cut_free=False)
    solution = solve_alternating(problem)
    np.testing.assert_allclose(solution.latency_s, solve_exact(problem).latency_s, rtol=1e-7)
    assert np.median(solution.iterations) <= 5


def test_it_stalls_where_a_device_has_let_go_of_the_band() -> None:
    problem = hopeless_start()
    alternating, exact = solve_alternating(problem), solve_exact(problem)
    assert alternating.latency_s[0] == 2.4
    assert exact.latency_s[0] < 2.2
    assert exact.decision.cut.tolist() == [[0, 1]]


def test_another_start_may_avoid_the_stall() -> None:
    problem = hopeless_start()
    solution = solve_alternating(problem, start=np.array([[0.98, 0.02]]))
    assert solution.latency_s[0] == pytest.approx(solve_exact(problem).latency_s[0], rel=1e-9)


def test_a_start_at_the_optimum_stays_there() -> None:
    problem = random_problem(3, 50, 6, 5, 2.0, last_cut_free=False)
    optimum = solve_exact(problem)
    solution = solve_alternating(problem, start=optimum.decision.bandwidth_share)
    np.testing.assert_allclose(solution.history_s[0], optimum.latency_s, rtol=1e-8)


def test_one_iteration_is_the_best_cuts_at_equal_shares_with_the_band_split_for_them() -> None:
    problem = random_problem(4, 50, 6, 5, 2.0, last_cut_free=False)
    one = solve_alternating(problem, max_iterations=1)
    assert one.history_s.shape == (1, 50)
    assert (one.latency_s >= solve_alternating(problem).latency_s).all()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([[0.5, 0.0]], "device 1"),
        ([[np.nan, 0.5]], "device 0"),
        ([[0.5, 0.3, 0.2]], "shape"),
        ([[1, -1]], "device 1"),
    ],
)
def test_a_start_that_cannot_be_is_named(start: list[list[float]], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        solve_alternating(hopeless_start(), start=np.array(start))


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(SolverError, match="tolerance is -1"):
        solve_alternating(hopeless_start(), tolerance=-1)
    with pytest.raises(SolverError, match="max_iterations is 0"):
        solve_alternating(hopeless_start(), max_iterations=0)
