"""Trainings that take a moment, for tests."""

from pathlib import Path
from typing import Any

from sfl_agents.training.algorithms import TAUGHT
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings
from sfl_agents.training.train import train

FIELDS: dict[str, Any] = {"num_devices": 3, "max_rounds": 5, "model": "lenet5"}

SETTINGS = Settings(
    total_steps=64,
    num_envs=4,
    policy="DevicePolicy",
    policy_kwargs={"net_arch": [8]},
    hyperparameters={"n_steps": 8, "batch_size": 16, "n_epochs": 1},
)

POINTER = Settings(
    total_steps=64,
    num_envs=4,
    observation_mode="problem",
    policy="CutPointerPolicy",
    policy_kwargs={"width": 8},
    hyperparameters={"n_steps": 8},
)

OFF_POLICY = Settings(
    total_steps=64,
    num_envs=4,
    policy_kwargs={"net_arch": [8]},
    hyperparameters={"learning_starts": 8, "buffer_size": 400, "batch_size": 16},
)


def settings_of(algo: str) -> Settings:
    """Return settings that take a moment and that an algorithm takes."""
    if algo in TAUGHT:
        return POINTER
    if algo == "a2c":
        return SETTINGS.replace(hyperparameters={"n_steps": 8})
    if algo == "maskable-ppo":
        return SETTINGS.replace(action_mode="cut")
    if algo == "recurrent-ppo":
        return SETTINGS.replace(policy="MlpLstmPolicy", policy_kwargs={"net_arch": [8], "lstm_hidden_size": 8})
    return SETTINGS if algo == "ppo" else OFF_POLICY


def job(algo: str = "ppo", settings: Settings | None = None, **changes: Any) -> Job:
    """Return a job of 64 rounds with evaluations after 32 and 64."""
    chosen = settings or settings_of(algo)
    return Job(algo, "SFL-v0", chosen, FIELDS, **({"num_evaluations": 2, "evaluation_episodes": 2} | changes))


def finished(work: Job, folder: Path) -> Path:
    """Train into a folder and return it."""
    train(work, work.open_run(folder))
    return folder


def broken_off(work: Job, folder: Path) -> Path:
    """Train into a folder for half of the rounds, and return it."""

    def stop(milestone: Milestone) -> None:
        if milestone.steps >= work.settings.total_steps // 2:
            raise KeyboardInterrupt

    try:
        train(work, work.open_run(folder), on_milestone=stop)
    except KeyboardInterrupt:
        return folder
    raise AssertionError("the training was not broken off")


def finished_later(work: Job, folder: Path) -> Path:
    """Train into a folder, break off and go on, and return it."""
    broken_off(work, folder)
    train(work, work.open_run(folder, resume=True))
    return folder
