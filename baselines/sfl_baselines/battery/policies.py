"""Rules that ration the batteries, from what agents see."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.battery.demand import Demand, demand_of
from sfl_baselines.battery.pricing import Tariff, solve_priced
from sfl_baselines.policies import ObservingPolicy, way_back
from sfl_env.arrays import Array
from sfl_env.errors import PolicyError
from sfl_env.optimum import solve_exact
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import Decision, RoundProblem

MASKINGS = 3
"""How often cuts that have turned out too dear are left out and the round is solved anew."""


LEAST_BUDGET, MOST_SCARCE, JUST_BELOW = 1e-9, 1e3, 0.999
"""Batteries smaller, scarcities greater and rounds that empty a battery to more than these are not told apart."""


class Seen(NamedTuple):
    """What N observations tell: the round, what it takes from the batteries, and what may be spent."""

    problem: RoundProblem
    demand: Demand
    charge: Array  # (N, K) of the battery left
    budget: Array  # (N, K) the charge over the rounds left, this one included


class BatteryPolicy(ObservingPolicy):
    """A rule of the battery tier: sees the round and the batteries as agents do.

    Raises
    ------
    PolicyError
        As :class:`~sfl_baselines.policies.ObservingPolicy`, or if the environment has no batteries, or its devices
        do not all work at once.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        scenario, encoder = self.episodes.scenario, self.episodes.observation_encoder
        if scenario.battery_share is None:
            raise PolicyError(
                f"{type(self).__name__} rations batteries, and this environment has none (battery_share=None), so "
                "nothing is to be rationed: 'exact' decides there, or make the environment with a battery_share."
            )
        if scenario.system != "parallel":
            raise PolicyError(
                f"{type(self).__name__} decides rounds in which all devices work at once, and this environment's "
                f"system is {scenario.system!r}: 'exact', 'common-cut' and the others decide by a surrogate there."
            )
        with way_back(encoder, "decode_batteries"):
            self._decode_batteries = getattr(encoder, "decode_batteries")  # noqa: B009 - not in the protocol

    def _told(self, rows: NDArray[Any], now: Conditions) -> Seen:
        batteries = self._decode_batteries(rows)
        simulator, max_rounds = self.episodes.simulator, self.episodes.scenario.max_rounds
        rounds_left = np.maximum(np.rint(max_rounds * (1.0 - batteries.progress)), 1.0)
        return Seen(
            round_problem(simulator.workload, simulator.resources, now),
            demand_of(simulator.workload, simulator.resources, now, batteries.drain_per_s),
            batteries.charge,
            batteries.charge / rounds_left[:, None],
        )


class BudgetRule(BatteryPolicy):
    """The fastest round in which each device takes no more than its charge left over the rounds left.

    Cuts whose drain, at the shares of the optimum, is beyond a device's budget are left out, and the round is
    solved anew; where all of a device's cuts are, the one that drains least stays.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One with batteries.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-Battery-v0")
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = BudgetRule(env).predict(observation)
    >>> bool(env.step(action)[4]["takes_part"].all())
    True
    """

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the rule's decisions (N, K)."""
        told = self._told(rows, seen)
        decision = solve_exact(told.problem).decision
        for _ in range(MASKINGS):
            _, drain = told.demand.at_every_cut(decision.bandwidth_share)
            drain = np.where(np.isfinite(told.problem.fixed_s), drain, np.inf)
            least = drain.min(axis=-1, keepdims=True)
            dear = drain > np.maximum(told.budget[..., None], least)
            decision = solve_exact(told.problem.without_cuts(dear)).decision
        return decision


class EnergyPrice(BatteryPolicy):
    """Minimise seconds plus the price of every device's drain, its price by how scarce its charge is.

    With the drain d of the fastest decision and the budget b, the charge left over the rounds left, a device's
    scarcity is d / b, and a budget is priced at ``weight`` times the fastest round's length times the scarcity to
    the power ``exponent``. A device that has plenty so counts for nothing, and prices follow what has been spent.
    No round takes more than ``limit`` budgets, nor all of the charge, where a device has a decision for that.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One with batteries.
    weight, exponent, limit : float
        The defaults are the best of a grid on validation episodes (``docs/tiers/battery.md``).

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-Battery-v0")
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = EnergyPrice(env).predict(observation)
    >>> observation, *_ = env.step(action)
    >>> bool((env.unwrapped.episodes.observation_encoder.decode_batteries(observation[None]).charge > 0.9).all())
    True
    """

    def __init__(self, env: Any, weight: float = 0.02, exponent: float = 2.0, limit: float = 1.4) -> None:
        super().__init__(env)
        self.weight, self.exponent, self.limit = weight, exponent, limit

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the rule's decisions (N, K)."""
        told = self._told(rows, seen)
        fastest = solve_exact(told.problem)
        _, drain = told.demand.at(fastest.decision.cut, fastest.decision.bandwidth_share)
        drain = drain * (told.budget > 0.0)
        budget = np.maximum(told.budget, LEAST_BUDGET)
        scarcity = np.minimum(drain / budget, MOST_SCARCE)
        price_s = self.weight * fastest.latency_s[:, None] * scarcity**self.exponent / budget
        limit = np.minimum(self.limit * budget, JUST_BELOW * np.maximum(told.charge, LEAST_BUDGET))
        return solve_priced(told.problem, told.demand, Tariff(price_s, limit)).decision
