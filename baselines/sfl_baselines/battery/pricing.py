"""Decide rounds at a price of the battery: as few seconds as possible, each device's drain turned into seconds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.battery.demand import Demand
from sfl_env.arrays import Array
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.rounds.problem import Decision, RoundProblem

LEAST_PART = 0.02
"""Of an equal share: shares below are not tried in deciding; a bound covers them all the same."""

LONGEST_TRIED = 2.5
"""Times the shortest round: longer ones are not tried."""

TRIED = (8, 5)
"""How many lengths are tried between the shortest and the longest, and then around the best of them."""

BEYOND_S = 1e5
"""Seconds for a round's drain that is twice its limit."""

MULTIPLIER_STEPS = 14
"""Halvings of the band's price, on a logarithmic scale."""


def grid(shares: int, num_devices: int) -> Array:
    """Return shares (G,) from :data:`LEAST_PART` of an equal one to 1, in equal ratios."""
    return np.geomspace(LEAST_PART / num_devices, 1.0, shares)


class Priced(NamedTuple):
    """What a price of the battery comes to."""

    decision: Decision
    latency_s: Array  # (N,)
    drain: Array  # (N, K)
    cost_s: Array  # (N,) latency and the price of all drains


class Tariff(NamedTuple):
    """What drains cost: a price throughout, and far more beyond a limit."""

    price_s: Array  # (N, K) seconds that a device's whole battery is worth
    limit: Array  # (N, K) of the battery in a round

    def cost_s(self, drain: Array) -> Array:
        """Return what drains (N, K, ...) cost in seconds."""
        further = (...,) + (None,) * (drain.ndim - 2)
        beyond = np.maximum(drain / self.limit[further] - 1.0, 0.0)
        cost: Array = self.price_s[further] * drain + BEYOND_S * beyond
        return cost


def solve_priced(problem: RoundProblem, demand: Demand, tariff: Tariff, shares: int = 48) -> Priced:
    """Decide rounds so that their length and the price of what they drain are small together.

    For each of some lengths T of the round, a price of the band is found at which the devices, each at the cut and
    the share that are cheapest for it among those that finish by T, need no more than the band. What is left of
    the band then goes to all in proportion, or the band is split so that the round with these cuts is shortest,
    whichever is cheaper. The best of all is kept: near the optimum, not proven to be it.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices.
    demand : Demand
        Of the same rounds.
    tariff : Tariff
        What drains cost.
    shares : int
        How finely shares are tried.
    """
    part = grid(shares, tariff.limit.shape[1])
    seconds, drain = demand.on_grid(part)
    cost = tariff.cost_s(drain)
    shortest = shortest_s(seconds, part)
    best = _priced(demand, solve_exact(problem).decision, tariff)
    around, ratio = np.full(len(shortest), (LONGEST_TRIED * 1.001) ** 0.5), LONGEST_TRIED**0.5
    for lengths in TRIED:
        center = around
        for factor in np.geomspace(1.0 / ratio, ratio, lengths):
            tried = _within(demand, seconds, cost, part, shortest * center * factor, tariff)
            around = np.where(tried.cost_s < best.cost_s, center * factor, around)
            best = _better(best, tried)
        ratio **= 1.0 / lengths
    split = allocate_bandwidth(problem, best.decision.cut).decision
    return _better(best, _priced(demand, split, tariff))


def _priced(demand: Demand, decision: Decision, tariff: Tariff) -> Priced:
    device_s, drain = demand.at(decision.cut, decision.bandwidth_share)
    latency = device_s.max(axis=1)
    return Priced(decision, latency, drain, latency + tariff.cost_s(drain).sum(axis=1))


def shortest_s(seconds: Array, share: Array) -> Array:
    """(N,): the shortest round on the grid, by halving intervals of its logarithm."""
    fastest = seconds.min(axis=2)  # (N, K, G), falls along the grid
    low: Array = fastest[..., -1].max(axis=1)
    high: Array = fastest.max(axis=(1, 2))
    for _ in range(30):
        middle = np.sqrt(low * high)
        late = (fastest > middle[:, None, None]).sum(axis=-1)  # index of the first share that is enough
        needed = np.append(share, np.inf)[late].sum(axis=1)
        low, high = np.where(needed > 1.0, middle, low), np.where(needed > 1.0, high, middle)
    return high


def cheapest(cost: Array, seconds: Array, length_s: Array) -> tuple[Array, NDArray[np.intp]]:
    """Return each device's least price at each share of the grid, and the cut, among those in time; (N, K, G)."""
    allowed = np.where(seconds <= length_s[:, None, None, None], cost, np.inf)
    cut = allowed.argmin(axis=2)
    return np.take_along_axis(allowed, cut[:, :, None], axis=2)[:, :, 0], cut


def _within(demand: Demand, seconds: Array, cost: Array, share: Array, length_s: Array, tariff: Tariff) -> Priced:
    """Decide rounds that may last so long."""
    least, cut = cheapest(cost, seconds, length_s)
    low, high = np.full(len(length_s), -6.0), np.full(len(length_s), 9.0)
    for _ in range(MULTIPLIER_STEPS):
        middle = 0.5 * (low + high)
        index = (least + (10.0**middle)[:, None, None] * share).argmin(axis=-1)
        over = share[index].sum(axis=1) > 1.0
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    index = (least + (10.0**high)[:, None, None] * share).argmin(axis=-1)
    held = share[index]
    held /= held.sum(axis=1, keepdims=True)
    chosen = np.take_along_axis(cut, index[..., None], axis=-1)[..., 0]
    return _priced(demand, Decision(chosen, held), tariff)


def _better(one: Priced, other: Priced) -> Priced:
    """Return the cheaper of two, row by row."""
    better = other.cost_s < one.cost_s

    def pick(new: Array, old: Array) -> Array:
        chosen: Array = np.where(better[:, None] if new.ndim == 2 else better, new, old)
        return chosen

    return Priced(
        Decision(
            np.where(better[:, None], other.decision.cut, one.decision.cut),
            pick(other.decision.bandwidth_share, one.decision.bandwidth_share),
        ),
        pick(other.latency_s, one.latency_s),
        pick(other.drain, one.drain),
        pick(other.cost_s, one.cost_s),
    )
