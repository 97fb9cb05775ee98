"""The best decision found for rounds in stages: a search over stage times, with the best shares for cuts it meets.

Given the stages' lengths, a device needs at each cut a certain share of the band, and takes the cut with the least
one (the server's job priced in): devices decouple. So what is searched is not cuts but the few ratios of stage
lengths to each other; the lengths themselves are the least whose needed shares fit into the band. The relaxed
problem of the bound gives cuts to start from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.bound import staged_bound
from sfl_baselines.staged.needs import Needs
from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.shares import Multipliers, SharesFound, best_shares
from sfl_env.arrays import Array
from sfl_env.rounds.problem import Decision

_CHUNK = 32
"""Problems at a time, for which the tables of the search stay small."""
_STARTS, _KEPT, _CHILDREN = 48, 6, 4
_GENERATIONS, _FIRST_SPREAD, _SHRINK = 5, 0.5, 0.65
_AROUND = 3
_BISECTIONS, _LOG_RANGE = 11, (-1.6, 0.7)
_SHORTEST_S = 1e-100
_ROUGH_STEPS = 12
_BETTER = 1e-7
"""A decision counts as better from this share of the round on."""


@dataclass(frozen=True)
class StagedSolution:
    """A decision on rounds in stages.

    Parameters
    ----------
    decision : Decision
        Cuts and shares, both (N, K).
    latency_s : (N,) array
        The rounds' length under it, seconds.
    multipliers : Multipliers
        Prices of the seconds and of the band that make the shares the best for these cuts.
    """

    decision: Decision
    latency_s: Array  # (N,)
    multipliers: Multipliers


def solved_at(problem: StagedProblem, cut: NDArray[np.intp]) -> StagedSolution:
    """Return the best shares for given cuts (N, K)."""
    found = best_shares(problem.at(cut))
    return StagedSolution(Decision(cut, found.share), found.latency_s, found.multipliers)


def common_cuts(problem: StagedProblem) -> NDArray[np.intp]:
    """(N, C, K): one cut for all devices, or for each the deepest below it that fits."""
    index = np.where(problem.fits, np.arange(problem.shape[3]), -1)
    upto = np.maximum.accumulate(index, axis=-1)
    shallowest = problem.fits.argmax(axis=-1)[..., None]
    cuts: NDArray[np.intp] = np.where(upto >= 0, upto, shallowest).swapaxes(1, 2)
    return cuts


def best_of(problem: StagedProblem, cuts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return of R vectors of cuts for each problem, (N, R, K), those (N, K) with which the round is shortest."""
    latency = _tried(problem, cuts).latency_s.reshape(cuts.shape[:2])
    chosen: NDArray[np.intp] = cuts[np.arange(len(cuts)), latency.argmin(axis=1)]
    return chosen


def _tried(problem: StagedProblem, cuts: NDArray[np.intp]) -> SharesFound:
    n, r, k = cuts.shape
    rows = problem.rows(np.repeat(np.arange(n), r))
    return best_shares(rows.at(cuts.reshape(n * r, k)), steps=_ROUGH_STEPS)


def staged_common_cut(problem: StagedProblem) -> StagedSolution:
    """Return the best single cut for all devices, with the best shares for it.

    A device whose memory is too small for the common cut takes its deepest one that fits.
    """
    return solved_at(problem, best_of(problem, common_cuts(problem)))


def staged_search(problem: StagedProblem) -> StagedSolution:
    """Search for cuts and shares under which rounds in stages are shortest.

    Nothing is drawn that differs from call to call, and rounds in a batch know nothing of each other. Rounding,
    which may depend on the size of a batch, can lead the search another way.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each.
    """
    n = len(problem.wait_s)
    cut = np.concatenate(
        [_searched(problem.rows(np.arange(first, min(first + _CHUNK, n)))) for first in range(0, n, _CHUNK)]
    )
    return solved_at(problem, cut)


def _searched(problem: StagedProblem) -> NDArray[np.intp]:
    """Return the best cuts (N, K) found."""
    needs, rng = Needs(problem), np.random.default_rng(0)
    now = staged_common_cut(problem)
    relaxed = staged_bound(problem, now.latency_s, max_boxes=0)
    now = solved_at(problem, best_of(problem, np.concatenate([now.decision.cut[:, None], relaxed.cuts], axis=1)))
    worthwhile = relaxed.chances
    now = _moved_one_by_one(problem, now, worthwhile)
    stages = problem.shape[0]
    known = _stage_times(problem, now)
    drawn = rng.dirichlet(np.ones(stages), _STARTS).T[:, None]
    ratios = np.concatenate(
        [
            (known / known.sum(axis=0))[..., None],
            np.broadcast_to(drawn, (stages, len(needs.problem.wait_s), _STARTS)),
        ],
        axis=2,
    )
    cuts = _evolved(needs, now, ratios, rng)
    now = solved_at(problem, best_of(problem, np.concatenate([now.decision.cut[:, None], cuts], axis=1)))
    return _moved_one_by_one(problem, now, worthwhile).decision.cut


