"""The algorithms that fit the environment, and the policies they can be given."""

import importlib
import inspect
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sfl_agents.policies.cut_pointer import CutPointerPolicy
from sfl_agents.policies.device_policy import DevicePolicy
from sfl_env.checks import look_up
from sfl_env.errors import TrainingError

ALGORITHMS: dict[str, str] = {
    "a2c": "stable_baselines3:A2C",
    "ddpg": "stable_baselines3:DDPG",
    "imitation": "sfl_agents.training.taught.imitation:Imitation",
    "maskable-ppo": "sb3_contrib:MaskablePPO",
    "physics": "sfl_agents.training.taught.physics:Physics",
    "ppo": "stable_baselines3:PPO",
    "recurrent-ppo": "sb3_contrib:RecurrentPPO",
    "sac": "stable_baselines3:SAC",
    "td3": "stable_baselines3:TD3",
}
"""Names on the command line and in settings, and their classes as ``module:class``."""

CONTRIB = "contrib"
"""The extra of this package that brings ``sb3_contrib``."""

TAUGHT = ("imitation", "physics")
"""Those that are told more than the reward, see :mod:`sfl_agents.training.taught`."""

FROM_REWARD = "from reward alone"

WAYS: dict[str, str] = {"imitation": "imitation of the solver", "physics": "gradients through the known physics"}
"""What the agents of :data:`TAUGHT` learn from; all others learn from what any environment gives them."""

ON_POLICY = ("a2c", *TAUGHT, "maskable-ppo", "ppo", "recurrent-ppo")
"""Those that learn from rollouts of the present policy."""

MASKING = "maskable-ppo"
"""Takes choices among options alone, and never one that :meth:`SFLEnv.action_masks` masks."""

RECURRENT = "recurrent-ppo"
"""Remembers the rounds before by an LSTM."""

OWN = "this package"

LOADED_BY = {"stable_baselines3": "Stable-Baselines3", "sb3_contrib": "sb3-contrib"}

CARRIES_OVER = "CutPointerPolicy"
"""Acts for any number of devices and cuts, on rows of the problem."""

POLICIES: dict[str, str | type[Any]] = {
    "CutPointerPolicy": CutPointerPolicy,
    "DevicePolicy": DevicePolicy,
    "MlpLstmPolicy": "MlpLstmPolicy",
    "MlpPolicy": "MlpPolicy",
}
"""Names in settings."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (nn.ELU, nn.GELU, nn.LeakyReLU, nn.ReLU, nn.SiLU, nn.Tanh)
}
"""Names in settings, torch's own."""


def algorithm(name: str) -> type[BaseAlgorithm]:
    """Return an algorithm's class.

    Raises
    ------
    TrainingError
        If it is not known, with those that are, or if it is of an extra that is not installed.

    Examples
    --------
    >>> algorithm("ppo").__name__
    'PPO'
    >>> algorithm("poo")
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: Unknown algorithm 'poo' (did you mean 'ppo'?); known are a2c, ddpg,
    imitation, maskable-ppo, physics, ppo, recurrent-ppo, sac, td3.
    """
    module, _, class_name = look_up("algorithm", name, ALGORITHMS, TrainingError).partition(":")
    try:
        found: type[BaseAlgorithm] = getattr(importlib.import_module(module), class_name)
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"{name} is an algorithm of {LOADED_BY[module]}, which is not installed; it comes with the extra "
            f"{CONTRIB!r}: pip install 'sfl-env[{CONTRIB}]'."
        ) from error
    return found


def library_of(name: str) -> str:
    """Return the library that an algorithm is of.

    Examples
    --------
    >>> library_of("ppo"), library_of("maskable-ppo"), library_of("physics")
    ('Stable-Baselines3', 'sb3-contrib', 'this package')
    """
    return LOADED_BY.get(ALGORITHMS[name].partition(":")[0], OWN)


def way_of(name: str) -> str:
    """Return what an algorithm's agents learn from.

    Examples
    --------
    >>> way_of("ppo"), way_of("imitation")
    ('from reward alone', 'imitation of the solver')
    """
    return WAYS.get(name, FROM_REWARD)


def policies_of(algo: str) -> tuple[str, ...]:
    """Return the names of the policies that an algorithm can be given.

    Examples
    --------
    >>> policies_of("maskable-ppo"), policies_of("recurrent-ppo"), policies_of("sac")
    (('DevicePolicy', 'MlpPolicy'), ('MlpLstmPolicy',), ('CutPointerPolicy', 'MlpPolicy'))
    """
    if algo in TAUGHT:
        return (CARRIES_OVER,)
    if algo == "sac":
        return (CARRIES_OVER, "MlpPolicy")
    if algo == RECURRENT:  # whose state is one of an environment, not of a device
        return ("MlpLstmPolicy",)
    if algo not in ON_POLICY:  # DevicePolicy is an actor-critic policy
        return ("MlpPolicy",)
    kept_out = ("MlpLstmPolicy", *((CARRIES_OVER,) if algo == MASKING else ()))
    return tuple(name for name in POLICIES if name not in kept_out)


def policy_class(algo: str, policy: str) -> str | type[Any]:
    """Return what an algorithm's class takes as its policy."""
    if algo == MASKING and policy == "DevicePolicy":
        from sfl_agents.policies.maskable_policy import MaskableDevicePolicy

        return MaskableDevicePolicy
    if algo == "sac" and policy == CARRIES_OVER:
        from sfl_agents.policies.cut_pointer_sac import CutPointerSACPolicy

        return CutPointerSACPolicy
    return POLICIES[policy]


def default_of(algo: str, hyperparameter: str) -> Any:
    """Return what an algorithm takes for a hyperparameter that the settings leave out.

    Examples
    --------
    >>> default_of("ppo", "n_steps")
    2048
    """
    return inspect.signature(algorithm(algo)).parameters[hyperparameter].default
