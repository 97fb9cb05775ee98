"""What happens between two rollouts of a training: evaluations, checkpoints, and a look at the weights."""

import csv
import dataclasses
import time
from collections.abc import Callable

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sfl_agents.training import checkpoints
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.evaluation import Evaluation, evaluate
from sfl_agents.training.job import Job
from sfl_env.errors import TrainingError
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.runs import Run

_EVALUATIONS = "evaluations.csv"


class Watch(BaseCallback):
    """Evaluates and checkpoints between a rollout's end and the next one's start, when all is consistent."""

    def __init__(
        self,
        job: Job,
        run: Run,
        env: VecEnv,
        milestones: list[Milestone],
        on_steps: Callable[[int], None],
        on_milestone: Callable[[Milestone], None],
    ) -> None:
        super().__init__()
        self._job, self._run, self._env, self._milestones = job, run, env, milestones
        self._on_steps, self._on_milestone = on_steps, on_milestone
        self._every = max(job.settings.total_steps // job.num_evaluations, 1)
        self._before_s = milestones[-1].training_s if milestones else 0.0
        self._start_s = time.perf_counter()
        self._held_out = job.batch(job.evaluation_episodes)
        if self._held_out.scenario.optimum_is_known:
            self._held_out = job.batch(job.evaluation_episodes, info_optimum=True)

    def _on_step(self) -> bool:
        self._on_steps(self.num_timesteps)
        return True

    def _on_rollout_start(self) -> None:
        if not self._milestones or self.num_timesteps >= self._next_steps():
            self._take()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._milestones[-1].steps:
            self._take()

    def _next_steps(self) -> int:
        return (self._milestones[-1].steps // self._every + 1) * self._every

    def _take(self) -> None:
        self._check_finite()
        result = evaluate(self.model, self._held_out)
        self._record(result)
        milestone = Milestone(
            steps=self.num_timesteps,
            training_s=round(self._before_s + time.perf_counter() - self._start_s, 3),
            **dataclasses.asdict(result),
        )
        self._milestones.append(milestone)
        checkpoints.save(self._run.path, self.model, self._job, self._env, self._milestones)
        _write_evaluations(self._run, self._milestones)
        self._on_milestone(milestone)

    def _check_finite(self) -> None:
        if not all(bool(torch.isfinite(weights).all()) for weights in self.model.policy.parameters()):
            raise TrainingError(
                f"The agent's weights are not finite after {self.num_timesteps} steps. Lower learning_rate; the "
                "checkpoint before is kept."
            )

    def _record(self, result: Evaluation) -> None:
        for name, value in dataclasses.asdict(result).items():
            if value is not None:
                self.logger.record(f"held_out/{name}", value)
        self.logger.dump(self.num_timesteps)


def _write_evaluations(run: Run, milestones: list[Milestone]) -> None:
    with atomic_output(run.file(_EVALUATIONS)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [item.name for item in dataclasses.fields(Milestone)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(entry) for entry in milestones)
