"""The optimum of devices that take turns, as in split learning."""

import numpy as np

from sfl_env.arrays import Array
from sfl_env.optimum.solution import Solution, require_system
from sfl_env.rounds.problem import Decision, RoundProblem


def alone_s(problem: RoundProblem) -> Array:
    """(N, K, C): seconds that each device takes at every cut with the whole band to itself, in every system."""
    n, k, num_cuts = problem.shape
    whole = np.ones((n, k))
    cuts = (np.full((n, k), cut) for cut in range(num_cuts))
    return np.stack([problem.device_latency_s(Decision(cut, whole)) for cut in cuts], axis=-1)


def solve_in_turn(problem: RoundProblem) -> Solution:
    """Find the cuts under which a round of devices that take turns ends first.

    Each device has the whole band in its turn, so nothing that one decides touches another, and the optimum is
    each one's own best cut.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of the system ``"sequence"``.

    Returns
    -------
    Solution
        Its bound is its latency. Shares, which mean nothing in sequence, are equal.

    Raises
    ------
    ProblemError
        If the problem stands for another system.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 9.0]]],
    ...     uplink_bits=[[[4e6, 0.0], [4e6, 0.0]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[1e6],
    ...     system="sequence",
    ... )
    >>> solution = solve_in_turn(problem)
    >>> solution.decision.cut, solution.latency_s, solution.lower_bound_s
    (array([[1, 0]]), array([5.]), array([5.]))
    """
    require_system(problem, "sequence", "solve_in_turn")
    n, k, _ = problem.shape
    seconds = alone_s(problem)
    latency_s = seconds.min(axis=-1).sum(axis=-1)
    decision = Decision(seconds.argmin(axis=-1), np.full((n, k), 1.0 / k))
    return Solution(decision, latency_s, latency_s.copy(), np.ones(n, dtype=np.intp), "sequence")
