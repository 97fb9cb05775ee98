"""Register every preset with Gymnasium, as often as one likes."""

import gymnasium as gym

from sfl_env.presets import BATCHED_IDS, PRESETS


def register_all() -> None:
    """Register the ids of :data:`sfl_env.presets.PRESETS`; ids that are there already stay as they are."""
    for name, preset in PRESETS.items():
        if name not in gym.registry:
            gym.register(
                id=name,
                entry_point="sfl_env.env:SFLEnv",
                vector_entry_point="sfl_env.vector_env:SFLVectorEnv" if name in BATCHED_IDS else None,
                kwargs=dict(preset.fields),
            )
