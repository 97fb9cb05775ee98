"""Environments as the command line names them, and which seeds are for what."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from sfl_baselines.policies import episodes_of
from sfl_env import SFLVectorEnv
from sfl_env.errors import PolicyError, ScenarioError, nearest_name
from sfl_env.presets import PRESETS

HELD_OUT_SEED = 1_000_000
"""Training uses seeds from 0 to below this one; evaluation with seed s uses this one plus s. The two never
meet, so every evaluation is on episodes that no agent has been trained on."""


def held_out_seed(seed: int) -> int:
    """Return the generator's seed for evaluation number ``seed``.

    Raises
    ------
    ScenarioError
        If the number is negative or as large as :data:`HELD_OUT_SEED`.

    Examples
    --------
    >>> held_out_seed(3)
    1000003
    """
    return HELD_OUT_SEED + training_seed(seed)


def training_seed(seed: int) -> int:
    """Return a training run's seed once it is known to be one.

    Raises
    ------
    ScenarioError
        If the number is negative or as large as :data:`HELD_OUT_SEED`.
    """
    if not 0 <= seed < HELD_OUT_SEED:
        raise ScenarioError(f"--seed is {seed}; it has to be from 0 to {HELD_OUT_SEED - 1}.")
    return seed


def make_batch(
    env_id: str, num_envs: int, fields: Mapping[str, Any] | None = None, **options: Any
) -> SFLVectorEnv:
    """Make a batched environment of a registered id.

    Parameters
    ----------
    env_id : str
        One of this package's ids or, as ``module:id``, one that the module registers.
    num_envs : int
        Environments side by side.
    fields : mapping, optional
        Scenario fields to override.
    **options
        Further arguments of :func:`gymnasium.make_vec`.

    Raises
    ------
    ScenarioError
        If the id is not registered or a field is wrong.
    PolicyError
        If the environment is of another package.

    Examples
    --------
    >>> make_batch("SFL-v0", 2, {"num_devices": 3}).observation_space.shape
    (2, 3, 7)
    >>> make_batch("SFL-v1", 2)
    Traceback (most recent call last):
        ...
    sfl_env.errors.ScenarioError: Unknown environment id 'SFL-v1' (did you mean 'SFL-v0'?); known are SFL-v0, ...
    """
    module, _, name = env_id.rpartition(":")
    if not module and name not in gym.registry:
        raise ScenarioError(
            f"Unknown environment id {env_id!r}{nearest_name(name, PRESETS)}; known are {', '.join(PRESETS)}, "
            "and MODULE:ID for one that a module of yours registers."
        )
    try:
        envs = gym.make_vec(env_id, num_envs=num_envs, **options, **(fields or {}))
    except (gym.error.Error, ImportError, TypeError) as error:
        # A type error comes from environments of other packages, which do not know these options.
        raise ScenarioError(f"{env_id} cannot be made as an environment of sfl_env's: {error}") from error
    core = envs.unwrapped
    if not isinstance(core, SFLVectorEnv):
        episodes_of(core)
        raise PolicyError(f"{env_id} has no batched environment of sfl_env's behind gym.make_vec.")
    return core


def parse_fields(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn ``name=value`` texts into scenario fields; values are JSON or Python literals, else plain text.

    Raises
    ------
    ScenarioError
        For a text without ``=`` or a name given twice.

    Examples
    --------
    >>> parse_fields(["num_devices=30", "bandwidth_hz=50e6", "model=resnet18", "battery_j=None"])
    {'num_devices': 30, 'bandwidth_hz': 50000000.0, 'model': 'resnet18', 'battery_j': None}
    >>> parse_fields(['device_types=["laptop"]', "synchronised_phases=true"])
    {'device_types': ['laptop'], 'synchronised_phases': True}
    """
    fields: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ScenarioError(f"The scenario field {text!r} has to be written as name=value.")
        if name in fields:
            raise ScenarioError(f"The scenario field {name!r} is given twice.")
        fields[name] = _literal(value)
    return fields


def _literal(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text
