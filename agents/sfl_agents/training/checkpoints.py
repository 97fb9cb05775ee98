"""Checkpoints of a training run: whole folders that appear at once."""

import dataclasses
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sfl_agents.files import agent_file, archive, state
from sfl_agents.files.agent_file import AgentFile
from sfl_agents.files.archive import damaged
from sfl_agents.files.interface import Interface
from sfl_agents.training.job import Job
from sfl_env.checks import shown
from sfl_env.errors import PolicyError, RunError
from sfl_env.storage.atomic import PARTIAL
from sfl_env.storage.json_text import read_json

FOLDER = "checkpoints"
MODEL = "model.zip"
BEST = "best.zip"
_REWARD_SCALE = "reward_scale.json"
REPLAY_BUFFER = "replay_buffer.zip"
_MILESTONES = "milestones.json"


@dataclass(frozen=True)
class Milestone:
    """An evaluation during training.

    Parameters
    ----------
    steps : int
        Rounds trained for.
    training_s : float
        Wall-clock seconds since training started, evaluations and earlier parts of a resumed run included.
    mean_return, mean_latency_s, mean_ratio
        As in :class:`sfl_agents.training.evaluation.Evaluation`.
    """

    steps: int
    training_s: float
    mean_return: float
    mean_latency_s: float
    mean_ratio: float | None

    @property
    def untrained(self) -> bool:
        """Whether it is of the agent before its first round of training."""
        return self.steps == 0


def save(run: Path, model: BaseAlgorithm, job: Job, env: VecEnv, milestones: list[Milestone]) -> Path:
    """Write a checkpoint of the present state and delete those before it.

    A checkpoint's folder holds the model, the best model so far by its mean return, what the training
    environment has learnt of the reward's scale, the replay buffer where there is one, and the milestones.
    """
    folder = run / FOLDER
    previous = latest(run)
    partial = folder / f"{PARTIAL}-{model.num_timesteps}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    agent_file.write(partial / MODEL, model, job, Interface.of(env))
    if previous is None or milestones[-1] == best(milestones):
        shutil.copy2(partial / MODEL, partial / BEST)
    else:
        shutil.copy2(previous / BEST, partial / BEST)
    if isinstance(env, VecNormalize):
        (partial / _REWARD_SCALE).write_text(json.dumps(_scale(env.ret_rms)))
    if isinstance(model, OffPolicyAlgorithm):
        assert model.replay_buffer is not None
        archive.write(partial / REPLAY_BUFFER, {}, state.transitions(model.replay_buffer))
    (partial / _MILESTONES).write_text(json.dumps([dataclasses.asdict(entry) for entry in milestones]))
    target = folder / f"{model.num_timesteps:012d}"
    partial.rename(target)
    for old in folder.iterdir():
        if old != target:
            _delete(old)
    return target


def restore(checkpoint: Path, model: BaseAlgorithm, job: Job, env: VecEnv) -> None:
    """Give a model and its environment, both as they were built for the job, the state in a checkpoint.

    Raises
    ------
    PolicyError, RunError
        If a file in it is missing or damaged, or of another job; model and environment are of no use then.
    """
    stored = AgentFile.open(checkpoint / MODEL)
    if stored.job != job or not stored.interface.fits(Interface.of(env), any_number_of_devices=False):
        raise RunError(f"{checkpoint / MODEL} is of another training than this one; start again (overwrite=True).")
    stored.restore(model)
    if isinstance(env, VecNormalize):
        _set_scale(env.ret_rms, checkpoint / _REWARD_SCALE)
    if isinstance(model, OffPolicyAlgorithm):
        assert model.replay_buffer is not None
        file = checkpoint / REPLAY_BUFFER
        try:
            state.restore_transitions(model.replay_buffer, archive.read(file).arrays)
        except PolicyError as error:
            raise damaged(file, error) from error


def latest(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, if there is one."""
    folder = run / FOLDER
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise RunError(f"{folder} is no folder; start again (overwrite=True).")
        return None
    whole = sorted(entry for entry in folder.iterdir() if _is_whole(entry))
    return whole[-1] if whole else None


def milestones(checkpoint: Path) -> list[Milestone]:
    """Return the milestones that a checkpoint holds.

    Raises
    ------
    RunError
        If they are missing or damaged.
    """
    file = checkpoint / _MILESTONES
    entries = read_json(file, RunError)
    if not isinstance(entries, list) or not entries:
        raise RunError(
            f"{file} is {shown(entries)} instead of a list of evaluations; start again (overwrite=True)."
        )
    return [_milestone(entry, file) for entry in entries]


def best(milestones: list[Milestone]) -> Milestone:
    """Return the milestone with the highest mean return, the first of equals."""
    return max(milestones, key=lambda entry: entry.mean_return)


def _is_whole(entry: Path) -> bool:
    name = entry.name
    return name.isascii() and name.isdigit() and entry.is_dir()


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _milestone(entry: Any, file: Path) -> Milestone:
    names = [item.name for item in dataclasses.fields(Milestone)]
    if isinstance(entry, dict) and entry.keys() == set(names):
        numbers = [entry[name] for name in names if (name, entry[name]) != ("mean_ratio", None)]
        if all(_is_number(number) for number in numbers) and type(entry["steps"]) is int and entry["steps"] >= 0:
            return Milestone(**entry)
    raise RunError(f"{file} has the evaluation {shown(entry)}, which is none; start again (overwrite=True).")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _scale(running: RunningMeanStd) -> dict[str, float]:
    return {"mean": float(running.mean), "variance": float(running.var), "count": float(running.count)}


def _set_scale(running: RunningMeanStd, file: Path) -> None:
    values = read_json(file, RunError)
    names = ("mean", "variance", "count")
    if not isinstance(values, dict) or values.keys() != set(names) or not all(map(_is_number, values.values())):
        raise RunError(f"{file} is {shown(values)} instead of a reward's scale; start again (overwrite=True).")
    mean, variance, count = (float(values[name]) for name in names)
    if variance < 0.0 or count <= 0.0:
        raise RunError(f"{file} has a variance below 0 or no count; start again (overwrite=True).")
    running.mean, running.var, running.count = np.array(mean), np.array(variance), count
