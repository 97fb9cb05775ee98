"""Round problems: what they take, and whose rounds they stand for."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_env
from sfl_baselines import allocate_bandwidth, solve_alternating, solve_exact, solve_in_turn
from sfl_env.errors import DecisionError, ProblemError
from sfl_env.rounds.problem import ARRAYS, Decision, RoundProblem


def arrays(n: int = 1, k: int = 2, c: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "fixed_s": rng.random((n, k, c)),
        "uplink_bits": rng.random((n, k, c)) * 1e6,
        "downlink_bits": rng.random((n, k, c)) * 1e6,
        "uplink_snr_hz": rng.random((n, k)) * 1e6,
        "downlink_full_rate_bps": rng.random((n, k)) * 1e6,
        "uplink_bandwidth_hz": rng.random(n) * 1e6,
    }


def problem_of(env_fields: dict[str, Any]) -> RoundProblem:
    envs: Any = gym.make_vec("SFL-v0", num_envs=1, **env_fields)
    envs.reset(seed=0)
    problem: RoundProblem = envs.unwrapped.true_problem()
    return problem


SYSTEMS: dict[str, dict[str, Any]] = {
    "parallel": {},
    "sequence": {"schedule": "sequence"},
    "synchronised": {"synchronised_phases": True},
    "deadline": {"deadline_s": 5.0},
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_problem_knows_whose_round_it_is(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    assert problem.system == problem.rows(slice(0, 1)).system == system
    assert problem.as_parallel().system == "parallel"


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "parallel"])
def test_nothing_is_proven_outside_of_its_problem(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    cut = np.zeros(problem.shape[:2], dtype=np.intp)
    for solve in (solve_exact, solve_alternating, lambda p: allocate_bandwidth(p, cut)):
        with pytest.raises(ProblemError, match=rf"system is '{system}' .*as_parallel\(\)"):
            solve(problem)
        assert np.isfinite(solve(problem.as_parallel()).latency_s).all()


def test_split_learning_has_an_optimum_of_its_own() -> None:
    problem = problem_of(SYSTEMS["sequence"])
    solution = solve_in_turn(problem)
    # Split learning on SFL-v0, seed 0; the surrogate's decision takes 39.20 s and claims 14.32 s.
    assert solution.latency_s == pytest.approx(22.82, abs=0.005)
    assert problem.latency_s(solution.decision) == pytest.approx(solution.latency_s)
    surrogate = solve_exact(problem.as_parallel())
    assert surrogate.latency_s == pytest.approx(14.32, abs=0.005)
    assert problem.latency_s(surrogate.decision) == pytest.approx(39.20, abs=0.005)
    with pytest.raises(ProblemError, match="'parallel'"):
        solve_in_turn(problem.as_parallel())


@pytest.mark.parametrize("system", ["synchronised", "deadline"])
def test_lengths_that_do_not_follow_from_the_numbers_are_not_given(system: str) -> None:
    problem = problem_of(SYSTEMS[system])
    with pytest.raises(ProblemError, match=system):
        problem.latency_s(solve_exact(problem.as_parallel()).decision)


def test_an_unknown_system_finds_its_nearest() -> None:
    with pytest.raises(ProblemError, match="did you mean 'sequence'"):
        RoundProblem(**arrays(), system="sequenc")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "change",
    [
        lambda values: values + 1e-3j,
        lambda values: values.astype(str),
        lambda values: values.astype(object),
        lambda values: values > 0.0,
        lambda values: values.astype("datetime64[s]"),
        lambda values: [[1.0], [1.0, 2.0]],
        lambda values: None,
        lambda values: values * np.nan,
        lambda values: values * 0.0 - 1.0,
        lambda values: values * 1e-300,
        lambda values: values * 0.0 + 1e300,
        lambda values: values * 0.0 + 5e-324,
    ],
)
def test_what_is_no_number_in_range_is_refused_by_its_field(name: str, change: Any) -> None:
    given = arrays()
    given[name] = change(given[name])
    with pytest.raises(ProblemError, match=name):
        RoundProblem(**given)


@pytest.mark.parametrize(
    ("cut", "share"),
    [
        ([[0, 1]], [[0.5 + 1j, 0.5]]),
        ([[0, 1]], [["a", "b"]]),
        ([[0, 1]], [[np.nan, 0.5]]),
        ([[0, 1]], [[0.5], [0.5, 0.5]]),
        ([[0, 1]], [[True, False]]),
        ([[0, 1]], None),
        ([[0.0, 1.0]], [[0.5, 0.5]]),
        ([["a", "b"]], [[0.5, 0.5]]),
        ([[0], [0, 1]], [[0.5, 0.5]]),
        ([[0, 3]], [[0.5, 0.5]]),
        ([[-1, 1]], [[0.5, 0.5]]),
        (None, [[0.5, 0.5]]),
    ],
)
def test_what_is_no_decision_is_refused(cut: Any, share: Any) -> None:
    problem = RoundProblem(**arrays())
    for ask in (problem.check, problem.latency_s, problem.device_latency_s):
        with pytest.raises(DecisionError):
            ask(Decision(cut, share))


def test_decisions_in_lists_and_narrow_types_are_taken() -> None:
    problem = RoundProblem(**arrays())
    wide = problem.latency_s(Decision(np.array([[0, 1]]), np.array([[0.5, 0.5]])))
    lists: Any = ([[0, 1]], [[0.5, 0.5]])
    assert problem.latency_s(Decision(*lists)) == wide
    assert problem.latency_s(Decision(np.array([[0, 1]], np.int8), np.array([[0.5, 0.5]], np.float32))) == wide


def test_no_rounds_at_all_are_solved_at_once() -> None:
    problem = RoundProblem(**arrays(n=0))
    cut = np.zeros((0, 2), dtype=np.intp)
    in_turn = RoundProblem(**arrays(n=0), system="sequence")
    for solution in (solve_exact(problem), solve_alternating(problem), allocate_bandwidth(problem, cut)):
        assert solution.latency_s.shape == solution.lower_bound_s.shape == (0,)
        assert solution.decision.bandwidth_share.shape == (0, 2)
        assert problem.latency_s(solution.decision).shape == (0,)
    assert solve_in_turn(in_turn).latency_s.shape == (0,)


def test_environments_give_problems_that_users_can_build_by_hand() -> None:
    problem = problem_of({})
    by_hand = sfl_env.RoundProblem(*(getattr(problem, name) for name in ARRAYS))
    assert by_hand.system == "parallel"
    assert solve_exact(by_hand).latency_s == solve_exact(problem).latency_s
