"""The optimum of devices that take turns: nothing is shared, so each takes what is best for it alone."""

import numpy as np

from sfl_env.arrays import Array
from sfl_env.errors import ProblemError
from sfl_env.optimum.solution import Solution
from sfl_env.rounds.problem import Decision, RoundProblem


def solve_in_turn(problem: RoundProblem) -> Solution:
    """Find the cuts under which devices that take turns, each with the whole band, are done first.

    A round is the sum of the devices' times, and none depends on another's cut: the sum of the least times is the
    global optimum.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices, of the system ``"sequence"``.

    Returns
    -------
    Solution
        ``lower_bound_s`` is ``latency_s`` itself. The shares are equal ones, since in its turn each device has the
        whole band whatever its share.

    Raises
    ------
    ProblemError
        If the problem is of another system.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [3.0, 1.0]]],
    ...     uplink_bits=[[[4e6, 1e6], [1e6, 1e6]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[1e6, 1e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[1e6],
    ...     system="sequence",
    ... )
    >>> solution = solve_in_turn(problem)
    >>> solution.decision.cut, solution.latency_s
    (array([[1, 1]]), array([5.]))
    """
    if problem.system != "sequence":
        raise ProblemError(
            f"solve_in_turn is for devices that take turns, and this problem's system is {problem.system!r}."
        )
    times = alone_s(problem)
    n, k, _ = problem.shape
    latency = np.asarray(times.min(axis=-1).sum(axis=-1))
    decision = Decision(times.argmin(axis=-1), np.full((n, k), 1.0 / k))
    return Solution(decision, latency, latency, np.ones(n, dtype=np.intp))


def alone_s(problem: RoundProblem) -> Array:
    """(N, K, C): seconds that each device takes at every cut with the whole band to itself."""
    n, k, num_cuts = problem.shape
    whole = np.ones((n, k))
    cuts = (np.full((n, k), cut) for cut in range(num_cuts))
    return np.stack([problem.device_latency_s(Decision(cut, whole)) for cut in cuts], axis=-1)
