"""What a round's length is compared to: the optimum, or where none is known a bound below it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sfl_baselines import solve_exact
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.errors import ScenarioError
from sfl_env.optimum import solve_in_turn
from sfl_env.rounds.latency import round_problem
from sfl_env.scenario import Scenario


class Reference(Protocol):
    """Gives the shortest time, or a bound below it, for the coming round of N episodes."""

    @property
    def name(self) -> str:
        """What to call it in tables."""
        ...

    def __call__(self, episodes: Episodes) -> Array:
        """Return seconds, (N,), for the true conditions."""
        ...


@dataclass(frozen=True)
class Optimum:
    """The global optimum under the true conditions, proven by the exact solver's certificate."""

    name: str = "optimum"

    def __call__(self, episodes: Episodes) -> Array:
        """Return the least possible seconds of each episode's coming round."""
        return solve_exact(episodes.true_problem()).latency_s


@dataclass(frozen=True)
class BarrierBound:
    """A bound below every round with synchronised phases.

    A round in which each phase waits for its slowest device is at least as long as the longest device's own
    phases, and the server only adds to that. So the optimum of the problem without barriers and with a server
    that takes no time is a lower bound. It need not be reachable.
    """

    name: str = "lower bound"

    def __call__(self, episodes: Episodes) -> Array:
        """Return a bound on the seconds of each episode's coming round."""
        simulator = episodes.simulator
        free_server = simulator.resources._replace(server_flops_per_s=np.inf)
        return solve_exact(round_problem(simulator.workload, free_server, episodes.now.true)).lower_bound_s


@dataclass(frozen=True)
class InTurnOptimum:
    """The optimum of devices that take turns: each one's fastest cut with the whole band, one after another."""

    name: str = "optimum"

    def __call__(self, episodes: Episodes) -> Array:
        """Return the least possible seconds of each episode's coming round."""
        return solve_in_turn(episodes.true_problem()).latency_s


def reference_of(scenario: Scenario) -> Reference:
    """Return what rounds of a scenario are compared to.

    Raises
    ------
    ScenarioError
        If rounds that leave out late devices are to be compared by their length.
    """
    if scenario.deadline_s is not None:
        raise ScenarioError(
            f"deadline_s is {scenario.deadline_s}: where late devices are left out, a round's length says little. "
            "Compare what is learnt, with --mode accuracy, or take deadline_s=None."
        )
    if scenario.synchronised_phases:
        return BarrierBound()
    return InTurnOptimum() if scenario.schedule == "sequence" else Optimum()
