r"""What a device's cut costs at least, at prices of its seconds and of the band: the parts of a Lagrangian bound.

With prices :math:`p_{jk} \ge 0` for the seconds that device k spends in stage j, and :math:`\mu \ge 0` for the
whole band, no decision's latency is below

.. math:: \sum_j \min_t\,(1 - \sum_k p_{jk})\,t
          + \sum_k \min_{c, s}\,[\mathrm{server}_k(c) + \sum_j p_{jk} t_{jk}(c, s) + \mu s] - \mu,

with t from the range in which the stage's length lies. There every device is on its own. The minimum over the
share is taken over intervals: no time rises with the share, so between s and s' the bracket is at least that of
the times at s' and of the band at s. That holds for every rate curve, and for whatever prices.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.shares import Multipliers
from sfl_env.arrays import Array
from sfl_env.rounds.curves import RateCurve
from sfl_env.rounds.radio import SMALLEST_SHARE, Carried, carried

_NARROWEST, _GROWTH = 1.5e-3, 1.0 / 3.0
"""Width of the intervals around the cheapest share, over the share, and how it grows with the squared logarithmic
distance from there: by less than costs grow, half of it at least, so that the cheapest interval is narrow."""
_FARTHEST = 25.0
"""Logarithm of how far from the cheapest share the intervals end, but for the one down to nothing."""
_ITERATIONS = 6
_LEAST_SHARE = 1e-14


class _Priced(NamedTuple):
    """What cuts cost at given prices, all (N, K, C): at the share s, fixed + up_bits / R(s) + down_s / s."""

    fixed_s: Array
    up_bits: Array
    down_s: Array


class _Links(NamedTuple):
    """Each device's link, for shares (N, K, C)."""

    bandwidth_hz: Array  # (N, 1, 1)
    snr_hz: Array  # (N, K, C)
    curve: RateCurve
    levels: Array | None  # (Q, N, K, C)

    def carried(self, share: Array) -> tuple[Array, Carried]:
        """Return the band held, Hz, and what it carries."""
        held_hz = np.maximum(share, SMALLEST_SHARE) * self.bandwidth_hz
        return held_hz, carried(held_hz, self.snr_hz, self.curve, self.levels)


def cut_costs_s(problem: StagedProblem, prices: Multipliers, least_share: Array) -> Array:
    """(N, K, C): no share with which a device takes a cut costs less at the prices, the band's own included.

    Parameters
    ----------
    problem : StagedProblem
        N rounds of K devices with C cuts each.
    prices : Multipliers
        Whatever they are.
    least_share : (N, K, C) array
        Shares that are of interest, from these on to 1.
    """
    links, about = _links(problem), _priced(problem, prices)
    price = prices.band_s[:, None, None]
    centre = np.clip(_cheapest_share(links, about, price), least_share, 1.0)
    cost = np.full(centre.shape, np.inf)
    below = least_share
    for factor in _factors():
        share = np.clip(centre * factor, least_share, 1.0)
        held_hz, found = links.carried(share)
        value = about.up_bits / (held_hz * found.efficiency)
        value += about.down_s / np.maximum(share, SMALLEST_SHARE)
        value += price * below
        np.minimum(cost, value, out=cost)
        below = share
    cost += about.fixed_s
    return cost


def _priced(problem: StagedProblem, prices: Multipliers) -> _Priced:
    weight = prices.stage[..., None]
    downlink_s = np.reciprocal(problem.band.downlink_full_rate_bps)[..., None]
    return _Priced(
        (weight * problem.fixed_s).sum(axis=0) + problem.server_s,
        (weight * problem.uplink_bits).sum(axis=0),
        (weight * problem.downlink_bits).sum(axis=0) * downlink_s,
    )


def _links(problem: StagedProblem) -> _Links:
    band, shape = problem.band, problem.server_s.shape
    levels = band.levels
    if levels is not None:
        levels = np.broadcast_to(levels[..., None], (len(levels), *shape))
    snr_hz = np.broadcast_to(band.uplink_snr_hz[..., None], shape)
    return _Links(band.uplink_bandwidth_hz[:, None, None], snr_hz, band.uplink_curve, levels)


@lru_cache(maxsize=1)
def _factors() -> Array:
    """Ends of the intervals over the cheapest share; after the last one there is nothing below 1."""
    # The distance after m intervals, whose derivative by m is the width.
    unit, pace = np.sqrt(_NARROWEST / _GROWTH), np.sqrt(_NARROWEST * _GROWTH)
    last = np.arctan(_FARTHEST / unit)
    distance = unit * np.tan(np.linspace(0.0, last, int(np.ceil(last / pace)) + 1))
    farthest = np.array([1.0 / _LEAST_SHARE])
    return np.concatenate([np.exp(-distance[::-1]), np.exp(distance[1:]), farthest])


def _cheapest_share(links: _Links, about: _Priced, price: Array) -> Array:
    """(N, K, C): about the cheapest shares; what is proven does not lean on them."""
    share = np.full(about.up_bits.shape, 0.1)
    price = np.maximum(price, SMALLEST_SHARE)
    for _ in range(_ITERATIONS):
        held_hz, found = links.carried(share)
        falls = about.up_bits / (held_hz * found.efficiency) * found.elasticity(links.curve) + about.down_s / share
        share = np.clip(share * np.clip(np.sqrt(falls / (price * share)), 0.1, 10.0), _LEAST_SHARE, 1.0)
    return share
