"""Cuts and shares that reach a target accuracy soonest, by a fitted surrogate of learning.

Shortest rounds are not enough where the blocks that devices hold slow the learning down. While channels and
speeds stay as they are, the time to the target is the length of a round times the rounds that it takes, so that is
what is minimised in every round: over cuts, each with its optimal split of the band.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.rules import deepest_fitting
from sfl_env.arrays import Array
from sfl_env.learning.surrogate import LAST_ROUND, Surrogate
from sfl_env.optimum import Solution, allocate_bandwidth, solve_exact
from sfl_env.rounds.problem import RoundProblem

_PRICES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Of a round more, as shares of the shortest round: starts of the search between its cuts and the shallowest."""

_MOST_MOVES = 100
"""Each move shortens the time to the target, and no search has been seen to take half as many."""

_LEAST_GAIN = 1e-9
"""Smaller ones are rounding."""


def solve_time_to_accuracy(problem: RoundProblem, surrogate: Surrogate) -> tuple[Solution, Array]:
    """Find cuts and shares whose round, repeated, is at the target accuracy first.

    A local search: from the best of several starts (the shortest round, each common cut, and rounds that are
    optimal if deeper cuts cost extra time), one device at a time changes its cut while that helps. It ends where
    no change of a single device's cut helps, which need not be the global optimum; tests compare it with all
    combinations.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices with C cuts each.
    surrogate : Surrogate
        How many rounds learning takes with which cuts.

    Returns
    -------
    solution : Solution
        ``lower_bound_s`` holds for these cuts, whatever the split of the band.
    time_s : (N,) array
        To the target, if all its rounds were like this one, seconds.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices do not all work at once.

    Examples
    --------
    A deeper cut makes the round a sixth shorter, but half as many rounds more are needed.

    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.2, 1.0]]],
    ...     uplink_bits=np.zeros((1, 1, 2)),
    ...     downlink_bits=np.zeros((1, 1, 2)),
    ...     uplink_snr_hz=[[3e6]],
    ...     downlink_full_rate_bps=[[np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> solution, time_s = solve_time_to_accuracy(problem, Surrogate(9.5, (0.0, 5.0), spread=0.0))
    >>> solution.decision.cut, time_s
    (array([[0]]), array([12.]))
    """
    problem.require_parallel("solve_time_to_accuracy")
    cut, time_s = _best_start(problem, surrogate)
    active = np.arange(problem.shape[0])
    for _ in range(_MOST_MOVES):
        moved, own_s = _best_move(problem.rows(active), cut[active], surrogate)
        helps = own_s < time_s[active] * (1.0 - _LEAST_GAIN)
        active = active[helps]
        if not active.size:
            break
        cut[active], time_s[active] = moved[helps], own_s[helps]
    return allocate_bandwidth(problem, cut), time_s


def _time_s(problem: RoundProblem, cut: NDArray[np.intp], surrogate: Surrogate) -> Array:
    """(N,): seconds to the target in rounds with these cuts at their optimal split of the band."""
    time_s: Array = allocate_bandwidth(problem, cut).latency_s * (surrogate.rounds(cut) + LAST_ROUND)
    return time_s


def _best_start(problem: RoundProblem, surrogate: Surrogate) -> tuple[NDArray[np.intp], Array]:
    """Return the best cuts (N, K) to start from, and their time to the target (N,)."""
    cut = solve_exact(problem).decision.cut
    time_s = _time_s(problem, cut, surrogate)
    for start in _other_starts(problem, surrogate):
        own_s = _time_s(problem, start, surrogate)
        cut = np.where((own_s < time_s)[:, None], start, cut)
        time_s = np.minimum(time_s, own_s)
    return cut, time_s


def _other_starts(problem: RoundProblem, surrogate: Surrogate) -> Iterator[NDArray[np.intp]]:
    """Yield cuts (N, K): each common one, and those of the shortest rounds if rounds to come cost time now."""
    for common in range(problem.shape[-1]):
        yield deepest_fitting(problem, common)
    shortest_s = solve_exact(problem).latency_s
    for price in _PRICES:
        toll_s = (price * shortest_s)[:, None, None] * surrogate.rounds_per_cut
        yield solve_exact(problem.longer_by(toll_s)).decision.cut


def _best_move(
    problem: RoundProblem, cut: NDArray[np.intp], surrogate: Surrogate
) -> tuple[NDArray[np.intp], Array]:
    """Return the cuts (N, K) after the best change of one device's cut, and their time to the target (N,)."""
    n, k, c = problem.shape
    moves = np.broadcast_to(cut[:, None, None], (n, k, c, k)).copy()
    device = np.arange(k)
    moves[:, device, :, device] = np.arange(c)
    # A cut that does not fit is no move.
    fits = np.isfinite(problem.fixed_s)
    moves = np.where(fits[..., None], moves, cut[:, None, None]).reshape(n, k * c, k)
    repeated = problem.rows(np.repeat(np.arange(n), k * c))
    time_s = _time_s(repeated, moves.reshape(-1, k), surrogate).reshape(n, k * c)
    chosen = time_s.argmin(axis=-1)
    rows = np.arange(n)
    return moves[rows, chosen], time_s[rows, chosen]
