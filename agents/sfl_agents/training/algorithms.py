"""The algorithms of Stable-Baselines3 that fit the environment, and the policies they can be given."""

import inspect
from typing import Any

from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from sfl_agents.policies.device_policy import DevicePolicy
from sfl_env.checks import look_up
from sfl_env.errors import TrainingError

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"a2c": A2C, "ddpg": DDPG, "ppo": PPO, "sac": SAC, "td3": TD3}
"""Names on the command line and in settings."""

ON_POLICY = ("a2c", "ppo")
"""Those whose policy is an actor-critic one, as :class:`DevicePolicy` is, and that take any action mode."""

POLICIES: dict[str, str | type[Any]] = {"DevicePolicy": DevicePolicy, "MlpPolicy": "MlpPolicy"}
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
        If it is not known, with those that are.

    Examples
    --------
    >>> algorithm("ppo").__name__
    'PPO'
    >>> algorithm("poo")
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: Unknown algorithm 'poo' (did you mean 'ppo'?); known are a2c, ddpg,
    ppo, sac, td3.
    """
    return look_up("algorithm", name, ALGORITHMS, TrainingError)


def default_of(algo: str, hyperparameter: str) -> Any:
    """Return what an algorithm takes for a hyperparameter that the settings leave out.

    Examples
    --------
    >>> default_of("ppo", "n_steps")
    2048
    """
    return inspect.signature(algorithm(algo)).parameters[hyperparameter].default
