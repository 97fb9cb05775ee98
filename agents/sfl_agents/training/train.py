"""The training of one agent: build or restore it, learn, evaluate and checkpoint on the way, keep the best."""

import csv
import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sfl_agents.policies.rows import FlatRows, StandardisedRows
from sfl_agents.training import checkpoints
from sfl_agents.training.algorithms import POLICIES, algorithm
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.evaluation import Evaluation, evaluate
from sfl_agents.training.rewards import training_env
from sfl_agents.training.settings import Settings
from sfl_baselines.environments import HELD_OUT_SEED, make_batch, training_seed
from sfl_env import Scenario, SFLVectorEnv
from sfl_env.checks import nearest_name
from sfl_env.errors import ScenarioError, TrainingError
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.runs import Run

AGENT = "agent.zip"
"""The trained agent in a run's folder, there only once training has ended."""

EVALUATIONS = "evaluations.csv"

FITTING_ENVS = 64
FITTING_ROUNDS = 50
"""Observations of so many environments and rounds set the scale of the features."""


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
    """

    algo: str
    env_id: str
    settings: Settings
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    num_evaluations: int = 20
    evaluation_episodes: int = 32

    def __post_init__(self) -> None:
        self.settings.check_for(self.algo)
        training_seed(self.seed)
        known = Scenario.__dataclass_fields__
        for name in self.fields:
            if name not in known:
                raise ScenarioError(f"Unknown scenario field {name!r}{nearest_name(name, known)}.")

    def batch(self, num_envs: int, **options: Any) -> SFLVectorEnv:
        """Return a batch of the job's environment in its action mode."""
        return make_batch(self.env_id, num_envs, self.fields, action_mode=self.settings.action_mode, **options)

    def hashed_seed(self, *purpose: int) -> int:
        """Return a training seed for one purpose, independent of those for others and in other jobs."""
        return int(np.random.SeedSequence([self.seed, *purpose]).generate_state(1)[0]) % HELD_OUT_SEED


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
        The folder, as opened by :func:`sfl_env.storage.runs.start`.
    on_steps, on_milestone : callable
        Told of progress.

    Returns
    -------
    Milestone
        The evaluation of the agent that was written.

    Raises
    ------
    TrainingError
        For settings that the algorithm does not take, or weights that are no longer finite.
    """
    settings = job.settings
    batch = job.batch(settings.num_envs, autoreset_mode="SameStep")
    env = training_env(batch, settings.reward, settings.hyperparameters.get("gamma", 0.99))
    checkpoint = checkpoints.latest(run.path)
    if checkpoint is None:
        model, milestones = _build(job, env, batch), []
    else:
        (model, env), milestones = _restore(job, env, checkpoint), checkpoints.milestones(checkpoint)
    env.seed(job.hashed_seed(1, model.num_timesteps))
    model.set_logger(configure(str(run.file("tensorboard")), ["tensorboard"]))
    watch = _Watch(job, run, env, milestones, on_steps, on_milestone)
    remaining = settings.total_steps - model.num_timesteps
    if remaining > 0:
        model.learn(remaining, callback=watch, reset_num_timesteps=checkpoint is None)
    model.logger.close()
    env.close()
    return _conclude(run, milestones)


def _build(job: Job, env: VecEnv, batch: SFLVectorEnv) -> BaseAlgorithm:
    settings = job.settings
    kwargs = dict(settings.policy_kwargs)
    if settings.policy == "DevicePolicy":
        kwargs["num_cuts"] = batch.episodes.simulator.workload.num_cuts
    else:
        kwargs["features_extractor_class"] = FlatRows
    rate: float | LinearSchedule = settings.learning_rate
    if settings.final_learning_rate != rate:
        rate = LinearSchedule(settings.learning_rate, settings.final_learning_rate, 1.0)
    options = dict(settings.hyperparameters)
    if settings.action_noise:
        deviation = np.full(env.action_space.shape or (), settings.action_noise)
        options["action_noise"] = NormalActionNoise(np.zeros_like(deviation), deviation)
    try:
        model = algorithm(job.algo)(
            policy=POLICIES[settings.policy],
            env=env,
            learning_rate=rate,
            policy_kwargs=kwargs,
            seed=job.hashed_seed(0),
            device="cpu",
            **options,
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise TrainingError(f"{job.algo} does not take these settings: {error}") from error
    _fit_rows(model, job)
    return model


def _fit_rows(model: BaseAlgorithm, job: Job) -> None:
    """Set the scale of the features from rounds with random actions."""
    batch = job.batch(FITTING_ENVS)
    batch.action_space.seed(job.hashed_seed(2))
    rows = [batch.reset(seed=job.hashed_seed(3))[0]]
    for _ in range(min(FITTING_ROUNDS, batch.scenario.max_rounds) - 1):
        rows.append(batch.step(batch.action_space.sample())[0])
    observations = torch.as_tensor(np.stack(rows))
    for module in model.policy.modules():
        if isinstance(module, StandardisedRows):
            module.fit(observations)


def _restore(job: Job, env: VecEnv, checkpoint: Any) -> tuple[BaseAlgorithm, VecEnv]:
    if isinstance(env, VecNormalize):
        env = VecNormalize.load(str(checkpoint / checkpoints.REWARD_SCALE), env.venv)
    model = algorithm(job.algo).load(checkpoint / checkpoints.MODEL, env=env, device="cpu")
    if isinstance(model, OffPolicyAlgorithm):
        model.load_replay_buffer(checkpoint / checkpoints.REPLAY_BUFFER)
    return model, env


def _conclude(run: Run, milestones: list[Milestone]) -> Milestone:
    checkpoint = checkpoints.latest(run.path)
    assert checkpoint is not None
    with atomic_output(run.file(AGENT)) as partial:
        shutil.copyfile(checkpoint / checkpoints.BEST, partial)
    chosen = checkpoints.best(milestones)
    run.finish({"agent": chosen, "last": milestones[-1]})
    return chosen


class _Watch(BaseCallback):
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
        self._run, self._env, self._milestones = run, env, milestones
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
        checkpoints.save(self._run.path, self.model, self._env, self._milestones)
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
    with atomic_output(run.file(EVALUATIONS)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [item.name for item in dataclasses.fields(Milestone)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(entry) for entry in milestones)
