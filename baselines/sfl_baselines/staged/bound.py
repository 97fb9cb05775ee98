"""A bound below all decisions on rounds in stages, by branching on the lengths of the stages.

A box says between which lengths each stage lies of a decision that is better than one known. The boxes left always
hold all such decisions, so the least of their bounds is a bound. The box with the least one is cut in two across
its widest side, until the bound is near enough or enough has been spent.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.ascent import Box, Climbed, climb
from sfl_baselines.staged.duality import cut_costs_s
from sfl_baselines.staged.needs import Needs
from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.shares import Multipliers
from sfl_env.arrays import Array

_ROOT_STEPS, _NODE_STEPS = 200, 40
_TIGHTENINGS = 2
_ROUNDING = 1e-9
_ROOT_CUTS = 8


class _Nodes(NamedTuple):
    """Boxes of some problems with their bounds; an axis B of boxes in the place of N."""

    problem: NDArray[np.intp]  # (B,)
    shortest_s: Array  # (J, B)
    longest_s: Array  # (J, B)
    open: NDArray[np.bool_]  # (B, K, C) cuts that a better decision may have
    prices: Multipliers
    bound_s: Array  # (B,)
    margin_s: Array  # (B,) the known latency less what the box's own prices prove
    extra_s: Array  # (B, K, C) by how much a cut costs more than the device's cheapest at these prices

    def take(self, index: NDArray[np.intp]) -> "_Nodes":
        """Some of them."""
        prices = Multipliers(self.prices.stage[:, index], self.prices.band_s[index])
        return _Nodes(
            self.problem[index],
            self.shortest_s[:, index],
            self.longest_s[:, index],
            self.open[index],
            prices,
            self.bound_s[index],
            self.margin_s[index],
            self.extra_s[index],
        )


@dataclass(frozen=True)
class StagedBound:
    """What no decision on rounds in stages is faster than.

    Parameters
    ----------
    lower_bound_s : (N,) array
        Seconds.
    cuts : (N, R, K) integer array
        Cuts that the relaxed problem took on the way: starts for a search.
    chances : (N, K, C) array
        Cuts that a decision faster than the known one may have.
    boxes : int
        How many were looked at for all problems together.
    """

    lower_bound_s: Array
    cuts: NDArray[np.intp]
    chances: NDArray[np.bool_]
    boxes: int


@dataclass(frozen=True)
class _Bounding:
    """The problems, and what is known of them."""

    problem: StagedProblem
    needs: Needs
    known_s: Array  # (N,) latency of a decision
    alone_s: Array  # (J, N, K, C) stage times with the whole band, infinite where the cut does not fit

    def root(self) -> tuple[_Nodes, NDArray[np.intp]]:
        """Return one box for each problem, with no restriction yet, and cuts found on the way."""
        j, n, k, _ = self.problem.shape
        flat = Multipliers(np.full((j, n, k), 1.0 / k), 0.3 * self.known_s)
        longest = np.tile(self.known_s, (j, 1))
        nothing = np.zeros(self.problem.server_s.shape)
        fits = self.problem.fits
        nodes = _Nodes(np.arange(n), np.zeros((j, n)), longest, fits, flat, np.zeros(n), self.known_s, nothing)
        return self.bounded(nodes, _ROOT_STEPS, _ROOT_CUTS)

    def bounded(self, nodes: _Nodes, steps: int, keep: int = 1) -> tuple[_Nodes, NDArray[np.intp]]:
        """Return boxes with bounds of their own, shrunk where that loses nothing, and cuts found on the way."""
        problem, known_s = self.problem.rows(nodes.problem), self.known_s[nodes.problem]
        nodes, possible = self._tightened(nodes, problem, known_s)
        needs = self.needs.rows(nodes.problem)
        least = np.where(nodes.open, needs.at_least(nodes.longest_s), np.inf)
        possible &= np.isfinite(least).any(axis=-1).all(axis=-1)
        climbable = np.where(
            np.isfinite(least).any(axis=-1, keepdims=True), least, np.where(problem.fits, 0.0, np.inf)
        )
        box = Box(nodes.shortest_s, nodes.longest_s, climbable, known_s)
        climbed = climb(problem, box, nodes.prices, steps, keep)
        own_s, extra = self._proven(problem, box, climbed)
        bound_s = np.where(possible, np.maximum(own_s, nodes.bound_s), np.inf)
        margin = np.where(possible, known_s - own_s, -np.inf)
        nodes = nodes._replace(
            open=nodes.open & (extra < margin[:, None, None]),
            prices=climbed.prices,
            bound_s=np.minimum(bound_s, known_s),
            margin_s=margin,
            extra_s=extra,
        )
        return nodes, climbed.cuts

    def _tightened(
        self, nodes: _Nodes, problem: StagedProblem, known_s: Array
    ) -> tuple[_Nodes, NDArray[np.bool_]]:
        """Raise the shortest lengths to what some device takes at best, and lower the longest accordingly."""
        shortest, longest, still = nodes.shortest_s, nodes.longest_s, nodes.open
        alone = self.alone_s[:, nodes.problem]
        possible = np.ones(len(known_s), dtype=np.bool_)
        for _ in range(_TIGHTENINGS):
            still = still & (alone <= longest[..., None, None]).all(axis=0)
            possible &= still.any(axis=-1).all(axis=-1)
            held = np.where(still.any(axis=-1, keepdims=True), still, problem.fits)
            shortest = np.maximum(shortest, np.where(held, alone, np.inf).min(axis=-1).max(axis=-1))
            server = np.where(held, problem.server_s, np.inf).min(axis=-1).sum(axis=-1) + problem.wait_s
            room = (known_s * (1.0 + _ROUNDING) - server - shortest.sum(axis=0)) + shortest
            longest = np.minimum(longest, room)
            possible &= (shortest <= longest).all(axis=0)
            longest = np.maximum(longest, shortest)
        return nodes._replace(shortest_s=shortest, longest_s=longest, open=held), possible

    def _proven(self, problem: StagedProblem, box: Box, climbed: Climbed) -> tuple[Array, Array]:
        """Return the bound (B,) of the prices found, and what cuts (B, K, C) cost more than the cheapest ones."""
        prices = climbed.prices
        surplus = 1.0 - prices.stage.sum(axis=-1)
        times = np.where(surplus >= 0.0, box.shortest_s, box.longest_s)
        cost = cut_costs_s(problem, prices, np.minimum(box.least_share, 1.0))
        cost[np.isinf(box.least_share)] = np.inf
        least = cost.min(axis=-1)
        bound = (surplus * times).sum(axis=0) + least.sum(axis=1) - prices.band_s + problem.wait_s
        return bound - _ROUNDING * box.known_s, cost - least[..., None]


def staged_bound(
    problem: StagedProblem, known_s: Array, tolerance: float = 0.02, max_boxes: int = 100
) -> StagedBound:
    """Bound the latency of all decisions from below.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each.
    known_s : (N,) array
        The latency of any decision, the better the tighter: no bound is above it.
    tolerance : float
        A problem's bound is near enough from this share below the known latency on.
    max_boxes : int
        For one problem, at most.
    """
    nodes, chances, cuts, boxes = _branched(problem, known_s, tolerance, max_boxes)
    return StagedBound(nodes.bound_s[_least_of_each(nodes, len(known_s))], cuts, chances, boxes)


def remaining_boxes(problem: StagedProblem, known_s: Array, max_boxes: int) -> _Nodes:
    """Return boxes that together hold every decision which is faster than the known ones."""
    return _branched(problem, known_s, 0.0, max_boxes)[0]


def _branched(
    problem: StagedProblem, known_s: Array, tolerance: float, max_boxes: int
) -> tuple[_Nodes, NDArray[np.bool_], NDArray[np.intp], int]:
    """Return the boxes left, what the first ones left of cuts and which they took, and how many were looked at."""
    whole = problem.band.link().toll(np.ones(problem.server_s.shape[:2]))
    alone = problem.fixed_s + problem.uplink_bits * whole.up[..., None]
    alone += problem.downlink_bits * whole.down[..., None]
    bounding = _Bounding(problem, Needs(problem), known_s, np.where(problem.fits, alone, np.inf))
    nodes, cuts = bounding.root()
    chances, boxes = nodes.open, len(known_s)
    for _ in range(max_boxes // 2):
        worst = _least_of_each(nodes, len(known_s))
        split = worst[nodes.bound_s[worst] < (1.0 - tolerance) * known_s]
        if not split.size:
            break
        children, _ = bounding.bounded(_halves(nodes.take(split)), _NODE_STEPS)
        boxes += len(children.bound_s)
        kept = np.setdiff1d(np.arange(len(nodes.bound_s)), split)
        nodes = _joined(nodes.take(kept), children)
    return nodes, chances, cuts, boxes


def _least_of_each(nodes: _Nodes, n: int) -> NDArray[np.intp]:
    """(N,): which of the boxes has its problem's least bound."""
    order = np.lexsort((nodes.bound_s, nodes.problem))
    first = np.searchsorted(nodes.problem[order], np.arange(n))
    return order[first]


def _halves(nodes: _Nodes) -> _Nodes:
    """Cut boxes in two across their widest sides."""
    both = nodes.take(np.tile(np.arange(len(nodes.problem)), 2))
    b = len(nodes.problem)
    side = (nodes.longest_s - nodes.shortest_s).argmax(axis=0)
    middle = 0.5 * (nodes.longest_s + nodes.shortest_s)[side, np.arange(b)]
    both.longest_s[side, np.arange(b)] = middle
    both.shortest_s[side, np.arange(b, 2 * b)] = middle
    return both


def _joined(first: _Nodes, second: _Nodes) -> _Nodes:
    prices = Multipliers(
        np.concatenate([first.prices.stage, second.prices.stage], axis=1),
        np.concatenate([first.prices.band_s, second.prices.band_s]),
    )
    return _Nodes(
        np.concatenate([first.problem, second.problem]),
        np.concatenate([first.shortest_s, second.shortest_s], axis=1),
        np.concatenate([first.longest_s, second.longest_s], axis=1),
        np.concatenate([first.open, second.open]),
        prices,
        np.concatenate([first.bound_s, second.bound_s]),
        np.concatenate([first.margin_s, second.margin_s]),
        np.concatenate([first.extra_s, second.extra_s]),
    )
