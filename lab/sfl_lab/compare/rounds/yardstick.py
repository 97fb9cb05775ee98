"""What a round is compared to: the optimum, or where none is known a bound that no decision can beat."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sfl_baselines import solve_exact, solve_in_turn, solve_selection
from sfl_baselines.rollouts import PlayedRound
from sfl_baselines.selection import can_select
from sfl_baselines.staged import staged_bound, staged_common_cut, staged_problem_of
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.errors import ScenarioError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import round_problem
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator


@dataclass(frozen=True)
class Yardstick:
    """Gives the best, or a bound on it, of N rounds.

    Parameters
    ----------
    best : callable
        Maps the true conditions of N rounds to the least seconds or, of samples, to the most in time, (N,).
    bounds : bool
        Whether no round can be better; another system's can.
    of_samples : bool
        Whether it is of samples in time for a deadline instead of seconds.
    """

    best: Callable[[Conditions], Array]
    bounds: bool = True
    of_samples: bool = False

    def ratio(self, played: PlayedRound, best: Array) -> Array:
        """Return the round's seconds, or samples in time, over the best, (N,); 1 where none can be in time."""
        if not self.of_samples:
            return np.asarray(played.done.infos["latency_s"] / best, dtype=np.float64)
        return np.divide(samples_in_time(played), best, out=np.ones(best.shape), where=best > 0.0)


def samples_in_time(played: PlayedRound) -> Array:
    """Return the samples of the devices that are in the round's average, (N,)."""
    return np.asarray((played.true.samples * played.done.infos["takes_part"]).sum(axis=-1), dtype=np.float64)


def optimum_s(simulator: Simulator, true: Conditions) -> Array:
    """Return the least possible seconds, (N,), proven by the exact solver's certificate."""
    return solve_exact(round_problem(simulator.workload, simulator.resources, true)).latency_s


def _most_samples(simulator: Simulator, deadline_s: float, true: Conditions) -> Array:
    """Return how many samples can be in time for the deadline at most, (N,), by the knapsack's certificate."""
    problem = round_problem(simulator.workload, simulator.resources, true)
    there = true.samples if true.takes_part is None else true.samples * true.takes_part
    return solve_selection(problem, there, deadline_s).bound_samples


def _staged_bound_s(episodes: Episodes, true: Conditions) -> Array:
    """Return a bound below every round in stages, (N,) seconds, alike for all policies.

    It is Lagrangian, without branching on the lengths of the stages, which would take too long for every round.
    The best common cut is a decision that it starts from: with those that were played, the bounds of poor policies
    would be poor ones.
    """
    problem = staged_problem_of(episodes, true)
    return staged_bound(problem, staged_common_cut(problem).latency_s, max_boxes=0).lower_bound_s


def _queued_bound_s(simulator: Simulator, true: Conditions) -> Array:
    """Return a bound below every round with a queue, (N,) seconds.

    A round in which devices queue for the server is at least as long as the longest device's own phases, and the
    server only adds to that. So the optimum of the problem with a server that takes no time is a lower bound. It
    need not be reachable.
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
        If devices take turns until a deadline, for which no best is known.
    """
    scenario, simulator = episodes.scenario, episodes.simulator
    if scenario.deadline_s is not None:
        if not can_select(scenario):
            raise ScenarioError(
                f"deadline_s is {scenario.deadline_s} with schedule={scenario.schedule!r}: how many samples can "
                "be in time is known where devices work at once. Take schedule='parallel' or deadline_s=None, or "
                "compare what is learnt, with mode='accuracy'."
            )
        return Yardstick(partial(_most_samples, simulator, scenario.deadline_s), of_samples=True)
    if scenario.system == "staged":
        return Yardstick(partial(_staged_bound_s, episodes))
    if scenario.system == "queued":
        return Yardstick(partial(_queued_bound_s, simulator))
    least_s = _in_turn_optimum_s if scenario.schedule == "sequence" else optimum_s
    return Yardstick(partial(least_s, simulator))


def yardstick_name(scenario: Scenario) -> str:
    """Return what tables call the yardstick of a scenario."""
    if scenario.deadline_s is not None:
        return "most possible"
    return "lower bound" if scenario.system in ("staged", "queued") else "optimum"
