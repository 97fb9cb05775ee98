"""The best shares of the band for given cuts, of rounds in stages: a convex problem, by an interior-point method.

In the logarithms x of the shares it reads: minimise the sum of stage times t_j subject to f_jk(x_k) <= t_j and
sum exp(x_k) <= 1. Newton's method is applied to its optimality conditions with complementarity relaxed, for all
problems of a batch side by side. All but one number for each stage and one for the band is eliminated by hand.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.staged.problem import StagedCuts
from sfl_env.arrays import Array

_STEPS, _DAMPED_STEPS = 16, 44
_SETTLED = 1e-7
"""Change of the shares' logarithms in a step below which a problem is solved."""
_CENTRING, _LEAST_GAP = 0.15, 1e-10
_TO_THE_EDGE = 0.98
_LONGEST = 1.5
"""A step changes no share by more than this factor's exponential."""
_LEAST_SHARE = 1e-12
_FIRST_HELD, _FIRST_SLACK = 0.95, 0.1
"""Of the band, and of the round, at the start."""


class Multipliers(NamedTuple):
    """Prices that prove a bound: what a second of each device's stage is worth, and what the band is."""

    stage: Array  # (J, N, K), at least 0, each stage's summing to 1 over the devices
    band_s: Array  # (N,) seconds for the whole band


@dataclass(frozen=True)
class SharesFound:
    """The shares, what they achieve, and the prices that go with them."""

    share: Array  # (N, K)
    latency_s: Array  # (N,)
    multipliers: Multipliers


class _Point(NamedTuple):
    x: Array  # (N, K) logarithms of the shares
    t: Array  # (J, N) stage times
    slack: Array  # (J, N, K)
    price: Array  # (J, N, K)
    spare: Array  # (N,) of the band
    band: Array  # (N,) its price

    def rows(self, index: NDArray[np.intp]) -> "_Point":
        """Some of the problems."""
        x, t, slack, price, spare, band = self
        return _Point(x[index], t[:, index], slack[:, index], price[:, index], spare[index], band[index])

    def with_rows(self, index: NDArray[np.intp], part: "_Point") -> "_Point":
        """Return all of the problems, those of the index from another point."""
        joined = [values.copy() for values in self]
        for values, changed, axis in zip(joined, part, (0, 1, 1, 1, 0, 0), strict=True):
            values[(slice(None),) * axis + (index,)] = changed
        return _Point(*joined)


class _Best(NamedTuple):
    """The best shares met, and where the method stands."""

    share: Array  # (N, K)
    latency_s: Array  # (N,)
    point: _Point
    change: Array  # (N,) largest change of a share's logarithm in the last step

    def rows(self, index: NDArray[np.intp]) -> "_Best":
        """Some of the problems."""
        return _Best(self.share[index], self.latency_s[index], self.point.rows(index), self.change[index])

    def with_rows(self, index: NDArray[np.intp], part: "_Best") -> "_Best":
        """Return all of the problems, those of the index from another one."""
        share, latency_s, change = self.share.copy(), self.latency_s.copy(), self.change.copy()
        share[index], latency_s[index], change[index] = part.share, part.latency_s, part.change
        return _Best(share, latency_s, self.point.with_rows(index, part.point), change)


def best_shares(cuts: StagedCuts, steps: int = _STEPS) -> SharesFound:
    """Find the shares under which rounds in stages are shortest, cuts being given.

    Where rates are concave in the band, as those of Shannon's and the truncated curve are, the problem is convex
    and the shares are the best there are, after all steps to about 1e-6 of the round or better. For other curves
    they are the best of those met on the way.

    Parameters
    ----------
    cuts : StagedCuts
        N rounds of K devices with their cuts given.
    steps : int
        Newton steps; with all of them, 16, problems that have not settled are given up to 44 more. A few less will
        do to compare cuts.

    Examples
    --------
    One stage, two devices that send equally much over equal links:

    >>> from sfl_env.optimum.link import Band
    >>> from sfl_env.rounds.curves import SHANNON
    >>> snr_hz, downlink_bps = np.full((1, 2), 3e6), np.full((1, 2), np.inf)
    >>> link = Band(snr_hz, downlink_bps, np.array([2e6]), SHANNON, None).link()
    >>> bits, none = np.full((1, 1, 2), 2e6), np.zeros((1, 1, 2))
    >>> found = best_shares(StagedCuts(none, bits, none, np.array([1.0]), link))
    >>> found.share.round(6), found.latency_s.round(6)
    (array([[0.5, 0.5]]), array([2.]))
    """
    needs = cuts.needs_band
    share = _start(cuts, needs)
    latency = cuts.latency_s(share)
    scale = np.maximum(latency - cuts.server_s, 1e-300)
    best = _Best(share, latency, _first_point(cuts, share, scale), np.full(len(latency), np.inf))
    for _ in range(min(steps, _STEPS)):
        best = _improved(cuts, needs, scale, best, 1.0)
    unsettled = np.flatnonzero(best.change > _SETTLED) if steps >= _STEPS else np.zeros(0, np.intp)
    if unsettled.size:
        rows, part = cuts.rows(unsettled), best.rows(unsettled)
        for step in range(_DAMPED_STEPS):
            # Where a curve has a kink at the optimum, whole steps jump across it for ever.
            part = _improved(rows, needs[unsettled], scale[unsettled], part, _STEPS / (_STEPS + 1 + step))
        best = best.with_rows(unsettled, part)
    price = best.point.price / best.point.price.sum(axis=-1, keepdims=True)
    return SharesFound(best.share, best.latency_s, Multipliers(price, best.point.band * scale * needs.any(axis=1)))


