"""From a scenario's fields and options to what an agent touches, and what a user's own part replaces."""

from collections.abc import Callable, Mapping
from typing import Literal

from sfl_env.checks import choices_of, look_up, require_choice
from sfl_env.spaces.action import ActionEncoder, BandwidthSplitter, ContinuousAction, CutAction, DiscreteAction
from sfl_env.spaces.observation import DeviceRows, ObservationEncoder
from sfl_env.spaces.phase_seconds import PhaseSeconds
from sfl_env.spaces.problem_rows import ProblemRows
from sfl_env.spaces.residual_action import ResidualAction
from sfl_env.spaces.sensible import SensibleDecisions

ActionMode = Literal["continuous", "residual", "cut", "discrete"]

ObservationMode = Literal["devices", "problem"]

ACTION_MODES: tuple[str, ...] = choices_of(ActionMode)
"""Names of the action encoders that an environment can be made with."""

OBSERVATION_MODES: tuple[str, ...] = choices_of(ObservationMode)
"""Names of the observation encoders."""

REPLACED: Mapping[str, tuple[str, ...]] = {
    "observation": ("observation_mode",),
    "action": ("action_mode",),
    "reward": (
        "reference_latency_s",
        "reference_energy_j",
        "latency_weight",
        "energy_weight",
        "dropout_weight",
        "missed_weight",
    ),
}
"""Keyword of each part that a user may bring, and the fields or keywords that it replaces."""


def action_encoder(
    mode: str, num_cuts: int, split: BandwidthSplitter, sensible: SensibleDecisions
) -> ActionEncoder:
    """Return the action encoder of one of :data:`ACTION_MODES`.

    Parameters
    ----------
    mode : str
        Its name.
    num_cuts : int
        C.
    split : callable
        Gives the shares where only cuts are chosen.
    sensible : SensibleDecisions
        What residual actions are relative to.

    Raises
    ------
    ScenarioError
        If there is none of this name.

    Examples
    --------
    >>> action_encoder("continuous", 4, None, None).space(3).shape
    (3, 2)
    """
    require_choice("action_mode", mode, ACTION_MODES)
    makers: Mapping[str, Callable[[], ActionEncoder]] = {
        "continuous": lambda: ContinuousAction(num_cuts),
        "residual": lambda: ResidualAction(num_cuts, sensible),
        "cut": lambda: CutAction(num_cuts, split),
        "discrete": lambda: DiscreteAction(num_cuts),
    }
    return look_up("action mode", mode, makers)()


def observation_encoder(
    mode: str,
    absolute: DeviceRows,
    sensible: SensibleDecisions,
    reference_s: float,
    max_rounds: int,
    phases: PhaseSeconds | None = None,
) -> ObservationEncoder:
    """Return the observation encoder of one of :data:`OBSERVATION_MODES`.

    Parameters
    ----------
    mode : str
        Its name.
    absolute : DeviceRows
        The default encoder.
    sensible : SensibleDecisions
        What problem rows are relative to.
    reference_s : float
        Seconds of a nominal round.
    max_rounds : int
        Rounds of an episode.
    phases : PhaseSeconds, optional
        What problem rows tell of the phases, where devices wait for each other between stages.

    Raises
    ------
    ScenarioError
        If there is none of this name.

    Examples
    --------
    >>> observation_encoder("devices", DeviceRows(4, with_battery=False), None, 1.0, 20).space(3).shape
    (3, 10)
    """
    require_choice("observation_mode", mode, OBSERVATION_MODES)
    makers: Mapping[str, Callable[[], ObservationEncoder]] = {
        "devices": lambda: absolute,
        "problem": lambda: ProblemRows(absolute, sensible, reference_s, max_rounds, phases),
    }
    return look_up("observation mode", mode, makers)()
