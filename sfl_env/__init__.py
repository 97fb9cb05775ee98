"""Gymnasium environment for resource allocation in split federated learning over wireless networks.

Importing the package registers its ids, so that ``gym.make("SFL-v0")`` works.

Examples
--------
>>> import gymnasium as gym
>>> import sfl_env
>>> env = gym.make("SFL-v0", num_devices=5)
>>> observation, info = env.reset(seed=0)
>>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
>>> len(info["device_latency_s"])
5
"""

from typing import TYPE_CHECKING, Any

from sfl_env.dnn.profile import DNNProfile
from sfl_env.env import SFLEnv
from sfl_env.errors import DecisionError, ProblemError, ProfileError, ScenarioError, SFLError
from sfl_env.presets import register_all
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.scenario import Scenario
from sfl_env.vector_env import SFLVectorEnv

if TYPE_CHECKING:
    from sfl_env.dnn.measure import profile

__version__ = "0.1.0"

__all__ = [
    "DNNProfile",
    "Decision",
    "DecisionError",
    "ProblemError",
    "ProfileError",
    "RoundProblem",
    "SFLEnv",
    "SFLError",
    "SFLVectorEnv",
    "Scenario",
    "ScenarioError",
    "profile",
]

register_all()


def __getattr__(name: str) -> Any:
    # Measuring a network needs torch, which nothing else here does.
    if name == "profile":
        from sfl_env.dnn.measure import profile

        return profile
    raise AttributeError(f"module 'sfl_env' has no attribute {name!r}")
