r"""Lower bounds on what rounds cost at given prices of the batteries, whatever is decided.

A round that lasts T, in which device k holds the share s_k at the cut c_k and drains the part D_k of its battery,
costs T + sum_k p_k D_k. A device may also be absent: then it takes neither time nor band nor battery, and costs
what the reward charges for it. For a multiplier m >= 0 of the band and T in [a, b],

.. math:: T + \sum_k p_k D_k \ge a - m +
          \sum_k \min\Big(\mathrm{absent}, \min_{c, s: \tau_k(c, s) \le b} p_k D_k(c, s) + m s\Big)

as shares sum to at most 1. The inner minimum is bounded on each interval [s', s''] of a grid of shares. There what
the air adds to seconds and drain is at least A / s, with A its value at s' times s': a wider band carries less for
each Hz. So a device that finishes by b holds at least A / (b - fixed), and the drain lies above the tangent of
A / s at the middle of the interval. What is then to be minimised is linear in s, and least at an end. So each
bound is a minimum over finitely many numbers; the largest over some m is taken, and then the smallest over
intervals of T that cover all lengths. No step relies on having found an optimum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.battery.demand import Demand
from sfl_baselines.battery.pricing import shortest_s
from sfl_env.arrays import Array

ROUNDING = 1e-9
"""Part by which a bound is lowered, for the rounding of its own arithmetic."""

SHORTEST, LONGEST = 0.85, 4.0
"""Lengths between these many times the shortest round are told apart; all shorter ones are one interval, and all
longer ones are another."""

COARSE, PARTS = 12, 4
"""Intervals of lengths at first, and into how many the one with the lowest bound is split, again and again."""

NARROW = 1.002
"""An interval whose end is within this factor of its start is not split any more."""

MULTIPLIERS_TRIED = 16
"""Of the band, for each interval of lengths."""


@dataclass(frozen=True)
class _Points:
    """Where the inner minimum can lie: costs and shares, of N rounds, K devices, C cuts and G shares of a grid."""

    share: Array  # (G,)
    seconds: Array  # (N, K, C, G)
    on_grid: Array  # (N, K, C, G) cost at the grid's shares, the lower one of the two intervals that meet there
    fixed_s: Array  # (N, K, C)
    air_s: Array  # (N, K, C, G) A of the seconds
    fixed_cost: Array  # (N, K, C)
    air_cost: Array  # (N, K, C, G) A of the priced drain

    @classmethod
    def of(cls, demand: Demand, price_s: Array, share: Array) -> "_Points":
        seconds, drain = demand.on_grid(share)
        fixed_s, fixed_cost = demand.fixed_s, demand.fixed_drain * price_s[..., None]
        computing = np.where(np.isfinite(fixed_s), fixed_s, 0.0)[..., None]
        air_s = np.where(np.isfinite(seconds), seconds - computing, 0.0) * share
        air_cost = (drain * price_s[..., None, None] - fixed_cost[..., None]) * share
        lower, upper = share[:-1], share[1:]
        base, slope = air_cost[..., :-1], 1.0 / (lower * upper)
        middle = 2.0 * np.sqrt(lower * upper)
        on_grid = np.full(seconds.shape, np.inf)
        on_grid[..., 1:] = base * (middle - upper) * slope
        on_grid[..., :-1] = np.minimum(on_grid[..., :-1], base * (middle - lower) * slope)
        on_grid += fixed_cost[..., None]
        return cls(share, seconds, on_grid, fixed_s, air_s, fixed_cost, air_cost)

    def within(self, rows: NDArray[np.intp], end_s: Array) -> tuple[Array, Array]:
        """Return shares and costs, (n, K, P) each, that bound every device's cost in rounds that end by then."""
        end = end_s[:, None, None] * (1.0 + ROUNDING)
        in_time = self.seconds[rows] <= end[..., None]
        grid = np.where(in_time, self.on_grid[rows], np.inf).min(axis=2)
        first = in_time.argmax(axis=-1)  # (n, K, C)
        below = np.maximum(first - 1, 0)[..., None]
        air_s, air_cost = (
            np.take_along_axis(values[rows], below, axis=-1)[..., 0] for values in (self.air_s, self.air_cost)
        )
        lower, upper = self.share[below[..., 0]], self.share[first]
        left_s = np.maximum(end - self.fixed_s[rows], np.finfo(float).tiny)
        with np.errstate(over="ignore"):  # of cuts that are not in time, which are left out below
            needed = np.clip(air_s / left_s, lower, upper)
        tangent = air_cost * (2.0 * np.sqrt(lower * upper) - needed) / (lower * upper)
        # Where the first share is enough, any below is taken to be free, at what the first one drains.
        starts = first == 0
        needed = np.where(starts, 0.0, needed)
        partly = np.where(starts, air_cost / self.share[0], tangent) + self.fixed_cost[rows]
        partly = np.where(in_time.any(axis=-1), partly, np.inf)
        shares = np.concatenate([np.broadcast_to(self.share, grid.shape), needed], axis=-1)
        return shares, np.concatenate([grid, partly], axis=-1)


