"""The algorithms of Stable-Baselines3 that fit the environment, and the policies they can be given."""

from typing import Any

from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from sfl_agents.policies.device_policy import DevicePolicy
from sfl_env.checks import nearest_name
from sfl_env.errors import TrainingError

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"a2c": A2C, "ddpg": DDPG, "ppo": PPO, "sac": SAC, "td3": TD3}
"""Names on the command line and in settings."""

ON_POLICY = ("a2c", "ppo")
"""Those whose policy is an actor-critic one, as :class:`DevicePolicy` is, and that take any action mode."""

POLICIES: dict[str, str | type[Any]] = {"DevicePolicy": DevicePolicy, "MlpPolicy": "MlpPolicy"}
"""Names in settings."""


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
    sfl_env.errors.TrainingError: Unknown algorithm 'poo' (did you mean 'ppo'?); known: a2c, ddpg, ppo, sac, td3.
    """
    if name not in ALGORITHMS:
        raise TrainingError(
            f"Unknown algorithm {name!r}{nearest_name(name, ALGORITHMS)}; known: {', '.join(ALGORITHMS)}."
        )
    return ALGORITHMS[name]
