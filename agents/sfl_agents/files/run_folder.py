"""Folders of training runs, as they may come from anyone."""

from pathlib import Path
from typing import TYPE_CHECKING

from sfl_agents.files import published
from sfl_env.checks import shown
from sfl_env.errors import PolicyError, RunError
from sfl_env.storage import runs

if TYPE_CHECKING:
    from sfl_agents.training.job import Job

AGENT = "agent.zip"
"""The trained agent in a run's folder, there only once training has ended."""


def agent_file(path: Path) -> Path:
    """Return the file of the agent that a path stands for: a run's folder, a file, or a published agent.

    Raises
    ------
    RunError
        If it is not there.
    PolicyError
        If the folder is no training run's, or its training has not ended.
    """
    if published.is_published(path):
        return published.file_of(path)
    if not path.exists():
        raise RunError(f"{path} does not exist; name a training run's folder or an agent's file.")
    if not path.is_dir():
        return path
    job_of(path)
    file = path / AGENT
    if not file.is_file():
        raise PolicyError(
            f"{file} is not there: the training in {path} has not ended. Go on with it (resume=True)."
        )
    return file


def job_of(path: Path) -> "Job":
    """Return what the agent of a run's folder, or of a file, was trained for.

    Raises
    ------
    RunError
        If it is not there, or describes no training.
    PolicyError
        If it is a file and damaged, or the folder of a run of another kind.
    """
    # The settings are checked against the algorithms' own signatures, which takes torch.
    from sfl_agents.files import foreign
    from sfl_agents.files.agent_file import AgentFile
    from sfl_agents.training.job import KIND, Job

    if published.is_published(path):
        return AgentFile.open(published.file_of(path)).job
    if not path.exists():
        raise RunError(f"{path} does not exist; name a training run's folder or an agent's file.")
    if not path.is_dir():
        if not foreign.is_foreign(path):
            return AgentFile.open(path).job
        if not is_of_a_run(path):
            raise RunError(
                f"{path} is in Stable-Baselines3's own format, which does not say what its agent was trained for, "
                f"and no training run's {runs.CONFIG} lies beside it."
            )
        path = path.parent
    config = runs.read_config(path)
    if config["kind"] != KIND:
        raise PolicyError(f"{path} holds a run of kind {shown(config['kind'])}; name a training run's folder.")
    return Job.from_dict(config["settings"], path / runs.CONFIG)


def is_of_a_run(file: Path) -> bool:
    """Whether a training run's ``config.json`` lies beside a file."""
    from sfl_agents.training.job import KIND

    try:
        return bool(runs.read_config(file.parent)["kind"] == KIND)
    except RunError:
        return False


def version_beside(file: Path) -> str | None:
    """Return which older version of sfl-env started the run that a file lies in, if it is of one."""
    try:
        config = runs.read_config(file.parent)
    except RunError:
        return None
    return runs.written_by(config) if config["format"] < runs.FORMAT else None
