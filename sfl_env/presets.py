"""The registered ids: each a few scenario fields on top of the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym

from sfl_env.scenario import Scenario


@dataclass(frozen=True)
class Preset:
    """Fields that differ from the default scenario, and what they stand for."""

    about: str
    fields: Mapping[str, Any]
    modes: Mapping[str, str] = field(default_factory=dict)  # of observations and actions, where not the default


PRESETS: Mapping[str, Preset] = {
    "SFL-v0": Preset("perfect CSI, nothing runs out: the round-by-round optimum is the answer", {}),
    "SFL-Bandit-v0": Preset(
        "rounds of SFL-v0 one at a time, with the modes that stock agents learn best in",
        {"max_rounds": 1},
        {"observation_mode": "problem", "action_mode": "residual"},
    ),
    "SFL-SmallCell-v0": Preset(
        "20 mixed devices whose users walk about close to a street-level station, VGG-16, a wide band",
        {
            "model": "vgg16",
            "num_devices": 20,
            "bandwidth_hz": 100e6,
            "cell_radius_m": 50.0,
            "mobility": "random-waypoint",
        },
    ),
    "SFL-MacroCell-v0": Preset(
        "10 mixed devices in a macro cell, ResNet-34",
        {
            "model": "resnet34",
            "path_loss": "macro",
            "cell_radius_m": 200.0,
            "min_distance_m": 35.0,
            "base_station_power_w": 40.0,
        },
    ),
    "SFL-IoT-v0": Preset(
        "20 gateways and single-board computers, VGG-16, small mini-batches",
        {
            "model": "vgg16",
            "num_devices": 20,
            "bandwidth_hz": 20e6,
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
            "bandwidth_hz": 15e6,
            "cell_radius_m": 80.0,
            "mobility": "random-waypoint",
            "device_types": ("budget-phone", "flagship-phone"),
            "device_weights": (1.0, 1.0),
            "compute_spread": 2.0,
        },
    ),
    "SFL-StaleCSI-v0": Preset(
        "links fade in blocks of a round, and the observed channel is one round old",
        {
            "csi_delay_rounds": 1,
            "fading": "block",
            "rician_k_db": -40.0,
            "fading_correlation": 0.5,
            "blockage_fraction": 0.0,
            "cell_radius_m": 80.0,
            "narrowest_band_hz": 1.44e6,
        },
    ),
    "SFL-Battery-v0": Preset(
        "phones that have to ration their batteries; who has left is paid for to the last round",
        {
            "max_rounds": 30,
            "cell_radius_m": 45.0,
            "device_types": ("flagship-phone",),
            "device_weights": (1.0,),
            "compute_spread": 1.2,
            # Drawn anew in every round, so that what comes does not depend on decisions, and a bound is known.
            "availability_levels": (0.5, 1.0),
            "availability_hold_s": 0.1,
            "blockage_hold_s": 0.1,
            "battery_share": 0.095,
        },
    ),
    "SFL-Barrier-v0": Preset(
        "devices wait for each other between AdaptSFL's five stages, the server takes their jobs in turn",
        {"barriers": "adaptsfl"},
    ),
    "SFL-Deadline-v0": Preset(
        "who is late for the deadline is left out: whose samples are worth their part of the band",
        {"deadline_s": 90.0, "batch_size_spread": 2.0, "missed_weight": 1.5},
    ),
    "SFL-Accuracy-v0": Preset(
        "every step trains a small network on handwritten digits until its test accuracy is 95 %",
        {
            "mode": "accuracy",
            "target_accuracy": 0.95,
            "batch_size": 16,
            "bandwidth_hz": 3e6,
            "device_types": ("iot-gateway", "raspberry-pi-4", "laptop"),
            "device_weights": (1.0, 1.0, 1.0),
        },
    ),
    "SFL-TimeToAccuracy-v0": Preset(
        "rounds advance a fitted surrogate of learning from skewed data, which deeper cuts slow down, until it "
        "stands for 95 % accuracy; mode='accuracy' trains the network itself",
        {
            "learning_surrogate": True,
            "model": "digits-cnn",
            "target_accuracy": 0.95,
            "partition": "dirichlet",
            "partition_concentration": 0.1,
            "learning_rate": 0.1,
            "momentum": 0.0,
            "batch_size": 16,
            "local_iterations": 16,
            "bandwidth_hz": 1e6,
            "device_types": ("iot-gateway", "raspberry-pi-4", "laptop"),
            "device_weights": (1.0, 1.0, 1.0),
        },
    ),
}
"""Ids and their presets."""


def register_all() -> None:
    """Register the ids of :data:`PRESETS` with Gymnasium; ids that are there already stay as they are.

    The fields stand under ``preset``, apart from what users say, so that an own part may replace them.
    """
    for name, preset in PRESETS.items():
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point="sfl_env.env:SFLEnv",
                vector_entry_point="sfl_env.presets:make_batch",
                kwargs={"preset": {**preset.fields, **preset.modes}} if preset.fields else {},
            )


def make_batch(num_envs: int = 1, **options: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Return what ``gym.make_vec`` makes of an id: one batch, or single environments where networks are trained.

    Parameters
    ----------
    num_envs : int
        N.
    **options
        As for :class:`~sfl_env.vector_env.SFLVectorEnv`; in accuracy mode as for :class:`~sfl_env.env.SFLEnv`,
        beside ``autoreset_mode`` and ``max_episode_steps``.

    Examples
    --------
    >>> make_batch(3).num_envs
    3
    """
    from sfl_env.env import SFLEnv
    from sfl_env.vector_env import SFLVectorEnv, restarting, with_length

    mode = fields_of(**options).get("mode")
    if not (isinstance(mode, str) and mode == "accuracy"):
        return SFLVectorEnv(num_envs, **options)
    autoreset_mode = restarting(num_envs, options.pop("autoreset_mode", gym.vector.AutoresetMode.NEXT_STEP))
    options = with_length(options, options.pop("max_episode_steps", None))
    return gym.vector.SyncVectorEnv([partial(SFLEnv, **options)] * int(num_envs), autoreset_mode=autoreset_mode)


def fields_of(scenario: Any = None, preset: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return the fields and options that an environment's arguments come to, right or wrong.

    Examples
    --------
    >>> fields_of(preset={"mode": "accuracy", "num_devices": 3}, mode="latency")
    {'mode': 'latency', 'num_devices': 3}
    """
    whole = scenario.to_dict() if isinstance(scenario, Scenario) else {}
    return {**whole, **(preset or {}), **options}
