"""What is true of a state, and what agents see of it."""

from typing import NamedTuple

from sfl_env.learning.protocol import Progress
from sfl_env.rounds.conditions import Conditions
from sfl_env.simulation.simulator import Simulator, State
from sfl_env.spaces.observation import Rows
from sfl_env.spaces.view import View


class Seen(NamedTuple):
    """The conditions of the round that comes next, and the view that agents have of it."""

    true: Conditions
    observed: Conditions
    view: View


def see(simulator: Simulator, progress_steps: Rows, state: State, learning: Progress | None) -> Seen:
    """Return the conditions of a state, true and observed, and the view that agents have of it."""
    true = simulator.conditions(state)
    observed = simulator.observed_conditions(state, true)
    # A single environment may be stepped past its last round, where the progress stays 1.
    progress = progress_steps.take(state.round, mode="clip")
    return Seen(true, observed, View(observed, state.setup.devices, state.charge, progress, learning))
