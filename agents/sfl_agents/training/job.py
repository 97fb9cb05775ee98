"""What to train: an algorithm, an environment and how."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sfl_agents.training.settings import Settings
from sfl_baselines.environments import HELD_OUT_SEED, make_batch, training_seed
from sfl_env import Scenario, SFLVectorEnv
from sfl_env.checks import Range, require_known, shown
from sfl_env.errors import RunError, SFLError, TrainingError
from sfl_env.storage import runs
from sfl_env.storage.runs import Run

KIND = "train"
"""Kind of a training run's folder."""


@dataclass(frozen=True)
class Job:
    """What to train.

    Parameters
    ----------
    algo : str
        Name of the algorithm.
    env_id : str
        Registered id.
    settings : Settings
        How.
    fields : mapping
        Scenario fields that override the id's.
    seed : int
        Of everything that is drawn.
    num_evaluations : int
        How often the agent is evaluated and checkpointed, besides the start.
    evaluation_episodes : int
        Held-out episodes of each evaluation.

    Raises
    ------
    TrainingError
        For settings that the algorithm cannot be trained with, or no evaluations.
    ScenarioError
        For an unknown field or a seed out of its range.
    """

    algo: str
    env_id: str
    settings: Settings
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    num_evaluations: int = 20
    evaluation_episodes: int = 32

    def __post_init__(self) -> None:
        if not isinstance(self.env_id, str):
            raise TrainingError(f"env_id is {shown(self.env_id)}; it has to be an environment's id.")
        if not isinstance(self.settings, Settings):
            raise TrainingError(f"settings is {shown(self.settings)}; it has to be Settings.")
        self.settings.check_for(self.algo)
        Range(whole=True).require("seed", self.seed, TrainingError)
        training_seed(self.seed)
        for name in ("num_evaluations", "evaluation_episodes"):
            Range(1, 1_000_000, whole=True).require(name, getattr(self, name), TrainingError)
        if not isinstance(self.fields, Mapping):
            raise TrainingError(f"fields is {shown(self.fields)}; it has to be a mapping of names to values.")
        for name in self.fields:
            require_known("scenario field", name, Scenario.__dataclass_fields__)
        for name in (name for scenario in self.settings.scenarios for name in scenario):
            require_known("entry of a scenario", name, ["env_id", *Scenario.__dataclass_fields__])

    def batch(self, num_envs: int, **options: Any) -> SFLVectorEnv:
        """Return a batch of the job's environment in its modes of action and observation."""
        modes = {"action_mode": self.settings.action_mode, "observation_mode": self.settings.observation_mode}
        return make_batch(self.env_id, num_envs, self.fields, **modes, **options)

    def lesson_batches(self, **options: Any) -> list[SFLVectorEnv]:
        """Return batches of the other scenarios that a taught algorithm trains in."""
        settings = self.settings
        modes = {"action_mode": settings.action_mode, "observation_mode": settings.observation_mode}
        found = []
        for scenario in settings.scenarios:
            fields = {**self.fields, **scenario}
            env_id = fields.pop("env_id", self.env_id)
            found.append(make_batch(env_id, settings.num_envs, fields, **modes, **options))
        return found

    def call(self) -> str:
        """Return the call that makes a single environment of the job's.

        Examples
        --------
        >>> Job("a2c", "SFL-v0", Settings(64, action_mode="cut", num_envs=4), {"num_devices": 3}).call()
        "gym.make('SFL-v0', num_devices=3, action_mode='cut', observation_mode='devices')"
        """
        # Settings that are the environment's are named as its arguments are.
        modes = {name: value for name, value in vars(self.settings).items() if name.endswith("_mode")}
        options = "".join(f", {name}={value!r}" for name, value in {**self.fields, **modes}.items())
        return f"gym.make({self.env_id!r}{options})"

    def hashed_seed(self, *purpose: int) -> int:
        """Return a training seed for one purpose, independent of those for others and in other jobs."""
        return int(np.random.SeedSequence([self.seed, *purpose]).generate_state(1)[0]) % HELD_OUT_SEED

    def open_run(self, path: Path | str, **options: Any) -> Run:
        """Make or reopen the folder of this job's run, with the options of :func:`sfl_env.storage.runs.start`."""
        return runs.start(path, KIND, self.to_dict(), **options)

    def to_dict(self) -> dict[str, Any]:
        """Return the job as JSON would give it back."""
        plain: dict[str, Any] = runs.to_plain(self)
        return plain

    @classmethod
    def from_dict(cls, values: Any, where: Path | str) -> "Job":
        """Return the job that a file describes.

        Parameters
        ----------
        values : mapping
            As :meth:`to_dict` gives it.
        where : path
            The file, for messages.

        Raises
        ------
        RunError
            If an entry is missing, unknown or wrong.

        Examples
        --------
        >>> job = Job("ppo", "SFL-v0", Settings(total_steps=4096, hyperparameters={"n_steps": 32}))
        >>> Job.from_dict(job.to_dict(), "config.json") == job
        True
        >>> Job.from_dict({"algo": "ppo"}, "config.json")
        Traceback (most recent call last):
            ...
        sfl_env.errors.RunError: config.json describes no training run: env_id is missing.
        """
        try:
            known = _entries(values, cls, "the training's settings")
            return cls(**known | {"settings": Settings(**_entries(known["settings"], Settings, "settings"))})
        except SFLError as error:
            raise RunError(f"{where} describes no training run: {error}") from error


def _entries(values: Any, kind: type[Any], what: str) -> dict[str, Any]:
    """Return a mapping that has the fields of a dataclass, and none besides."""
    if not isinstance(values, dict):
        raise RunError(f"{what} is {shown(values)} instead of a mapping.")
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for name in values:
        require_known("entry", name, fields, RunError)
    for name, item in fields.items():
        if name not in values and item.default is item.default_factory is dataclasses.MISSING:
            raise RunError(f"{name} is missing.")
    return values
