"""Solutions of any problem at all: they can be carried out, take as long as they say, and keep to their bound."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines import allocate_bandwidth, solve_alternating, solve_exact
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.problem_values import LARGEST, SMALLEST

LOW, HIGH = np.log10(SMALLEST), np.log10(LARGEST)


@st.composite
def extreme_problems(draw: Any) -> RoundProblem:
    n, k, c = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    narrow = draw(st.sampled_from([1.0, 0.3, 0.05]))

    def numbers(shape: tuple[int, ...], rare: float | None = None) -> Any:
        values = 10.0 ** (rng.uniform(LOW, HIGH, shape) * narrow)
        if narrow == 1.0:  # the ends themselves, which meet in the least share and the longest round
            values = np.where(rng.random(shape) < 0.7, rng.choice([SMALLEST, 1.0, LARGEST], shape), values)
        return values if rare is None else np.where(rng.random(shape) < 0.2, rare, values)

    fixed = numbers((n, k, c), np.inf)
    fixed[..., 0] = numbers((n, k), 0.0)
    return RoundProblem(
        fixed_s=fixed,
        uplink_bits=numbers((n, k, c), 0.0),
        downlink_bits=numbers((n, k, c), 0.0),
        uplink_snr_hz=numbers((n, k)),
        downlink_full_rate_bps=numbers((n, k), np.inf),
        uplink_bandwidth_hz=numbers((n,)),
    )


@settings(max_examples=150, deadline=None)
@given(extreme_problems())
def test_solutions_hold_what_they_say(problem: RoundProblem) -> None:
    shallow = np.zeros(problem.shape[:2], dtype=np.intp)
    for solution in (solve_exact(problem), solve_alternating(problem), allocate_bandwidth(problem, shallow)):
        problem.check(solution.decision)
        latency = problem.latency_s(solution.decision)
        np.testing.assert_allclose(latency, solution.latency_s, rtol=1e-9)
        assert np.isfinite(solution.lower_bound_s).all()
        assert (solution.lower_bound_s <= latency * (1 + 1e-12)).all()
    exact, shallowest = solve_exact(problem), allocate_bandwidth(problem, shallow)
    assert (exact.latency_s <= shallowest.latency_s * (1 + 1e-9)).all()


def test_a_device_that_hardly_needs_the_band_gets_a_share_all_the_same() -> None:
    """The other one takes 1e120 s, and the first is done by then with a share of 1e-163."""
    problem = RoundProblem(
        fixed_s=np.array([[[0.0], [1.0]]]),
        uplink_bits=np.array([[[SMALLEST], [LARGEST]]]),
        downlink_bits=np.array([[[0.0], [LARGEST]]]),
        uplink_snr_hz=np.array([[LARGEST, SMALLEST]]),
        downlink_full_rate_bps=np.array([[np.inf, SMALLEST]]),
        uplink_bandwidth_hz=np.array([LARGEST]),
    )
    for solution in (solve_exact(problem), solve_alternating(problem)):
        problem.check(solution.decision)
        assert 0.0 < solution.decision.bandwidth_share[0, 0] < 1e-100
        np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-9)