def _improved(cuts: StagedCuts, needs: NDArray[np.bool_], scale: Array, now: "_Best", damping: float) -> "_Best":
    point = _step(cuts, needs, scale, now.point, damping)
    share = _shares(point.x, needs)
    latency = cuts.latency_s(share)
    better = latency < now.latency_s
    return _Best(
        np.where(better[:, None], share, now.share),
        np.where(better, latency, now.latency_s),
        point,
        np.abs(point.x - now.point.x).max(axis=1),
    )


def _start(cuts: StagedCuts, needs: NDArray[np.bool_]) -> Array:
    share = np.maximum(cuts.link.equal_bits_shares(), _LEAST_SHARE) * needs
    normalised: Array = share / np.maximum(share.sum(axis=1, keepdims=True), _LEAST_SHARE)
    return normalised


def _shares(x: Array, needs: NDArray[np.bool_]) -> Array:
    """Return shares that sum to 1 where any device needs the band, 0 for those that do not."""
    share = np.exp(x) * needs
    normalised: Array = share / np.where(needs.any(axis=1), share.sum(axis=1), 1.0)[:, None]
    return normalised


def _first_point(cuts: StagedCuts, share: Array, scale: Array) -> _Point:
    x = np.log(np.maximum(share * _FIRST_HELD, _LEAST_SHARE))
    time = cuts.stage_s(np.exp(x)) / scale[:, None]
    t = time.max(axis=-1) + _FIRST_SLACK
    slack = t[..., None] - time
    price = 1.0 / slack
    price /= price.sum(axis=-1, keepdims=True)
    spare = np.full(len(x), 1.0 - _FIRST_HELD)
    return _Point(x, t, slack, price, spare, np.ones(len(x)))


def _step(cuts: StagedCuts, needs: NDArray[np.bool_], scale: Array, now: _Point, damping: float) -> _Point:
    """Return the next point."""
    share = np.exp(now.x) * needs
    toll = cuts.link.toll(np.exp(now.x))
    scaled = 1.0 / scale[:, None]
    time = (cuts.fixed_s + cuts.uplink_bits * toll.up + cuts.downlink_bits * toll.down) * scaled
    falls = (cuts.uplink_bits * toll.up_slope() + cuts.downlink_bits * toll.down) * scaled  # minus df/dx
    gap = ((now.slack * now.price).sum(axis=(0, 2)) + now.spare * now.band) / (now.slack[:, 0].size + 1)
    aim = np.maximum(_CENTRING * gap, _LEAST_GAP)[:, None]
    residual = now.t[..., None] - time - now.slack
    over = 1.0 - share.sum(axis=1) - now.spare
    weight = now.price / now.slack
    pull = aim / now.slack - weight * residual
    tension = now.band / now.spare
    rise = aim[:, 0] / now.spare - tension * over
    # Curvature of the times by x is at most falls, which keeps steps short where a curve bends.
    bend = np.where(needs, (now.price * falls + weight * falls**2).sum(axis=0) + now.band[:, None] * share, 1.0)
    push = (falls * pull).sum(axis=0) - share * rise[:, None]
    dx, dt = _solved(weight, falls, bend, push, pull.sum(axis=-1) - 1.0, share, tension)
    dx *= needs
    d_slack = residual + dt[..., None] + falls * dx
    d_price = pull - weight * (dt[..., None] + falls * dx) - now.price
    d_spare = over - (share * dx).sum(axis=1)
    d_band = rise + tension * (share * dx).sum(axis=1) - now.band
    first = np.minimum(_reach(now.slack, d_slack), _reach(now.spare, d_spare))
    first = np.minimum(first, _LONGEST / np.maximum(np.abs(dx).max(axis=1), _LONGEST)) * damping
    second = np.minimum(_reach(now.price, d_price), _reach(now.band, d_band)) * damping
    return _Point(
        now.x + first[:, None] * dx,
        now.t + first * dt,
        now.slack + first[:, None] * d_slack,
        now.price + second[:, None] * d_price,
        now.spare + first * d_spare,
        now.band + second * d_band,
    )


def _solved(
    weight: Array, falls: Array, bend: Array, push: Array, excess: Array, share: Array, tension: Array
) -> tuple[Array, Array]:
    """Return the Newton step of the shares' logarithms (N, K) and of the stage times (J, N).

    The shares' equations are diagonal but for the times and the sum of the shares, which stay as unknowns.
    """
    coupling = np.moveaxis(weight * falls, 0, 1)  # (N, J, K)
    j = coupling.shape[1]
    sides = np.concatenate([coupling, share[:, None]], axis=1)  # (N, J + 1, K)
    eased = sides / bend[:, None]
    gram = eased @ sides.swapaxes(1, 2)
    matrix = -gram
    matrix[:, :, j] *= tension[:, None]
    index = np.arange(j)
    matrix[:, index, index] += weight.sum(axis=-1).T
    matrix[:, j] = gram[:, j]
    matrix[:, j, j] = 1.0 + tension * gram[:, j, j]
    through = (eased @ push[..., None])[..., 0]
    right = np.concatenate([excess.T - through[:, :j], through[:, j:]], axis=1)
    found = np.linalg.solve(matrix, right[..., None])[..., 0]
    dt, q = found[:, :j], found[:, j]
    dx = (push - (coupling * dt[..., None]).sum(axis=1) - share * (tension * q)[:, None]) / bend
    return dx, dt.T


def _reach(values: Array, change: Array) -> Array:
    """(N,): the part of a step, at most 1, that leaves all of a problem's values above 0."""
    ratio = np.where(change < 0.0, -values / np.where(change < 0.0, change, -1.0), np.inf)
    axes = (0, 2) if values.ndim == 3 else ()
    least = ratio.min(axis=axes) if axes else ratio
    return np.minimum(1.0, _TO_THE_EDGE * least)
