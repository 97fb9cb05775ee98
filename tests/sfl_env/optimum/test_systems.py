"""A solver proves only what it has solved: the system that a problem stands for."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sfl_baselines import solve_alternating
from sfl_env import Decision, ProblemError, RoundProblem
from sfl_env.optimum import allocate_bandwidth, best_cuts, solve_exact, solve_in_turn

FIELDS: dict[str, dict[str, Any]] = {
    "parallel": {},
    "sequence": {"schedule": "sequence"},
    "synchronised": {"synchronised_phases": True},
    "deadline": {"deadline_s": 5.0},
}
SOLVERS: dict[str, Callable[[RoundProblem], Any]] = {
    "solve_exact": solve_exact,
    "solve_alternating": solve_alternating,
    "allocate_bandwidth": lambda problem: allocate_bandwidth(problem, np.zeros(problem.shape[:2], np.intp)),
    "best_cuts": lambda problem: best_cuts(problem, np.full(problem.shape[:2], 1.0 / problem.shape[1])),
}


def started(system: str, **fields: Any) -> Any:
    env = gym.make("SFL-v0", **FIELDS[system], **fields)
    env.reset(seed=0)
    return env.unwrapped


@pytest.mark.parametrize("system", FIELDS)
def test_the_environment_says_which_system_its_problems_stand_for(system: str) -> None:
    env = started(system)
    observation, _ = env.reset(seed=1)
    for problem in (
        env.true_problem(),
        env.observed_problem(),
        env.episodes.problem_of(observation[None]),
        started(system, csi_delay_rounds=2).observed_problem(),
    ):
        assert problem.system == system
    envs: Any = gym.make_vec("SFL-v0", num_envs=2, **FIELDS[system])
    envs.reset(seed=1)
    assert envs.unwrapped.true_problem().system == system
    assert started("sequence", deadline_s=5.0).true_problem().system == "deadline"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("system", ["sequence", "synchronised", "deadline"])
def test_solvers_of_devices_side_by_side_refuse_other_systems(system: str, solver: str) -> None:
    problem = started(system).true_problem()
    with pytest.raises(
        ProblemError, match=rf"{solver} is for devices that work side by side.*as_parallel\(\)"
    ) as found:
        SOLVERS[solver](problem)
    assert ("solve_in_turn(problem)" in str(found.value)) == (system == "sequence")
    SOLVERS[solver](problem.as_parallel())


def test_the_optimum_in_turn_is_for_sequence_alone() -> None:
    for system in ("parallel", "synchronised", "deadline"):
        with pytest.raises(ProblemError, match="solve_in_turn is for devices that take turns"):
            solve_in_turn(started(system).true_problem())
    for solution, system in (
        (solve_exact(started("parallel").true_problem()), "parallel"),
        (solve_in_turn(started("sequence").true_problem()), "sequence"),
    ):
        assert solution.system == system


def test_the_optimum_in_turn_is_what_the_environment_plays_and_nothing_beats_it() -> None:
    env = started("sequence", num_devices=3)
    problem = env.true_problem()
    solution = solve_in_turn(problem)
    problem.check(solution.decision)
    np.testing.assert_array_equal(solution.lower_bound_s, solution.latency_s)
    info = env.step(env.episodes.action_encoder.encode(solution.decision)[0])[4]
    assert info["latency_s"] == pytest.approx(solution.latency_s[0], rel=1e-12)
    share = np.full((1, 3), 1 / 3)
    fitting = np.ndindex(*np.isfinite(problem.fixed_s[0]).sum(axis=-1))
    lengths = [problem.latency_s(Decision(np.array([cuts]), share))[0] for cuts in fitting]
    assert solution.latency_s[0] == pytest.approx(min(lengths), rel=1e-12)


def test_what_is_fastest_side_by_side_is_not_in_turn() -> None:
    problem = started("sequence").true_problem()
    surrogate = solve_exact(problem.as_parallel())
    assert problem.latency_s(surrogate.decision)[0] > 1.1 * solve_in_turn(problem).latency_s[0]
