"""What a round's length is compared to: the optimum, or where none is known a bound below it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sfl_baselines import solve_exact, solve_in_turn
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.errors import ScenarioError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import round_problem
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator


@dataclass(frozen=True)
class Yardstick:
    """Gives the shortest time, or a bound below it, of N rounds.

    Parameters
    ----------
    least_s : callable
        Maps the true conditions of N rounds to seconds, (N,).
    bounds : bool
        Whether no round can be shorter; another system's can.
    """

    least_s: Callable[[Conditions], Array]
    bounds: bool = True


def optimum_s(simulator: Simulator, true: Conditions) -> Array:
    """Return the least possible seconds, (N,), proven by the exact solver's certificate."""
    return solve_exact(round_problem(simulator.workload, simulator.resources, true)).latency_s


def _barrier_bound_s(simulator: Simulator, true: Conditions) -> Array:
    """Return a bound below every round in stages or with a queue, (N,) seconds.

    A round in which each stage waits for its slowest device, or devices queue for the server, is at least as long
    as the longest device's own phases, and the server only adds to that. So the optimum of the problem without
    barriers and with a server that takes no time is a lower bound. It need not be reachable.
    """
    free_server = simulator.resources._replace(server_flops_per_s=np.inf)
    return solve_exact(round_problem(simulator.workload, free_server, true)).lower_bound_s


def _in_turn_optimum_s(simulator: Simulator, true: Conditions) -> Array:
    """Return the least seconds, (N,), of devices that take turns: each one's fastest cut with the whole band."""
    problem = round_problem(simulator.workload, simulator.resources, true, "sequence")
    return solve_in_turn(problem).latency_s


def yardstick_of(episodes: Episodes) -> Yardstick:
    """Return what the rounds of some episodes are compared to.

    Raises
    ------
    ScenarioError
        If rounds that leave out late devices are to be compared by their length.
    """
    scenario = episodes.scenario
    if scenario.deadline_s is not None:
        raise ScenarioError(
            f"deadline_s is {scenario.deadline_s}: where late devices are left out, a round's length says little. "
            "Compare samples in time, as docs/build/deadline.py does, or what is learnt, with mode='accuracy', or "
            "take deadline_s=None."
        )
    if scenario.system in ("staged", "queued"):
        return Yardstick(partial(_barrier_bound_s, episodes.simulator))
    least_s = _in_turn_optimum_s if scenario.schedule == "sequence" else optimum_s
    return Yardstick(partial(least_s, episodes.simulator))


def yardstick_name(scenario: Scenario) -> str:
    """Return what tables call the yardstick of a scenario."""
    return "lower bound" if scenario.system in ("staged", "queued") else "optimum"
