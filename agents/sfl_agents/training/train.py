"""The training of one agent: build or restore it, learn, evaluate and checkpoint on the way, keep the best."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import configure

from sfl_agents.files.agent_file import AgentFile
from sfl_agents.files.interface import Interface
from sfl_agents.files.run_folder import AGENT
from sfl_agents.policies.rows import StandardisedRows
from sfl_agents.training import checkpoints
from sfl_agents.training.algorithms import TAUGHT, way_of
from sfl_agents.training.build import build_to_train
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.job import Job
from sfl_agents.training.rewards import training_env
from sfl_agents.training.taught.algorithm import Taught
from sfl_agents.training.watch import Watch
from sfl_agents.vec_env import SFLVecEnv
from sfl_env.errors import SFLError, TrainingError
from sfl_env.storage.atomic import atomic_output, writing
from sfl_env.storage.runs import Run

_FITTING_ENVS = 64
_FITTING_ROUNDS = 50
"""Observations of so many environments and rounds set the scale of the features."""


def train(
    job: Job,
    run: Run,
    *,
    on_steps: Callable[[int], None] = lambda steps: None,
    on_milestone: Callable[[Milestone], None] = lambda milestone: None,
) -> Milestone:
    """Train an agent in a run's folder, or go on from its last checkpoint, and write the best one.

    Parameters
    ----------
    job : Job
        What to train.
    run : Run
        The folder, as opened by :meth:`.Job.open_run`.
    on_steps, on_milestone : callable
        Told of progress.

    Returns
    -------
    Milestone
        The evaluation of the agent that was written; it may be the one before any training.

    Raises
    ------
    TrainingError
        For settings that the algorithm does not take, numbers that it cannot go on with, or weights that are no
        longer finite.
    RunError, PolicyError
        If the checkpoint to go on from is damaged, or the folder cannot be written.
    """
    with writing(run.path):
        return _train(job, run, on_steps, on_milestone)


def _train(
    job: Job, run: Run, on_steps: Callable[[int], None], on_milestone: Callable[[Milestone], None]
) -> Milestone:
    settings = job.settings
    batch = job.batch(settings.num_envs, autoreset_mode="SameStep")
    gamma = 0.0 if job.algo in TAUGHT else settings.hyperparameter(job.algo, "gamma")
    env = training_env(batch, settings.reward, gamma)
    model = build_to_train(job, env, Interface.of(batch))
    checkpoint = checkpoints.latest(run.path)
    if checkpoint is None:
        _fit_rows(model, job)
        milestones: list[Milestone] = []
    else:
        checkpoints.restore(checkpoint, model, job, env)
        milestones = checkpoints.milestones(checkpoint)
    env.seed(job.hashed_seed(1, model.num_timesteps))
    if isinstance(model, Taught):
        model.teach_in(_lessons(job, model.num_timesteps))
    model.set_logger(configure(str(run.file("tensorboard")), ["tensorboard"]))
    watch = Watch(job, run, env, milestones, on_steps, on_milestone)
    _learn(model, job, watch, fresh=checkpoint is None)
    model.logger.close()
    env.close()
    return _conclude(run, milestones, job)


def _lessons(job: Job, steps: int) -> list[SFLVecEnv]:
    """Return the other environments of a taught algorithm, each with a seed of its own."""
    lessons = [SFLVecEnv(batch) for batch in job.lesson_batches(autoreset_mode="SameStep")]
    for number, lesson in enumerate(lessons):
        lesson.seed(job.hashed_seed(4, steps, number))
    return lessons


def _learn(model: BaseAlgorithm, job: Job, watch: Watch, *, fresh: bool) -> None:
    remaining = job.settings.total_steps - model.num_timesteps
    if remaining <= 0:
        return
    try:
        model.learn(remaining, callback=watch, reset_num_timesteps=fresh)
    except (SFLError, OSError):
        raise
    except Exception as error:  # whatever the algorithm's own code finds no sense in
        raise TrainingError(
            f"{job.algo} cannot go on after {model.num_timesteps} steps: {type(error).__name__}: {error}"
        ) from error


def _fit_rows(model: BaseAlgorithm, job: Job) -> None:
    """Set the scale of the features from rounds with random actions."""
    batch = job.batch(_FITTING_ENVS)
    batch.action_space.seed(job.hashed_seed(2))
    rows = [batch.reset(seed=job.hashed_seed(3))[0]]
    for _ in range(min(_FITTING_ROUNDS, batch.scenario.max_rounds) - 1):
        rows.append(batch.step(batch.action_space.sample())[0])
    observations = torch.as_tensor(np.stack(rows))
    for module in model.policy.modules():
        if isinstance(module, StandardisedRows):
            module.fit(observations)


def _conclude(run: Run, milestones: list[Milestone], job: Job) -> Milestone:
    checkpoint = checkpoints.latest(run.path)
    assert checkpoint is not None
    chosen = checkpoints.best(milestones)
    with atomic_output(run.file(AGENT)) as partial:
        shutil.copyfile(_best_agent(checkpoint, chosen), partial)
    told = {
        "agent": chosen,
        "last": milestones[-1],
        "way": way_of(job.algo),
        "untrained_is_best": chosen.untrained,
    }
    run.finish(told)
    return chosen


def _best_agent(checkpoint: Path, chosen: Milestone) -> Path:
    """Return the file of the best agent once it is known to be whole and the one that was chosen."""
    file = checkpoint / checkpoints.BEST
    if AgentFile.open(file).counters["steps"] != chosen.steps:
        raise TrainingError(
            f"{file} is not the agent of step {chosen.steps} that the evaluations name as the best."
        )
    return file
