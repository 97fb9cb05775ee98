"""Trained agents as contestants: what their runs say of them, and how they are loaded."""

from pathlib import Path
from typing import Any

from sfl_baselines import Policy
from sfl_env import SFLVectorEnv
from sfl_env.errors import RunError
from sfl_env.storage import runs


def agent_settings(path: Path) -> dict[str, Any]:
    """Return the settings of the training run that an agent, a run's folder or a file in it, comes from.

    Raises
    ------
    RunError
        If there is no training run.
    """
    if not path.exists():
        raise RunError(f"{path} does not exist; name a folder that `sfl train` wrote.")
    folder = path if path.is_dir() else path.parent
    config = runs.read_config(folder)
    if config["kind"] != "train":
        raise RunError(f"{folder} holds a run of kind {config['kind']!r}; name one of `sfl train`.")
    settings: dict[str, Any] = config["settings"]
    return settings


def agent_action_mode(path: Path) -> str:
    """Return the action mode that an agent was trained with."""
    return str(agent_settings(path)["settings"]["action_mode"])


def load_agent(path: Path, env: SFLVectorEnv) -> Policy:
    """Load a trained agent; imports torch."""
    from sfl_agents import agent

    return agent.load(path, env)
