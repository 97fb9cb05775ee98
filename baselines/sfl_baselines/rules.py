"""Rules that decide a round from its joint problem alone, batched over N rounds."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.alternating import solve_alternating
from sfl_env.arrays import Array
from sfl_env.optimum import allocate_bandwidth, alone_s, best_cuts, proportional_decision, solve_exact
from sfl_env.rounds.problem import Decision, RoundProblem

Rule = Callable[[RoundProblem], Decision]
"""Maps N rounds' problems to N rounds' decisions."""


def exact(problem: RoundProblem) -> Decision:
    """Return the jointly optimal cuts and shares."""
    return solve_exact(problem).decision


def alternating(problem: RoundProblem) -> Decision:
    """Return what alternating optimisation of cuts and shares ends with."""
    return solve_alternating(problem).decision


def equal_bandwidth(problem: RoundProblem) -> Decision:
    """Give every device an equal share and its own best cut at that share."""
    share = equal_shares(problem)
    cut, _ = best_cuts(problem, share)
    return Decision(cut, share)


def proportional(problem: RoundProblem) -> Decision:
    """Give shares in proportion to air time, and every device its own best cut at its share.

    Air time is what a device's bits would take under equal shares at its own best cut there: bits over the
    rate that its channel gives, so devices with much to send or a bad channel get more of the band.
    """
    return proportional_decision(problem)


def common_cut(problem: RoundProblem) -> Decision:
    """Give all devices the single cut that is best for all of them together, with the optimal split of the band.

    A device whose memory is too small for the common cut takes its deepest one that fits.
    """
    num_cuts = problem.shape[-1]
    best = allocate_bandwidth(problem, deepest_fitting(problem, 0))
    cut, share, latency_s = best.decision.cut, best.decision.bandwidth_share, best.latency_s
    for common in range(1, num_cuts):
        tried = allocate_bandwidth(problem, deepest_fitting(problem, common))
        better = tried.latency_s < latency_s
        cut = np.where(better[:, None], tried.decision.cut, cut)
        share = np.where(better[:, None], tried.decision.bandwidth_share, share)
        latency_s = np.where(better, tried.latency_s, latency_s)
    return Decision(cut, share)


def federated(problem: RoundProblem) -> Decision:
    """Leave the whole network on every device, plain federated learning, with the optimal split of the band.

    A device whose memory is too small for that takes its deepest cut that fits.
    """
    return allocate_bandwidth(problem, deepest_fitting(problem, problem.shape[-1] - 1)).decision


def shallow(problem: RoundProblem) -> Decision:
    """Leave only the first block on every device, with the optimal split of the band."""
    return allocate_bandwidth(problem, deepest_fitting(problem, 0)).decision


def sequential(problem: RoundProblem) -> Decision:
    """Give every device the cut that is best for it with the whole band to itself, and equal shares.

    For ``schedule="sequence"``, split learning, where devices take turns: there each has the whole band in its
    turn whatever the shares, and no cuts are faster than these.
    """
    return Decision(alone_s(problem).argmin(axis=-1), equal_shares(problem))


class RandomDecision:
    """Cuts uniform among those that fit, shares uniform over all splits of the whole band.

    Parameters
    ----------
    seed : int
        Of the generator; two rules with the same seed decide alike.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, problem: RoundProblem) -> Decision:
        """Draw a decision for every problem."""
        # Of uniform numbers, one for each cut, the largest among the cuts that fit marks a uniform choice.
        lots = self._rng.random(problem.shape)
        cut = np.where(np.isfinite(problem.fixed_s), lots, -1.0).argmax(axis=-1)
        # Exponential numbers over their sum are uniform on the simplex.
        weight = self._rng.standard_exponential(problem.shape[:2]) * takes_part(problem)
        total = weight.sum(axis=-1, keepdims=True)
        return Decision(cut, weight / np.where(total > 0.0, total, 1.0))


def takes_part(problem: RoundProblem) -> NDArray[np.bool_]:
    """(N, K): whether a device needs the band at any cut; one with an empty battery does not."""
    needs: NDArray[np.bool_] = np.logical_or.reduce(problem.needs_band, axis=-1)
    return needs


def equal_shares(problem: RoundProblem) -> Array:
    """(N, K): the band divided evenly among the devices that take part."""
    present = takes_part(problem)
    share: Array = present / np.maximum(present.sum(axis=-1, keepdims=True), 1)
    return share


def deepest_fitting(problem: RoundProblem, wanted: int) -> NDArray[np.intp]:
    """(N, K): the wanted cut where it fits into the device's memory, else the deepest one above it that does.

    Where nothing that shallow fits, the shallowest cut that does.
    """
    fits = np.isfinite(problem.fixed_s)
    upto = fits[..., : wanted + 1]
    deepest = wanted - upto[..., ::-1].argmax(axis=-1)
    cut: NDArray[np.intp] = np.where(upto.any(axis=-1), deepest, fits.argmax(axis=-1))
    return cut
