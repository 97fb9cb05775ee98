"""Alternating optimisation for rounds in stages: cuts for given shares, shares for given cuts."""

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.search import StagedSolution, solved_at
from sfl_env.arrays import Array

_ROUNDS, _TURNS = 50, 20
_BETTER = 1e-9


def staged_alternating(problem: StagedProblem) -> StagedSolution:
    """Alternate the cuts for given shares with the best shares for given cuts, from equal shares on.

    The shares are the best there are. The cuts are changed one device after another, each to what is best beside
    the others' cuts, until none gains by it: best replies, which need not be the best cuts together.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each.
    """
    n, k = problem.server_s.shape[:2]
    equal = np.full((n, k), 1.0 / k)
    fastest = (_times_s(problem, equal).sum(axis=0) + problem.server_s).argmin(axis=-1)
    cut = best_replies(problem, equal, fastest)
    found = solved_at(problem, cut)
    latency, share = found.latency_s.copy(), found.decision.bandwidth_share.copy()
    active = np.arange(n)
    for _ in range(_ROUNDS):
        rows = problem.rows(active)
        replies = best_replies(rows, share[active], cut[active])
        tried = solved_at(rows, replies)
        better = tried.latency_s < latency[active] * (1.0 - _BETTER)
        active = active[better]
        if not active.size:
            break
        cut[active], latency[active] = replies[better], tried.latency_s[better]
        share[active] = tried.decision.bandwidth_share[better]
    return solved_at(problem, cut)


def best_replies(problem: StagedProblem, share: Array, cut: NDArray[np.intp]) -> NDArray[np.intp]:
    """(N, K): cuts that no device gains by leaving alone, at given shares, from given cuts on."""
    times = _times_s(problem, share)
    cut = cut.copy()
    own = np.take_along_axis(times, cut[None, ..., None], axis=-1)[..., 0]
    for _ in range(_TURNS):
        before = cut.copy()
        for device in range(cut.shape[1]):
            others = np.delete(own, device, axis=-1).max(axis=-1, initial=0.0)
            length = np.maximum(others[..., None], times[:, :, device]).sum(axis=0) + problem.server_s[:, device]
            stay = np.take_along_axis(length, cut[:, device, None], axis=-1)[:, 0]
            gains = length.min(axis=-1) < stay * (1.0 - _BETTER)
            cut[:, device] = np.where(gains, length.argmin(axis=-1), cut[:, device])
            chosen = cut[None, :, device, None]
            own[..., device] = np.take_along_axis(times[:, :, device], chosen, axis=-1)[..., 0]
        if (cut == before).all():
            break
    return cut


def _times_s(problem: StagedProblem, share: Array) -> Array:
    """(J, N, K, C): stage times at every cut, with given shares."""
    toll = problem.band.link().toll(share)
    times: Array = problem.fixed_s + problem.uplink_bits * toll.up[..., None]
    times += problem.downlink_bits * toll.down[..., None]
    return times
