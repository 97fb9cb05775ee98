"""Trained agents in files and run folders: what they are, and loaded to act."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfl_agents.files import run_folder
from sfl_env.errors import RunError
from sfl_env.storage import runs

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from sfl_agents.training.job import Job

AGENT = run_folder.AGENT


def load(path: Path | str, env: Any, *, trust: bool = False) -> "BaseAlgorithm":
    """Load the agent of a training run, to act in an environment.

    Nothing in a file that this package wrote can run code, and sizes are checked before anything is read.

    Parameters
    ----------
    path : path
        Folder of a finished run of ``sfl train`` or that ``sfl publish`` has written, an agent's file, or
        ``pretrained:ID`` for an agent that comes with the package.
    env : SFLEnv or SFLVectorEnv, wrapped or not
        Where it is to act. An agent with :class:`~sfl_agents.policies.device_policy.DevicePolicy` can act
        for any number of devices, one with :class:`~sfl_agents.policies.cut_pointer.CutPointerPolicy` for any
        number of cuts, too; others for those that they were trained with.
    trust : bool
        Open a file in Stable-Baselines3's own format, too, as its ``save`` writes it and as sfl-env 0.1 wrote it
        into a run's folder. This runs whatever code is in the file.

    Returns
    -------
    BaseAlgorithm
        With Stable-Baselines3's ``predict``; it takes single observations (K, F) and batches (N, K, F). It has no
        room for experience: training goes on in the run's folder, by :func:`sfl_agents.train`.

    Raises
    ------
    RunError
        If the path is no training run's, the run has not ended, or the file is one to be trusted first.
    PolicyError
        If the file is damaged or the agent does not fit the environment.

    Examples
    --------
    >>> import gymnasium as gym
    >>> load("runs/nowhere", gym.make("SFL-v0"))
    Traceback (most recent call last):
        ...
    sfl_env.errors.RunError: runs/nowhere does not exist; name a training run's folder or an agent's file.
    """
    from sfl_agents.files import foreign, stock
    from sfl_agents.files.agent_file import AgentFile

    path = Path(path)
    file = run_folder.agent_file(path)
    if stock.is_stock(file):
        return stock.StockAgent.open(file, trust=trust).load(env)
    if not foreign.is_foreign(file):
        stored = AgentFile.open(file)
        if path.is_dir() and stored.job != run_folder.job_of(path):
            raise RunError(
                f"{path}/{runs.CONFIG} and {file.name} beside it are of different trainings; copy the run again."
            )
        return stored.agent_for(env)
    if not trust:
        raise foreign.refusal(file, run_folder.version_beside(file))
    return foreign.load(file, run_folder.job_of(file.parent).algo, env)


def describe(path: Path | str, *, trust: bool = False) -> "Job":
    """Return what an agent was trained for.

    Parameters
    ----------
    path : path
        As for :func:`load`.
    trust : bool
        Return it, too, if it names an environment that is made by importing a module.

    Raises
    ------
    RunError
        If the path is no training run's, or if its environment is of a module that ``trust`` does not cover.
    PolicyError
        If the file is damaged.
    """
    path = Path(path)
    job = run_folder.job_of(path)
    if ":" in job.env_id and not trust:
        raise RunError(
            f"The agent in {path} was trained on {job.env_id!r}; making this environment runs the module "
            f"{job.env_id.rpartition(':')[0]!r}. Name the environment yourself, or say trust=True."
        )
    return job


def action_mode_of(path: Path | str) -> str:
    """Return the action mode that an agent acts through; it has to be that of its environment.

    Raises
    ------
    RunError, PolicyError
        As for :func:`describe`, whatever the environment is.
    """
    return run_folder.job_of(Path(path)).settings.action_mode


def observation_mode_of(path: Path | str) -> str:
    """Return the observation mode that an agent sees through; it has to be that of its environment.

    Raises
    ------
    RunError, PolicyError
        As for :func:`describe`, whatever the environment is.
    """
    return run_folder.job_of(Path(path)).settings.observation_mode
