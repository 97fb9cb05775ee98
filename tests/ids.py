"""Which ids the tests go through."""

from typing import Any

from sfl_env.presets import PRESETS

BATCHED_IDS = tuple(name for name, preset in PRESETS.items() if preset.fields.get("mode") != "accuracy")
"""Ids whose batch is one array program; where networks are trained, it is single environments in turn."""

OWN_CONSTANTS = {"SFL-TimeToAccuracy-v0": {"surrogate_rounds": (4.0, 2.0, 1.0, 0.0, 1.0), "surrogate_spread": 0.2}}
"""What an id needs beside fields that its measured constants do not hold for."""


def with_constants(env_id: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields to make an id with that may be others than those of its measured constants."""
    return OWN_CONSTANTS.get(env_id, {}) | fields
