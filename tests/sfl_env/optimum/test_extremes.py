"""Problems at the ends of what numbers can say: solved within their bound, or refused by field and range."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines import solve_alternating
from sfl_env import ProblemError, RoundProblem
from sfl_env.optimum import Solution, allocate_bandwidth, solve_exact, solve_in_turn
from sfl_env.rounds.problem import ARRAYS, LARGEST, SMALLEST

within = st.one_of(st.sampled_from([SMALLEST, 1e-20, 1.0, 1e20, LARGEST]), st.floats(SMALLEST, LARGEST))
anything = st.floats(1e-300, 1e300) | st.sampled_from([5e-324, 1e-300, 1e-200, 1e-40, 1.0, 1e40, 1e300])


def arrays(data: st.DataObject, numbers: st.SearchStrategy[float], n: int, k: int, c: int) -> dict[str, Any]:
    """Draw a problem's arrays, with zeros and infinities where they are allowed; the first cut always fits."""
    drawn: dict[str, Any] = {}
    for name, limits in ARRAYS.items():
        shape = (n, k, c)[: limits.ndim]
        entry = numbers
        if limits.zero:
            entry = entry | st.just(0.0)
        if limits.infinite:
            entry = entry | st.just(np.inf)
        size = int(np.prod(shape))
        drawn[name] = np.reshape(data.draw(st.lists(entry, min_size=size, max_size=size)), shape).astype(float)
    first = drawn["fixed_s"][..., 0]
    first[np.isinf(first)] = 1.0
    return drawn


def solutions(problem: RoundProblem) -> list[tuple[RoundProblem, Solution]]:
    """Solve a problem in every way, and in sequence."""
    shallow = np.zeros(problem.shape[:2], np.intp)
    in_turn = RoundProblem(**{name: getattr(problem, name) for name in ARRAYS}, system="sequence")
    return [
        (problem, solve_exact(problem)),
        (problem, solve_alternating(problem)),
        (problem, allocate_bandwidth(problem, shallow)),
        (in_turn, solve_in_turn(in_turn)),
    ]


def assert_sound(problem: RoundProblem, solution: Solution) -> None:
    problem.check(solution.decision)
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-9)
    assert np.isfinite(solution.lower_bound_s).all()
    assert (solution.latency_s >= solution.lower_bound_s).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n=st.integers(0, 2), k=st.integers(1, 4), c=st.integers(1, 3))
def test_whatever_is_a_problem_is_solved_within_its_bound(data: st.DataObject, n: int, k: int, c: int) -> None:
    problem = RoundProblem(**arrays(data, within, n, k, c))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for solved, solution in solutions(problem):
            assert_sound(solved, solution)
        assert (solve_exact(problem).relative_gap < 1e-8).all()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), k=st.integers(1, 3), c=st.integers(1, 3))
def test_what_is_none_is_refused_by_field_and_range(data: st.DataObject, k: int, c: int) -> None:
    given_arrays = arrays(data, anything, 1, k, c)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if all(np.all((v == 0) | np.isinf(v) | ((v >= SMALLEST) & (v <= LARGEST))) for v in given_arrays.values()):
            for solved, solution in solutions(RoundProblem(**given_arrays)):
                assert_sound(solved, solution)
            return
        out_of_range = rf"^({'|'.join(ARRAYS)})\[[0-9, ]+\] .* from 1e-40 to 1e\+40"
        with pytest.raises(ProblemError, match=out_of_range):
            RoundProblem(**given_arrays)


def test_a_device_that_hardly_needs_the_band_gets_a_share_all_the_same() -> None:
    """The other one takes 1e120 s, and the first is done by then with a 1e-163th of the band."""
    problem = RoundProblem(
        fixed_s=np.array([[[0.0], [1.0]]]),
        uplink_bits=np.array([[[SMALLEST], [LARGEST]]]),
        downlink_bits=np.array([[[0.0], [LARGEST]]]),
        uplink_snr_hz=np.array([[LARGEST, SMALLEST]]),
        downlink_full_rate_bps=np.array([[np.inf, SMALLEST]]),
        uplink_bandwidth_hz=np.array([LARGEST]),
    )
    for solved, solution in solutions(problem):
        assert_sound(solved, solution)
        assert (solution.decision.bandwidth_share > 0.0).all()


@pytest.mark.parametrize(("k", "c"), [(1, 1), (3, 1), (3, 4)])
def test_no_rounds_have_empty_solutions(k: int, c: int) -> None:
    problem = RoundProblem(
        np.zeros((0, k, c)), np.ones((0, k, c)), np.ones((0, k, c)), np.ones((0, k)), np.ones((0, k)), np.ones(0)
    )
    for solved, solution in solutions(problem):
        assert_sound(solved, solution)
        assert solution.latency_s.shape == solution.lower_bound_s.shape == solution.relative_gap.shape == (0,)
        assert solution.iterations.shape == (0,)
        assert solution.decision.cut.shape == solution.decision.bandwidth_share.shape == (0, k)
