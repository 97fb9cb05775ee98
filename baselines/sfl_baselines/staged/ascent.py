"""Prices that make the bound of :mod:`sfl_baselines.staged.duality` large, by a deflected subgradient method.

Nothing is proven here: whatever the prices, the bound that they give holds. On the way every device takes the cut
and share that cost it least at the present prices; these cuts are good ones to start a search from.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.shares import Multipliers
from sfl_env.arrays import Array

_SHARES = 48
_LEAST_EQUAL = 0.02
"""The least share tried, over that of equal ones."""
_DEFLECTION = 0.7
_PATIENCE, _SHORTER = 8, 0.6
"""After so many steps without a rise, steps become so much shorter."""
_RISE = 1e-5
_LEAST_GAP = 1e-3
_NEVER = 1e30


class Box(NamedTuple):
    """Where the stages' lengths lie, what then is left of cuts and shares, and a latency that is known."""

    shortest_s: Array  # (J, N)
    longest_s: Array  # (J, N)
    least_share: Array  # (N, K, C) infinite where the cut is out
    known_s: Array  # (N,) no decision above this is of interest


class Climbed(NamedTuple):
    """Where an ascent has ended."""

    prices: Multipliers
    cuts: NDArray[np.intp]  # (N, R, K) some that were taken on the way, the last ones at the best prices


class _Options(NamedTuple):
    """The cuts that are left, moved to the front, and the shares that are tried."""

    fixed_s: Array  # (J, N, K, C')
    up_bits: Array  # (J, N, K, C')
    down_s: Array  # (J, N, K, C')
    server_s: Array  # (N, K, C')
    cut: NDArray[np.intp]  # (N, K, C') which cut it is
    too_little: Array  # (N, K, C', M): large where the share is too small
    share: Array  # (M,)
    toll: Array  # (N, K, M) seconds per bit sent


class _Taken(NamedTuple):
    """The cheapest option of every device."""

    cost_s: Array  # (N, K)
    stage_s: Array  # (J, N, K)
    share: Array  # (N, K)
    cut: NDArray[np.intp]  # (N, K)


class _Climber:
    """The moving part of an ascent."""

    def __init__(self, start: Multipliers, known_s: Array) -> None:
        self.now = self.best = start
        self.best_s = np.full(len(known_s), -np.inf)
        self._known_s = known_s
        self._along = Multipliers(np.zeros_like(start.stage), np.zeros_like(start.band_s))
        self._length = np.ones(len(known_s))
        self._waited = np.zeros(len(known_s), dtype=np.intp)

    def note(self, bound_s: Array) -> NDArray[np.bool_]:
        """Take down what the present prices give, and return (N,) where that is the most so far."""
        higher: NDArray[np.bool_] = bound_s > self.best_s
        self._waited = np.where(bound_s > self.best_s + _RISE * self._known_s, 0, self._waited + 1)
        stage = np.where(higher[:, None], self.now.stage, self.best.stage)
        self.best = Multipliers(stage, np.where(higher, self.now.band_s, self.best.band_s))
        self.best_s = np.maximum(self.best_s, bound_s)
        tired = self._waited >= _PATIENCE
        self._length[tired] *= _SHORTER
        self._waited[tired] = 0
        return higher

    def move(self, bound_s: Array, late_s: Array, over: Array) -> None:
        """Step along the slopes: seconds by which devices are late, (J, N, K), and the band wanted in excess."""
        slope = np.where((self.now.stage <= 0.0) & (late_s < 0.0), 0.0, late_s)
        # The band's price is moved in units of the round's length, so that both slopes are seconds.
        stage = slope + _DEFLECTION * self._along.stage
        band = over * self._known_s + _DEFLECTION * self._along.band_s
        norm = (stage**2).sum(axis=(0, 2)) + band**2
        missing = np.maximum(self._known_s - bound_s, _LEAST_GAP * self._known_s)
        size = self._length * missing / np.maximum(norm, 1e-300)
        self._along = Multipliers(stage, band)
        self.now = Multipliers(
            np.maximum(self.now.stage + size[:, None] * stage, 0.0),
            np.maximum(self.now.band_s + size * band * self._known_s, 0.0),
        )


