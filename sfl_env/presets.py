"""The registered ids: each a few scenario fields on top of the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Fields that differ from the default scenario, and what they stand for."""

    about: str
    fields: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "SFL-v0": Preset("perfect CSI, independent rounds: the round-by-round optimum is the answer", {}),
    "SFL-StaleCSI-v0": Preset(
        "the observed channel is one round old", {"csi_delay_rounds": 1, "fading_correlation": 0.9}
    ),
    "SFL-Battery-v0": Preset(
        "rounds drain batteries; an empty device leaves the training",
        {"battery_j": 20_000.0, "dropout_weight": 1.0},
    ),
    "SFL-Barrier-v0": Preset(
        "every phase waits for all devices, the server takes their jobs in turn", {"synchronised_phases": True}
    ),
}
"""Ids and their presets."""
