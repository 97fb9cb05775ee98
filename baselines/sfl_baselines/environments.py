"""Environments by their ids, and which seeds are for what."""

import copy
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sfl_env import Scenario, SFLEnv, SFLVectorEnv
from sfl_env.checks import require_known
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError, ScenarioError
from sfl_env.presets import PRESETS, fields_of

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
        raise ScenarioError(f"seed is {seed}; it has to be from 0 to {HELD_OUT_SEED - 1}.")
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
    (2, 3, 10)
    >>> make_batch("SFL-v1", 2)
    Traceback (most recent call last):
        ...
    sfl_env.errors.ScenarioError: Unknown environment id 'SFL-v1' (did you mean 'SFL-v0'?); known are SFL-v0, ...
    """
    fields = dict(fields or {})
    spec = find_spec(env_id)
    if mode_of(env_id, fields) == "accuracy":
        network = scenario_of(env_id, fields).network
        raise ScenarioError(
            f"{env_id} trains a network in every environment and has no batch. Train agents on the lengths of "
            f"its rounds, with the fields mode=latency and model={network}, and compare what is learnt under them "
            "in accuracy mode."
        )
    with _made_here(env_id):
        core = gym.make_vec(spec, num_envs=num_envs, **options, **fields).unwrapped
    if not isinstance(core, SFLVectorEnv):
        episodes_of(core)
        raise PolicyError(
            f"{env_id} has no batched environment of sfl_env's behind gym.make_vec: register it with "
            "vector_entry_point='sfl_env.presets:make_batch'."
        )
    return core


def make_single(env_id: str, fields: Mapping[str, Any] | None = None, **options: Any) -> SFLEnv:
    """Make a single environment of a registered id, without Gymnasium's wrappers.

    Parameters
    ----------
    env_id, fields
        As for :func:`make_batch`.
    **options
        Further arguments of :func:`gymnasium.make`.

    Raises
    ------
    ScenarioError
        If the id is not registered or a field is wrong.
    PolicyError
        If the environment is of another package.
    """
    spec = find_spec(env_id)
    with _made_here(env_id):
        core = gym.make(spec, **options, **(fields or {})).unwrapped
    if not isinstance(core, SFLEnv):
        raise PolicyError(f"{env_id} is no environment of sfl_env's.")
    return core


def mode_of(env_id: str, fields: Mapping[str, Any]) -> str:
    """Return whether an id with some fields overridden simulates ``"latency"`` alone or ``"accuracy"`` too.

    Examples
    --------
    >>> mode_of("SFL-v0", {}), mode_of("SFL-v0", {"mode": "accuracy"}), mode_of("SFL-Accuracy-v0", {})
    ('latency', 'accuracy', 'accuracy')
    """
    return str({**fields_of(**find_spec(env_id).kwargs), **fields}.get("mode", Scenario.mode))


def scenario_of(env_id: str, fields: Mapping[str, Any]) -> Scenario:
    """Return the scenario of an id with some fields overridden.

    Raises
    ------
    ScenarioError
        If the id is not registered or a field is wrong.

    Examples
    --------
    >>> scenario_of("SFL-Deadline-v0", {"num_devices": 3}).deadline_s
    90.0
    """
    return Scenario().replace(**_scenario_fields({**fields_of(**find_spec(env_id).kwargs), **fields}))


def find_spec(env_id: str) -> EnvSpec:
    """Return a copy of what is registered under an id, or under ``module:id`` by a module.

    Raises
    ------
    ScenarioError
        If nothing is.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        # What runs there is the module's own code, which may raise anything at all and may end the process.
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise ScenarioError(
                f"{env_id} cannot be made, as {module} cannot be imported ({type(error).__name__}: {error})."
            ) from error
    if name not in gym.registry:
        require_known("environment id", env_id, PRESETS, otherwise="MODULE:ID for one that your module registers")
    return copy.deepcopy(gym.registry[name])


def _scenario_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in Scenario.__dataclass_fields__}


@contextmanager
def _made_here(env_id: str) -> Iterator[None]:
    try:
        yield
    except (gym.error.Error, ImportError, TypeError) as error:
        # A type error comes from environments of other packages, which do not know these options.
        raise ScenarioError(f"{env_id} cannot be made as an environment of sfl_env's: {error}") from error


def episodes_of(env: Any) -> Episodes:
    """Return the episodes that an environment of this package runs, wrapped or not.

    Raises
    ------
    PolicyError
        If it is an environment of another kind.
    """
    core = getattr(env, "unwrapped", env)
    # Stable-Baselines3's view of the batched environment holds the batch as ``envs``.
    for holder in (core, getattr(core, "envs", None)):
        episodes = getattr(holder, "episodes", None)
        if isinstance(episodes, Episodes):
            return episodes
    raise PolicyError(
        f"{env} is no environment of sfl_env's: make it with gym.make or gym.make_vec and one of its ids."
    )
