"""What is true of a state, and what agents see of it."""

import numpy as np

from sfl_env.arrays import Array
from sfl_env.learning.protocol import Progress, Score
from sfl_env.learning.surrogate import Learnt
from sfl_env.rounds.conditions import Conditions
from sfl_env.simulation.simulator import Simulator, State
from sfl_env.spaces.scales import Rows
from sfl_env.spaces.view import View


def see(
    simulator: Simulator, progress_steps: Rows, state: State, learning: Progress | None
) -> tuple[Conditions, Conditions, View]:
    """Return the conditions of a state, true and observed, and the view that agents have of it."""
    present = simulator.conditions(state)
    observed = simulator.observed_conditions(state, present)
    true = asked(present, observed)
    # A single environment may be stepped past its last round, where the progress stays 1.
    progress = progress_steps.take(state.round, mode="clip")
    setup = state.setup
    learnt = state.learnt.done if isinstance(state.learnt, Learnt) else None
    charge_per_j = setup.charge_per_j
    view = View(observed, setup.devices, state.charge, charge_per_j, progress, learning, learnt)
    return true, observed, view


def asked(present: Conditions, observed: Conditions) -> Conditions:
    """Return the present conditions without the devices that the server holds for unreachable.

    Decisions give a device that is observed to be out no band, so it cannot take part although an old channel is
    all that speaks against it.
    """
    seen, there = observed.takes_part, present.takes_part
    if observed is present or seen is None:
        return present
    return present._replace(takes_part=seen if there is None else there & seen)


def progress_of(score: Score, elapsed_s: Array) -> Progress:
    """Return how far the learning of one environment has come, by the score of its network."""
    return Progress(np.array([score.accuracy]), np.array([score.loss]), elapsed_s)
