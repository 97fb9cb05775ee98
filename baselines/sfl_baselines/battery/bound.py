r"""An upper bound on the return of any policy in the battery tier, by Lagrangian duality over the whole episode.

It is of each single episode and knows all of its channels and free speeds in advance, which no policy does. These
must not depend on decisions, see :mod:`sfl_baselines.battery.foresight`. A device that stays drains no more than
its battery over all rounds, so that for any prices p_k >= 0 of the batteries

.. math:: \sum_t T_t + \sum_{t,k} \mathrm{absent}_{tk} \ge
          \sum_t \min_{\mathrm{decision}} \Big(T + \sum_{k} \min(p_k D_k, \mathrm{absent})\Big) - \sum_k p_k

where *absent* is what the reward charges in a round for a device that has left. The round in which a device's
battery runs out is paid for as if it had left before: the charge is the same, and it neither takes time nor needs
the band. So what it overdraws gains nothing, and policies that let devices die are covered. Which prices are taken
only matters to how tight the bound is.
"""

from typing import NamedTuple

import numpy as np

from sfl_baselines.battery.demand import Demand, demand_of
from sfl_baselines.battery.foresight import foresee
from sfl_baselines.battery.pricing import Tariff, grid, solve_priced
from sfl_baselines.battery.relaxation import least_cost_s
from sfl_env.arrays import Array
from sfl_env.checks import require_whole
from sfl_env.episodes import Episodes
from sfl_env.errors import SolverError
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import RoundProblem

ASCENTS = 20
"""Steps in which the prices are looked for."""

FIRST_STEP = 0.2
"""Of the ascent: part of the episode's length by which the price of a battery rises that is drained twice."""

LOOKED_AT = 10
"""Rounds of an episode, evenly spread, that the prices are looked for in."""


class ReturnBound(NamedTuple):
    """What no policy can exceed in each of N episodes."""

    any_policy: Array  # (N,) upper bound on the return
    losing_a_device: Array  # (N,) upper bound on the return of policies under which some device leaves
    price_s: Array  # (N, K) seconds that a device's whole battery was taken to be worth


def return_bound(episodes: Episodes, seed: int, shares: int = 100) -> ReturnBound:
    """Bound the returns of all policies in N episodes.

    Parameters
    ----------
    episodes : Episodes
        Of an environment with batteries, such as ``SFL-Battery-v0``'s.
    seed : int
        Of the episodes, as :func:`~sfl_baselines.rollouts.play` takes it.
    shares : int
        How finely shares of the band are told apart, at least 2; more make the bound tighter and slower.

    Raises
    ------
    PolicyError
        If what comes may depend on decisions, so that the bound is not proven, or for a seed that is none.
    SolverError
        If the number of shares is out of range.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> envs = gym.make_vec("SFL-Battery-v0", num_envs=2, max_rounds=2, num_devices=3)
    >>> bound = return_bound(envs.unwrapped.episodes, seed=0, shares=50)
    >>> bool((bound.losing_a_device < bound.any_policy).all())
    True
    """
    # Between the shares of a grid lie intervals, and it is there that costs are bounded.
    require_whole("shares", shares, 2, error=SolverError)
    foreseen = foresee(episodes, seed)
    simulator, scenario = episodes.simulator, episodes.scenario
    work, resources = simulator.workload, simulator.resources
    problems = [round_problem(work, resources, now) for now in foreseen.rounds]
    rounds = [demand_of(work, resources, now, foreseen.drain_per_s) for now in foreseen.rounds]
    reward_per_s = scenario.latency_weight / episodes.reference_latency_s
    absent_s = scenario.charged_for_dropouts / scenario.num_devices / reward_per_s
    share = grid(shares, scenario.num_devices)
    best: ReturnBound | None = None
    # Prices above what a device that is always absent is charged only loosen the bound. A price of 0 is tried,
    # too, so that no bound on the return is above that of rounds without batteries.
    found_s = [
        np.minimum(price_s, len(rounds) * absent_s) for price_s in find_prices_s(problems, rounds, absent_s)
    ]
    for price_s in [np.zeros_like(found_s[0]), *found_s]:
        total_s, losing_s = _least_total_s(rounds, price_s, absent_s, share)
        found = ReturnBound(-reward_per_s * total_s, -reward_per_s * losing_s, price_s)
        best = found if best is None else _tighter(best, found)
    assert best is not None
    return best