def least_cost_s(demand: Demand, price_s: Array, absent_s: float, share: Array) -> Array:
    """Return (N,) seconds that no decision's length and priced drains stay below.

    Parameters
    ----------
    demand : Demand
        N rounds of K devices.
    price_s : (N, K) array
        Seconds that a device's whole battery is worth, at least 0.
    absent_s : float
        Seconds that an absent device is charged with.
    share : (G,) array
        A grid of shares, rising to 1; the finer, the tighter the bound.
    """
    points = _Points.of(demand, price_s, share)
    first = shortest_s(points.seconds, share)
    edges = first[:, None] * np.geomspace(SHORTEST, LONGEST, COARSE + 1)
    ends = np.hstack([edges, np.full((len(edges), 1), np.inf)])
    starts = np.hstack([np.zeros((len(edges), 1)), edges])
    every = np.arange(len(edges))
    bounds = np.stack(
        [_interval(points, every, absent_s, *pair) for pair in zip(starts.T, ends.T, strict=True)], 1
    )
    while True:
        lowest = bounds.argmin(axis=1)
        start, end = starts[every, lowest], ends[every, lowest]
        rows = np.flatnonzero((end > start * NARROW) & (start > 0.0) & np.isfinite(end))
        if not rows.size:
            lowest_s: Array = bounds.min(axis=1) * (1.0 - ROUNDING)
            return lowest_s
        cuts = np.geomspace(start[rows], end[rows], PARTS + 1, axis=1)
        fill = np.full((len(edges), PARTS - 1), np.inf)
        starts, ends, bounds = (np.hstack([values, fill]) for values in (starts, ends, bounds))
        for part in range(PARTS):
            place = lowest[rows] if part == 0 else np.full(rows.size, bounds.shape[1] - part)
            starts[rows, place], ends[rows, place] = cuts[:, part], cuts[:, part + 1]
            bounds[rows, place] = _interval(points, rows, absent_s, cuts[:, part], cuts[:, part + 1])


def _interval(points: _Points, rows: NDArray[np.intp], absent_s: float, start_s: Array, end_s: Array) -> Array:
    """Return a bound for lengths from start to end, of some of the rounds."""
    shares, costs = points.within(rows, end_s)
    low, high = np.full(len(start_s), -6.0), np.full(len(start_s), 9.0)
    best = np.minimum(costs.min(axis=-1), absent_s).sum(axis=1)
    for _ in range(MULTIPLIERS_TRIED):
        middle = 0.5 * (low + high)
        multiplier = 10.0**middle
        total = costs + multiplier[:, None, None] * shares
        index = total.argmin(axis=-1)[..., None]
        cost = np.take_along_axis(total, index, axis=-1)[..., 0]
        held = np.take_along_axis(shares, index, axis=-1)[..., 0]
        best = np.maximum(best, np.minimum(cost, absent_s).sum(axis=1) - multiplier)
        over = np.where(cost < absent_s, held, 0.0).sum(axis=1) > 1.0
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    bound: Array = start_s + best
    return bound
