"""The conditions of all rounds of an episode, where no decision can change them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from sfl_env.checks import require_whole, shown
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError
from sfl_env.optimum import alone_s
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.energy import Power, TrainingPower
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.problem import Decision
from sfl_env.scenario import Scenario

HOLDS_IN_A_ROUND = 50.0
"""What holds for less than a round over this is drawn anew in every round: exp(-50) is lost in rounding."""

DECIDED: Mapping[str, Callable[[Scenario], bool]] = {
    "mobility": lambda scenario: scenario.mobility == "static",
    "battery_share": lambda scenario: scenario.battery_share is not None,
    "csi_delay_rounds": lambda scenario: scenario.csi_delay_rounds == 0,
    "latency_weight": lambda scenario: scenario.latency_weight > 0.0,
    "energy_weight": lambda scenario: scenario.energy_weight == 0.0,
    "mode": lambda scenario: scenario.mode == "latency",
    "system": lambda scenario: scenario.system == "parallel",
}
"""Fields under which something that the bound leans on would hang on decisions, and whether it does not."""


class Foreseen(NamedTuple):
    """What N episodes bring, round by round, while nobody has left."""

    rounds: tuple[Conditions, ...]  # of each round in its turn
    drain_per_s: TrainingPower  # (N, K) of the battery in each state


def foresee(episodes: Episodes, seed: int) -> Foreseen:
    """Return the conditions that :func:`~sfl_baselines.rollouts.play` meets with this seed, whatever is decided.

    Parameters
    ----------
    episodes : Episodes
        Of an environment with batteries whose channels and free speeds are drawn anew in each round, or stay.
    seed : int
        Of the generator.

    Raises
    ------
    PolicyError
        If what comes may depend on decisions, naming the field; or if parts are a user's own.
    """
    require_foreseeable(episodes)
    require_whole("seed", seed, 0, error=PolicyError)
    simulator = episodes.simulator
    rng = np.random.default_rng(seed)
    state = simulator.initial(rng, episodes.n)
    full = np.ones_like(state.charge)
    devices = state.setup.devices
    power = Power(devices.idle_w, devices.computing_w, devices.transmitting_w, devices.receiving_w)
    equal = Decision(np.zeros(full.shape, np.intp), np.full(full.shape, 1.0 / full.shape[1]))
    rounds = []
    for _ in range(episodes.scenario.max_rounds):
        state = state._replace(charge=full)
        now = simulator.conditions(state)
        _require_that_states_pass(episodes, now)
        rounds.append(now)
        state = simulator.step(state, simulator.outcome(state, now, equal), rng)
    return Foreseen(
        tuple(rounds), TrainingPower(*(watts * state.setup.charge_per_j for watts in power.above_idle()))
    )


def require_foreseeable(episodes: Episodes) -> None:
    """Raise :class:`PolicyError` where what comes, or what it costs, may depend on decisions."""
    if not isinstance(episodes, Episodes):
        raise PolicyError(
            f"episodes is {shown(episodes)}; it has to be Episodes, such as those of env.unwrapped.episodes."
        )
    if episodes.can_fail and episodes.learner is None:
        raise PolicyError(
            "The bound is proven for the package's own parts, and this environment has parts of a user's own, of "
            "which it knows nothing: make it without them."
        )
    for name, holds in DECIDED.items():
        if not holds(episodes.scenario):
            value = getattr(episodes.scenario, name)
            raise PolicyError(
                f"The bound is proven only where what comes does not depend on decisions, and here {name} is "
                f"{value!r}. The fields of SFL-Battery-v0 are such; without batteries, solve_exact bounds each "
                "round."
            )


def _require_that_states_pass(episodes: Episodes, now: Conditions) -> None:
    """Raise :class:`PolicyError` unless even the shortest round is far longer than what holds in between."""
    scenario, simulator = episodes.scenario, episodes.simulator
    alone = alone_s(round_problem(simulator.workload, simulator.resources, now)).min(axis=-1)
    # Without anybody a round lasts as long as the server waits.
    reached = np.ones(alone.shape, np.bool_) if now.takes_part is None else now.takes_part
    shortest = min(float(np.where(reached, alone, np.inf).min()), scenario.outage_wait_s)
    holds = {
        "availability_hold_s": scenario.availability_hold_s if len(set(scenario.availability_levels)) > 1 else 0
    }
    if scenario.blockage_fraction > 0.0 and scenario.blockage_loss_db > 0.0:
        holds["blockage_hold_s"] = scenario.blockage_hold_s
    for name, hold_s in holds.items():
        if hold_s * HOLDS_IN_A_ROUND > shortest:
            raise PolicyError(
                f"The bound is proven only where free speed and blockage are drawn anew in every round, and "
                f"{name} is {hold_s:g} s while a round may last {shortest:.3g} s: make it "
                f"{shortest / 100.0:.2g} s "
                "or less."
            )
