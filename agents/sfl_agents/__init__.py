"""Learned policies for sfl-env, and their training with Stable-Baselines3.

What is named here is imported on first use, since all of it needs torch.

Examples
--------
>>> import sfl_agents
>>> job = sfl_agents.Job("ppo", "SFL-v0", sfl_agents.settings_for("ppo", "SFL-v0"))
>>> job.settings.policy
'CutPointerPolicy'
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfl_agents.agent import action_mode_of, describe, load, observation_mode_of
    from sfl_agents.policies.cut_pointer import CutPointerPolicy
    from sfl_agents.policies.device_policy import DevicePolicy
    from sfl_agents.training.checkpoints import Milestone
    from sfl_agents.training.evaluation import Evaluation, evaluate
    from sfl_agents.training.job import Job
    from sfl_agents.training.settings import Settings
    from sfl_agents.training.settings import load as settings_for
    from sfl_agents.training.telling import about
    from sfl_agents.training.train import train
    from sfl_agents.vec_env import SFLVecEnv

__all__ = [
    "CutPointerPolicy",
    "DevicePolicy",
    "Evaluation",
    "Job",
    "Milestone",
    "SFLVecEnv",
    "Settings",
    "about",
    "action_mode_of",
    "describe",
    "evaluate",
    "load",
    "observation_mode_of",
    "settings_for",
    "train",
]

_HOMES = {
    "CutPointerPolicy": "policies.cut_pointer",
    "DevicePolicy": "policies.device_policy",
    "Evaluation": "training.evaluation",
    "Job": "training.job",
    "Milestone": "training.checkpoints",
    "SFLVecEnv": "vec_env",
    "Settings": "training.settings",
    "about": "training.telling",
    "action_mode_of": "agent",
    "describe": "agent",
    "evaluate": "training.evaluation",
    "load": "agent",
    "observation_mode_of": "agent",
    "settings_for": "training.settings",
    "train": "training.train",
}
_OTHER_NAMES = {"settings_for": "load"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), _OTHER_NAMES.get(name, name))


def __dir__() -> list[str]:
    return __all__
