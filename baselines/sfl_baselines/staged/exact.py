"""The optimum of rounds in stages: every vector of cuts that a bound leaves a chance, with its best shares."""

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.bound import remaining_boxes
from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.search import StagedSolution, solved_at, staged_search
from sfl_baselines.staged.shares import best_shares
from sfl_env.arrays import Array
from sfl_env.errors import SolverError

_CHUNK = 4096
_BOXES = 64
_CLOSE = 1e-3
"""Cuts whose first shares come this near to the best are given all steps."""


def solve_staged_exactly(problem: StagedProblem, max_vectors: int = 200_000) -> StagedSolution:
    """Find the cuts and shares under which rounds in stages are shortest.

    Boxes of stage lengths are bounded and cut in two (:mod:`sfl_baselines.staged.bound`); what is left of cuts in
    them is gone through, one vector of cuts after another. With few devices little is left.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each, under a rate curve with which shares for given cuts are convex.
    max_vectors : int
        Of cuts, for one round.

    Returns
    -------
    StagedSolution
        Optimal to about 1e-6 of the round.

    Raises
    ------
    SolverError
        If more vectors of cuts are left than are to be gone through.
    """
    problem = problem.with_cuts(undominated(problem))
    found = staged_search(problem)
    cut = found.decision.cut.copy()
    nodes = remaining_boxes(problem, found.latency_s, _BOXES)
    for n in range(len(cut)):
        boxes = np.flatnonzero((nodes.problem == n) & (nodes.margin_s > 0.0))
        left = [_vectors(nodes.extra_s[box], nodes.margin_s[box], max_vectors) for box in boxes]
        vectors = np.unique(np.concatenate([cut[n][None], *left]), axis=0)
        if len(vectors) > max_vectors:
            raise _too_many(max_vectors)
        cut[n] = _best_vector(problem.rows(np.array([n])), vectors)
    return solved_at(problem, cut)


def undominated(problem: StagedProblem) -> NDArray[np.bool_]:
    """(N, K, C): cuts that fit and are not at least as slow as another in all there is, the first of equals."""
    parts = (*problem.fixed_s, *problem.uplink_bits, *problem.downlink_bits, problem.server_s)
    worse = np.ones((*problem.server_s.shape, problem.shape[3]), dtype=np.bool_)  # (N, K, C, C')
    equal = worse.copy()
    for part in parts:
        own, other = part[..., :, None], part[..., None, :]
        worse &= own >= other
        equal &= own == other
    earlier = np.tri(problem.shape[3], k=-1, dtype=np.bool_)
    return np.asarray(problem.fits & ~(worse & (~equal | earlier)).any(axis=-1))


def _vectors(extra_s: Array, margin_s: float, limit: int) -> NDArray[np.intp]:
    """Return the cuts (R, K) whose extra costs (K, C) together stay below the margin."""
    vectors, spent = np.zeros((1, 0), dtype=np.intp), np.zeros(1)
    for costs in extra_s:
        total = spent[:, None] + costs
        before, own = np.nonzero(total < margin_s)
        if len(own) > limit:
            raise _too_many(limit)
        vectors, spent = np.column_stack([vectors[before], own]), total[before, own]
    return vectors


def _too_many(limit: int) -> SolverError:
    return SolverError(
        f"The bound leaves more than {limit} vectors of cuts for one round. Take fewer devices, raise "
        "max_vectors, or use staged_search and staged_bound, which tell how near a decision is to the optimum."
    )


def _best_vector(one: StagedProblem, vectors: NDArray[np.intp]) -> NDArray[np.intp]:
    parts = [vectors[first : first + _CHUNK] for first in range(0, len(vectors), _CHUNK)]
    rough = np.concatenate([_latency_s(one, part, steps=12) for part in parts])
    close = vectors[rough <= rough.min() * (1.0 + _CLOSE)]
    best: NDArray[np.intp] = close[_latency_s(one, close).argmin()]
    return best


def _latency_s(one: StagedProblem, vectors: NDArray[np.intp], **options: int) -> Array:
    rows = one.rows(np.zeros(len(vectors), dtype=np.intp))
    return best_shares(rows.at(vectors), **options).latency_s
