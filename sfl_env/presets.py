"""The registered ids: each a few scenario fields on top of the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class Preset:
    """Fields that differ from the default scenario, and what they stand for."""

    about: str
    fields: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "SFL-v0": Preset("perfect CSI, independent rounds: the round-by-round optimum is the answer", {}),
    "SFL-SmallCell-v0": Preset(
        "20 mixed devices close to a street-level station, VGG-16, a wide band",
        {"model": "vgg16", "num_devices": 20, "bandwidth_hz": 40e6, "cell_radius_m": 50.0},
    ),
    "SFL-MacroCell-v0": Preset(
        "10 mixed devices in a macro cell, ResNet-34, a narrow band",
        {
            "model": "resnet34",
            "path_loss": "macro",
            "bandwidth_hz": 5e6,
            "cell_radius_m": 300.0,
            "min_distance_m": 35.0,
            "base_station_power_w": 40.0,
        },
    ),
    "SFL-IoT-v0": Preset(
        "20 gateways and single-board computers, VGG-16, small mini-batches",
        {
            "model": "vgg16",
            "num_devices": 20,
            "bandwidth_hz": 10e6,
            "cell_radius_m": 80.0,
            "batch_size": 16,
            "device_types": ("iot-gateway", "pi-zero-2", "raspberry-pi-4"),
            "device_weights": (1.0, 2.0, 3.0),
        },
    ),
    "SFL-Phones-v0": Preset(
        "15 phones whose users walk about, ResNet-18",
        {
            "num_devices": 15,
            "bandwidth_hz": 10e6,
            "cell_radius_m": 80.0,
            "mobility": "random-waypoint",
            "device_types": ("budget-phone", "flagship-phone"),
            "device_weights": (1.0, 1.0),
            "compute_spread": 2.0,
        },
    ),
    "SFL-StaleCSI-v0": Preset(
        "the observed channel is one round old", {"csi_delay_rounds": 1, "fading_correlation": 0.9}
    ),
    "SFL-Battery-v0": Preset(
        "rounds drain batteries; an empty device leaves the training",
        {"battery_j": 2_000.0, "dropout_weight": 3.0},
    ),
    "SFL-Barrier-v0": Preset(
        "every phase waits for all devices, the server takes their jobs in turn", {"synchronised_phases": True}
    ),
    "SFL-Accuracy-v0": Preset(
        "every step trains a small network on handwritten digits until its test accuracy is 95 %",
        {
            "mode": "accuracy",
            "target_accuracy": 0.95,
            "batch_size": 16,
            "bandwidth_hz": 10e6,
            "device_types": ("iot-gateway", "pi-zero-2", "raspberry-pi-4"),
            "device_weights": (2.0, 1.0, 1.0),
        },
    ),
}
"""Ids and their presets."""

BATCHED_IDS = tuple(name for name, preset in PRESETS.items() if preset.fields.get("mode") != "accuracy")
"""Ids with a batched environment; where networks are trained, a batch is single environments in turn."""


def register_all() -> None:
    """Register the ids of :data:`PRESETS` with Gymnasium; ids that are there already stay as they are."""
    for name, preset in PRESETS.items():
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point="sfl_env.env:SFLEnv",
                vector_entry_point="sfl_env.vector_env:SFLVectorEnv" if name in BATCHED_IDS else None,
                kwargs=dict(preset.fields),
            )
