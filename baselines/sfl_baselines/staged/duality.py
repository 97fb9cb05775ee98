"""A bound below all decisions on a round in stages, from prices of the devices' seconds and of the band.

With prices p_jk >= 0 for the seconds that device k spends in stage j, and mu >= 0 for the whole band, every decision's
latency is at least

    sum_j min_t (1 - sum_k p_jk) t + sum_k min_{c, s} [server_k(c) + sum_j p_jk t_jk(c, s) + mu s] - mu,

with t over the range in which the stage's length lies (Lagrangian duality). The devices are on their own there. The
minimum over the shares is taken over intervals: none of the times rises with the share, so on [s, s'] the sum is at
least that of the times at s' and the price at s, whatever the rate curve.
"""

from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.rounds.radio import carried
from sfl_baselines.staged.problem import StagedProblem
from sfl_baselines.staged.shares import Multipliers

_WIDTH = 1e-3
_FAR = 25.0
_ITERATIONS = 6
_LEAST = 1e-14


class Priced(NamedTuple):
    """What the devices' cuts cost at given prices, as functions of the share alone."""

    fixed_s: Array  # (N, K, C)
    up_bits: Array  # (N, K, C)
    down_s: Array  # (N, K, C) over the share


def priced(problem: StagedProblem, prices: Multipliers) -> Priced:
    """Add up the stages of each device and cut by their prices."""
    weight = prices.stage[..., None]
    link = problem.band.link()
    return Priced(
        (weight * problem.fixed_s).sum(axis=0) + problem.server_s,
        (weight * problem.uplink_bits).sum(axis=0),
        (weight * problem.downlink_bits).sum(axis=0) * link.downlink_s[..., None],
    )


def cut_costs_s(problem: StagedProblem, prices: Multipliers, least_share: Array | None = None) -> Array:
    """(N, K, C): no share with which a device takes a cut costs less at the prices, the band's own included."""
    about = priced(problem, prices)
    mu = prices.band_s[:, None, None]
    centre = _cheapest_share(problem, about, mu)
    low = np.zeros_like(centre) if least_share is None else least_share
    centre = np.clip(centre, low, 1.0)
    cost = np.full(centre.shape, np.inf)
    before = low
    for offset in _offsets():
        share = np.clip(centre * offset, low, 1.0)
        up = about.up_bits * _toll(problem, share)
        value = up + about.down_s / np.maximum(share, 1e-200) + mu * before
        np.minimum(cost, value, out=cost)
        before = share
    return cost + about.fixed_s


def _offsets() -> Array:
    root = np.sqrt(_WIDTH)
    last = np.arctan(_FAR / root)
    half = root * np.tan(np.linspace(0.0, last, int(np.ceil(last / root)) + 1))
    return np.concatenate([np.exp(-half[::-1]), np.exp(half[1:])])


def _carried(problem, share):
    """Seconds per bit sent, (N, K, C), at shares (N, K, C)."""
    band = problem.band
    n, k, c = share.shape
    hz = np.maximum(share, 1e-200) * band.uplink_bandwidth_hz[:, None, None]
    levels = None if band.levels is None else np.broadcast_to(band.levels[..., None], (len(band.levels), n, k, c))
    snr = np.broadcast_to(band.uplink_snr_hz[..., None], share.shape)
    return hz, carried(hz, snr, band.uplink_curve, levels)


def _toll(problem, share):
    hz, found = _carried(problem, share)
    return 1.0 / (hz * found.efficiency)


def _toll_and_elasticity(problem, share):
    hz, found = _carried(problem, share)
    return 1.0 / (hz * found.efficiency), found.elasticity(problem.band.uplink_curve)


def _cheapest_share(problem: StagedProblem, about: Priced, mu: Array) -> Array:
    share = np.full(about.up_bits.shape, 0.1)
    mu = np.maximum(mu, 1e-300)
    for _ in range(_ITERATIONS):
        toll, elasticity = _toll_and_elasticity(problem, share)
        falls = about.up_bits * toll * elasticity + about.down_s / share
        share = np.clip(share * np.clip(np.sqrt(falls / (mu * share)), 0.1, 10.0), _LEAST, 1.0)
    return share
