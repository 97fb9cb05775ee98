"""Which ids the tests go through."""

from sfl_env.presets import PRESETS

BATCHED_IDS = tuple(name for name, preset in PRESETS.items() if preset.fields.get("mode") != "accuracy")
"""Ids whose batch is one array program; where networks are trained, it is single environments in turn."""
