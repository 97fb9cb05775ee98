"""The settings in a file of Stable-Baselines3's own, in words that are the same where the settings are."""

import hashlib
import re
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from stable_baselines3.common.noise import ActionNoise

_OF_THE_RUN = frozenset(
    {
        "action_space",
        "lr_schedule",
        "num_timesteps",
        "observation_space",
        "policy_class",
        "seed",
        "start_time",
        "tensorboard_log",
        "verbose",
    }
)
"""Entries that are no settings, or are told apart from them."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def settings_in(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings among the entries of a file.

    Examples
    --------
    >>> settings_in({"gamma": 0.9, "clip_range": lambda left: 0.2, "seed": 3, "_n_updates": 7}).keys()
    dict_keys(['gamma', 'clip_range'])
    """
    return {
        name: _in_words(value)
        for name, value in data.items()
        if not name.startswith("_") and name not in _OF_THE_RUN and _is_setting(value)
    }


def _is_setting(value: Any) -> bool:
    return callable(value) or isinstance(value, bool | int | float | str | tuple | dict | ActionNoise | None)


def _in_words(value: Any) -> str:
    while hasattr(value, "value_schedule"):  # Stable-Baselines3 wraps what it was given
        value = value.value_schedule
    if not isinstance(value, FunctionType):
        return _ADDRESS.sub("", repr(value))
    # A schedule's text says where it lies in memory; what tells it from others is what it does.
    code, cells = value.__code__, [_in_words(cell.cell_contents) for cell in value.__closure__ or ()]
    does = _ADDRESS.sub("", repr((code.co_code, code.co_names, code.co_consts, value.__defaults__, cells)))
    return f"{value.__qualname__} {hashlib.sha256(does.encode()).hexdigest()[:8]}"