def climb(problem: StagedProblem, box: Box, start: Multipliers, steps: int, keep: int = 1) -> Climbed:
    """Raise the bound of a box from some prices on.

    Parameters
    ----------
    problem : StagedProblem
        N rounds.
    box : Box
        What is known of the stages' lengths; not empty.
    start : Multipliers
        Prices to start from.
    steps : int
        How many.
    keep : int
        Cuts of how many steps are returned, the last but one evenly spaced ones.
    """
    options, climber = _options(problem, box), _Climber(start, box.known_s)
    cuts: list[NDArray[np.intp]] = []
    best_cut = np.zeros(problem.server_s.shape[:2], dtype=np.intp)
    every = max(1, steps // keep)
    for step in range(steps):
        taken = _cheapest(options, climber.now)
        surplus = 1.0 - climber.now.stage.sum(axis=-1)
        times = np.where(surplus >= 0.0, box.shortest_s, box.longest_s)
        bound_s = (surplus * times).sum(axis=0) + taken.cost_s.sum(axis=1) - climber.now.band_s + problem.wait_s
        best_cut = np.where(climber.note(bound_s)[:, None], taken.cut, best_cut)
        if step % every == every - 1 and len(cuts) < keep - 1:
            cuts.append(taken.cut)
        climber.move(bound_s, taken.stage_s - times[..., None], taken.share.sum(axis=1) - 1.0)
    return Climbed(climber.best, np.stack([*cuts, best_cut], axis=1))


def _options(problem: StagedProblem, box: Box) -> _Options:
    out = np.isinf(box.least_share)
    left = max(1, int((~out).sum(axis=-1).max(initial=1)))
    cut = np.argsort(out, axis=-1, kind="stable")[..., :left]
    fixed_s, up_bits, down_bits = (
        np.take_along_axis(values, cut[None], axis=-1)
        for values in (problem.fixed_s, problem.uplink_bits, problem.downlink_bits)
    )
    link = problem.band.link()
    n, k = link.snr_hz.shape
    share = np.geomspace(_LEAST_EQUAL / k, 1.0, _SHARES)
    toll = np.stack([link.toll(np.full((n, k), one)).up for one in share], axis=-1)
    least, gone = np.take_along_axis(box.least_share, cut, axis=-1), np.take_along_axis(out, cut, axis=-1)
    server_s = np.where(gone, _NEVER, np.take_along_axis(problem.server_s, cut, axis=-1))
    too_little = np.where((share[:-1] < 0.98 * least[..., None]), _NEVER, 0.0)
    too_little = np.concatenate([too_little, np.zeros((*least.shape, 1))], axis=-1)
    return _Options(
        fixed_s, up_bits, down_bits * link.downlink_s[..., None], server_s, cut, too_little, share, toll
    )


def _cheapest(options: _Options, prices: Multipliers) -> _Taken:
    weight = prices.stage[..., None]
    up, down = (weight * options.up_bits).sum(axis=0), (weight * options.down_s).sum(axis=0)
    cost = options.too_little + up[..., None] * options.toll[:, :, None]
    cost += down[..., None] * (1.0 / options.share)
    cost += prices.band_s[:, None, None, None] * options.share
    which = cost.argmin(axis=-1)
    of_cut = np.take_along_axis(cost, which[..., None], axis=-1)[..., 0]
    of_cut += (weight * options.fixed_s).sum(axis=0) + options.server_s
    entry = of_cut.argmin(axis=-1)[..., None]
    place = np.take_along_axis(which, entry, axis=-1)
    share = options.share[place[..., 0]]
    toll = np.take_along_axis(options.toll, place, axis=-1)[..., 0]
    fixed_s, up_bits, down_s = (
        np.take_along_axis(values, entry[None], axis=-1)[..., 0]
        for values in (options.fixed_s, options.up_bits, options.down_s)
    )
    return _Taken(
        np.take_along_axis(of_cut, entry, axis=-1)[..., 0],
        fixed_s + up_bits * toll + down_s / share,
        share,
        np.take_along_axis(options.cut, entry, axis=-1)[..., 0],
    )
