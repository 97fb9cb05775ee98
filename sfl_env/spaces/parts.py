"""From a scenario's fields and options to what an agent touches, and what a user's own part replaces."""

from collections.abc import Callable, Mapping
from typing import Literal

from sfl_env.checks import choices_of, look_up, require_choice
from sfl_env.spaces.action import ActionEncoder, BandwidthSplitter, ContinuousAction, CutAction, DiscreteAction

ActionMode = Literal["continuous", "cut", "discrete"]

ACTION_MODES: tuple[str, ...] = choices_of(ActionMode)
"""Names of the action encoders that an environment can be made with."""

REPLACED: Mapping[str, tuple[str, ...]] = {
    "observation": (),
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


def action_encoder(mode: str, num_cuts: int, split: BandwidthSplitter) -> ActionEncoder:
    """Return the action encoder of one of :data:`ACTION_MODES`.

    Parameters
    ----------
    mode : str
        Its name.
    num_cuts : int
        C.
    split : callable
        Gives the shares where only cuts are chosen.

    Raises
    ------
    ScenarioError
        If there is none of this name.

    Examples
    --------
    >>> action_encoder("continuous", 4, None).space(3).shape
    (3, 2)
    """
    require_choice("action_mode", mode, ACTION_MODES)
    makers: Mapping[str, Callable[[], ActionEncoder]] = {
        "continuous": lambda: ContinuousAction(num_cuts),
        "cut": lambda: CutAction(num_cuts, split),
        "discrete": lambda: DiscreteAction(num_cuts),
    }
    return look_up("action mode", mode, makers)()
