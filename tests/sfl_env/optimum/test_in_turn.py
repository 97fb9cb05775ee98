"""Devices that take turns: the optimum over all cuts, found without trying them."""

from itertools import product

import numpy as np
import pytest

from sfl_env.errors import ProblemError
from sfl_env.optimum import solve_in_turn
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.rounds.problem_values import ARRAYS
from tests.sfl_env.optimum.test_joint import random_problem


def in_turn(seed: int, n: int = 3, k: int = 3, num_cuts: int = 4) -> RoundProblem:
    given = random_problem(np.random.default_rng(seed), n, k, num_cuts)
    return RoundProblem(**{name: getattr(given, name) for name in ARRAYS}, system="sequence")


@pytest.mark.parametrize("seed", range(10))
def test_no_cuts_are_done_sooner(seed: int) -> None:
    problem = in_turn(seed)
    n, k, num_cuts = problem.shape
    solution = solve_in_turn(problem)
    shares = np.full((n, k), 1.0 / k)
    tried = [
        problem.latency_s(Decision(np.broadcast_to(np.array(cuts), (n, k)), shares))
        for cuts in product(range(num_cuts), repeat=k)
    ]
    np.testing.assert_allclose(solution.latency_s, np.min(tried, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(solution.lower_bound_s, solution.latency_s)
    np.testing.assert_array_equal(solution.iterations, 1)


def test_the_decision_is_one_and_takes_what_is_said() -> None:
    problem = in_turn(0)
    solution = solve_in_turn(problem)
    problem.check(solution.decision)
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-12)
    np.testing.assert_allclose(solution.decision.bandwidth_share.sum(axis=1), 1.0, rtol=1e-12)


def test_devices_that_work_at_once_are_told_that_this_is_not_theirs() -> None:
    with pytest.raises(
        ProblemError, match=r"solve_in_turn is for devices that take turns, .*system is 'parallel'"
    ):
        solve_in_turn(random_problem(np.random.default_rng(0), 1, 2, 2))
