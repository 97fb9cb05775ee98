"""Checkpoints of a training run: whole folders that appear at once."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sfl_env.storage.atomic import PARTIAL

FOLDER = "checkpoints"
MODEL = "model.zip"
BEST = "best.zip"
REWARD_SCALE = "reward_scale.pkl"
REPLAY_BUFFER = "replay_buffer.pkl"
MILESTONES = "milestones.json"


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


def save(run: Path, model: BaseAlgorithm, env: VecEnv, milestones: list[Milestone]) -> Path:
    """Write a checkpoint of the present state and delete those before it.

    A checkpoint's folder holds the model, the best model so far by its mean return, what the training
    environment has learnt of the reward's scale, the replay buffer where there is one, and the milestones.
    """
    folder = run / FOLDER
    previous = latest(run)
    partial = folder / f"{PARTIAL}-{model.num_timesteps}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save(partial / MODEL)
    if previous is None or milestones[-1] == best(milestones):
        shutil.copy2(partial / MODEL, partial / BEST)
    else:
        shutil.copy2(previous / BEST, partial / BEST)
    if isinstance(env, VecNormalize):
        env.save(str(partial / REWARD_SCALE))
    if isinstance(model, OffPolicyAlgorithm):
        model.save_replay_buffer(partial / REPLAY_BUFFER)
    (partial / MILESTONES).write_text(json.dumps([dataclasses.asdict(entry) for entry in milestones]))
    target = folder / f"{model.num_timesteps:012d}"
    partial.rename(target)
    for old in folder.iterdir():
        if old != target:
            shutil.rmtree(old)
    return target


def latest(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run, if there is one."""
    folder = run / FOLDER
    whole = sorted(entry for entry in folder.iterdir() if entry.name.isdigit()) if folder.is_dir() else []
    return whole[-1] if whole else None


def milestones(checkpoint: Path) -> list[Milestone]:
    """Return the milestones that a checkpoint holds."""
    return [Milestone(**entry) for entry in json.loads((checkpoint / MILESTONES).read_text())]


def best(milestones: list[Milestone]) -> Milestone:
    """Return the milestone with the highest mean return, the first of equals."""
    return max(milestones, key=lambda entry: entry.mean_return)
