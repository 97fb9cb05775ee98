"""Alternating optimisation of cuts and bandwidth, the reference that the field compares with."""

from dataclasses import dataclass

import numpy as np

from sfl_env.arrays import Array
from sfl_env.checks import is_number, require_whole
from sfl_env.errors import DecisionError, SolverError
from sfl_env.optimum import Solution, allocate_bandwidth, best_cuts
from sfl_env.rounds.numbers import real_numbers
from sfl_env.rounds.problem import Decision, RoundProblem


@dataclass(frozen=True)
class AlternatingSolution(Solution):
    """What alternating optimisation found, and how it got there.

    Parameters
    ----------
    history_s : (I, N) array
        The round's length after each allocation of the band, seconds; it never rises. A problem that has
        settled repeats its last value.
    """

    history_s: Array  # (I, N)


def solve_alternating(
    problem: RoundProblem,
    start: Array | None = None,
    tolerance: float = 1e-9,
    max_iterations: int = 100,
) -> AlternatingSolution:
    """Alternate the best cuts for given shares with the best shares for given cuts.

    This is alternating optimisation (AO) in the spirit of Xu et al. (2024), "Accelerating Split Federated
    Learning over Wireless Communication Networks", arXiv:2310.15584; how each half is solved is ours.
    It ends in a point that neither half improves. Where all devices finish together there, each at its own
    best cut and with a positive share, that point is the global optimum; elsewhere it need not be.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices with C cuts each.
    start : (N, K) array, optional
        Shares to start from, equal ones by default. They are scaled to sum to 1.
    tolerance : float
        A problem has settled when its latency falls by less than this share of itself.
    max_iterations : int
        Allocations of the band at most, at least 1.

    Returns
    -------
    AlternatingSolution
        Its ``lower_bound_s`` holds for every decision, see :mod:`sfl_env.optimum.descent`.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices do not all work at once.
    DecisionError
        If the start is misshapen or a share in it is not above 0 and finite.
    SolverError
        If the tolerance or the number of iterations is out of range.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [3.0, 1.0]]],
    ...     uplink_bits=[[[2e6, 1e6], [1e6, 1e6]]],
    ...     downlink_bits=np.zeros((1, 2, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> solution = solve_alternating(problem)
    >>> solution.decision.cut, bool((np.diff(solution.history_s, axis=0) <= 0.0).all())
    (array([[0, 1]]), True)
    """
    problem.require_parallel("solve_alternating")
    if not (is_number(tolerance) and 0.0 <= tolerance < 1.0):
        raise SolverError(f"tolerance is {tolerance}; it has to be at least 0 and below 1.")
    require_whole("max_iterations", max_iterations, 1, error=SolverError)
    n, k, _ = problem.shape
    share = np.full((n, k), 1.0 / k) if start is None else _scaled(start, (n, k))
    cut, bound_s = best_cuts(problem, share)
    found = allocate_bandwidth(problem, cut)
    share, latency_s = found.decision.bandwidth_share.copy(), found.latency_s.copy()
    iterations = np.ones(n, dtype=np.intp)
    history = [latency_s.copy()]
    active = np.arange(n)
    while active.size:
        rows = problem.rows(active)
        own, proven_s = best_cuts(rows, share[active])
        bound_s[active] = np.maximum(bound_s[active], proven_s)
        changed = (own != cut[active]).any(axis=1)
        if len(history) == max_iterations or not changed.any():
            break
        active, rows, own = active[changed], rows.rows(changed), own[changed]
        found = allocate_bandwidth(rows, own)
        iterations[active] += 1
        better = found.latency_s < latency_s[active] * (1.0 - tolerance)
        active = active[better]
        cut[active] = own[better]
        share[active] = found.decision.bandwidth_share[better]
        latency_s[active] = found.latency_s[better]
        history.append(latency_s.copy())
    return AlternatingSolution(
        Decision(cut, share), latency_s, np.minimum(bound_s, latency_s), iterations, np.stack(history)
    )


def _scaled(start: Array, shape: tuple[int, int]) -> Array:
    share = real_numbers("start", start, DecisionError)
    if share.shape != shape:
        raise DecisionError(f"start has shape {share.shape}; it has to be {shape}.")
    bad = ~((share > 0.0) & np.isfinite(share))
    if bad.any():
        env, device = (int(i) for i in np.argwhere(bad)[0])
        raise DecisionError(
            f"start of device {device} (environment {env}) is {share[env, device]}; a share to start from has "
            "to be above 0 and finite, or its device could never take a cut that needs the band."
        )
    scaled: Array = share / share.sum(axis=1, keepdims=True)
    return scaled