def _stage_times(problem: StagedProblem, now: StagedSolution) -> Array:
    times: Array = problem.at(now.decision.cut).stage_s(now.decision.bandwidth_share).max(axis=-1)
    # Ratios are taken, also of stages that take no time and where nobody takes part.
    raised: Array = np.maximum(times, 1e-6 * times.sum(axis=0) + _SHORTEST_S)
    return raised


def _evolved(needs: Needs, now: StagedSolution, ratios: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """(N, R, K): cuts at the best ratios of stage lengths that are found from some (J, N, R)."""
    value, cuts = _least_lengths(needs, now, ratios)
    for generation in range(_GENERATIONS):
        order = value.argsort(axis=1)[:, :_KEPT]
        kept = np.take_along_axis(ratios, order[None], axis=2)
        parents = np.tile(kept, (1, 1, _KEPT * _CHILDREN // kept.shape[2]))
        steps = rng.standard_normal((len(kept), 1, parents.shape[2]))
        born = parents * np.exp(_FIRST_SPREAD * _SHRINK**generation * steps)
        born /= born.sum(axis=0)
        born_value, born_cuts = _least_lengths(needs, now, born)
        ratios = np.concatenate([kept, born], axis=2)
        value = np.concatenate([np.take_along_axis(value, order, axis=1), born_value], axis=1)
        cuts = np.concatenate([np.take_along_axis(cuts, order[..., None], axis=1), born_cuts], axis=1)
    order = value.argsort(axis=1)[:, : 2 * _KEPT]
    return np.take_along_axis(cuts, order[..., None], axis=1)


def _least_lengths(needs: Needs, now: StagedSolution, ratios: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return the least lengths (N, R) with stage times in given ratios (J, N, R), and the cuts (N, R, K) there."""
    problem = needs.problem
    server = np.where(problem.fits, problem.server_s, 0.0)[:, None]
    jobs = server / np.maximum(now.multipliers.band_s, 1e-9 * now.latency_s)[:, None, None, None]
    log_now = np.log(np.maximum(now.latency_s, _SHORTEST_S))[:, None]
    low, high = log_now + _LOG_RANGE[0], log_now + _LOG_RANGE[1]
    low, high = (np.broadcast_to(end, ratios.shape[1:]) for end in (low, high))
    cut = np.broadcast_to(now.decision.cut[:, None], (*ratios.shape[1:], problem.shape[2]))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        need = needs.about(ratios * np.exp(middle))
        own = (need + jobs).argmin(axis=-1)
        enough = np.take_along_axis(need, own[..., None], axis=-1)[..., 0].sum(axis=-1) <= 1.0
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
        cut = np.where(enough[..., None], own, cut)
    jobs_s = np.take_along_axis(np.broadcast_to(server, need.shape), cut[..., None], axis=-1)[..., 0]
    return np.exp(high) + jobs_s.sum(axis=-1), cut


def _moved_one_by_one(
    problem: StagedProblem, now: StagedSolution, worthwhile: NDArray[np.bool_]
) -> StagedSolution:
    """Change one device's cut at a time, each time the best one, while rounds become shorter."""
    cut, latency = now.decision.cut.copy(), now.latency_s.copy()
    active = np.ones(len(cut), dtype=np.bool_)
    while active.any():
        moves = worthwhile & active[:, None, None]
        np.put_along_axis(moves, cut[..., None], values=False, axis=-1)
        row, device, to = np.nonzero(moves)
        if not row.size:
            break
        tried = cut[row]
        tried[np.arange(len(row)), device] = to
        found = best_shares(problem.rows(row).at(tried), steps=_ROUGH_STEPS).latency_s
        order = np.lexsort((found, row))
        rows, first = np.unique(row[order], return_index=True)
        best = order[first]
        better = found[best] < latency[rows] * (1.0 - _BETTER)
        active[:] = False
        active[rows[better]] = True
        cut[rows[better]], latency[rows[better]] = tried[best[better]], found[best[better]]
    return solved_at(problem, cut)