def _least_total_s(rounds: list[Demand], price_s: Array, absent_s: float, share: Array) -> tuple[Array, Array]:
    """Return (N,) seconds that an episode costs at least, and that it does if some device leaves."""
    least = [least_cost_s(demand, price_s, absent_s, share) for demand in rounds]
    devices = range(price_s.shape[1])
    others = np.min([least_cost_s(rounds[-1].without(k), price_s, absent_s, share) for k in devices], axis=0)
    total: Array = np.sum(least, axis=0) - price_s.sum(axis=1)
    # Who has left is absent in the last round at the least.
    return total, total - least[-1] + np.maximum(others + absent_s, least[-1])


def _tighter(one: ReturnBound, other: ReturnBound) -> ReturnBound:
    """Return the lower of two bounds, for each episode and each kind of policy."""
    closer = other.any_policy < one.any_policy
    return ReturnBound(
        np.minimum(one.any_policy, other.any_policy),
        np.minimum(one.losing_a_device, other.losing_a_device),
        np.where(closer[:, None], other.price_s, one.price_s),
    )


def find_prices_s(problems: list[RoundProblem], rounds: list[Demand], absent_s: float) -> list[Array]:
    """Return two prices (N, K) of whole batteries at which about as much is drained as is there.

    Projected subgradient ascent on the dual, over some of the rounds and with decisions that are near the optimum;
    the last half of its steps in the mean, and the one where the dual looks largest.
    """
    every = max(len(rounds) // LOOKED_AT, 1)
    looked_at = list(zip(problems[::every], rounds[::every], strict=True))
    weight = len(rounds) / len(looked_at)
    n, k, _ = rounds[0].fixed_s.shape
    price_s, best_s, best = np.zeros((n, k)), np.zeros((n, k)), np.full(n, -np.inf)
    sum_s, unlimited = np.zeros((n, k)), np.full((n, k), np.inf)
    for step in range(ASCENTS):
        found = [
            solve_priced(problem, demand, Tariff(price_s, unlimited), shares=32) for problem, demand in looked_at
        ]
        latency_s = np.stack([one.latency_s for one in found])
        drains = np.stack([one.drain for one in found])
        cost_s, drained = _with_absence(latency_s, drains, price_s, absent_s)
        value = weight * cost_s.sum(axis=0) - price_s.sum(axis=1)
        best_s = np.where((value > best)[:, None], price_s, best_s)
        best = np.maximum(best, value)
        sum_s += price_s * (2 * step >= ASCENTS)
        rise = FIRST_STEP / (1.0 + 0.3 * step) * weight * latency_s.sum(axis=0)[:, None]
        price_s = np.maximum(price_s + rise * (weight * drained.sum(axis=0) - 1.0), 0.0)
    return [best_s, sum_s / (ASCENTS // 2)]


def _with_absence(latency_s: Array, drains: Array, price_s: Array, absent_s: float) -> tuple[Array, Array]:
    """Return what M rounds (M, N) cost and drain, (M, N, K), where it is cheaper that some are absent, or all.

    Absence is in the bound, so the prices have to be looked for with it: without, they rise beyond all measure
    where batteries are too small to be spared.
    """
    priced = price_s * drains
    cost_s = latency_s + np.minimum(priced, absent_s).sum(axis=-1)
    nobody_s = absent_s * drains.shape[-1]
    stays = (priced < absent_s) & (cost_s < nobody_s)[..., None]
    return np.minimum(cost_s, nobody_s), np.where(stays, drains, 0.0)
