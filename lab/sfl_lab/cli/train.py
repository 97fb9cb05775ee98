"""``sfl train``: a Stable-Baselines3 agent on the environment as it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfl_agents import Job, Milestone


@dataclass(frozen=True)
class Train:
    """Train an agent, evaluate it on held-out episodes on the way, and keep the best.

    Examples: 'sfl train', 'sfl train --algo sac --env-id SFL-StaleCSI-v0 --fields num_devices=20 --out runs/sac'.
    The folder holds agent.zip, evaluations.csv, summary.json, config.json and TensorBoard's logs.
    """

    algo: str = "ppo"
    """Algorithm: a2c, ddpg, ppo, sac or td3; imitation or physics, which are told more than the reward; with the
    extra 'contrib' also maskable-ppo or recurrent-ppo."""
    env_id: str = "SFL-v0"
    """Registered environment id."""
    num_envs: int | None = None
    """Environments side by side, all in this process; by default as in the settings."""
    total_steps: int | None = None
    """Rounds to train for, over all environments, up to whole rollouts; by default as in the settings."""
    action_mode: str | None = None
    """continuous, cut, discrete or residual; by default as in the settings."""
    observation_mode: str | None = None
    """devices or problem, whose rows carry over between scenarios; by default as in the settings."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=20 model=resnet18."""
    settings: str | None = None
    """YAML file of training settings instead of the package's own for the id, or like:ID for the package's for
    another id, such as like:SFL-v0; an id of your own needs the one or the other."""
    seed: int = 0
    """Of everything that is drawn."""
    out: Path | None = None
    """Folder of the run; by default runs/train-ALGO-ENV_ID-SEED."""
    resume: bool = False
    """Go on from the folder's last checkpoint, or start where there is none."""
    overwrite: bool = False
    """Delete the run in the folder first."""
    threads: int = 1
    """Threads of torch; such small networks gain nothing from more."""

    def run(self) -> None:
        """Train."""
        from sfl_agents import train
        from sfl_agents.training.settings import origin
        from sfl_lab.cli.display import warn
        from sfl_lab.cli.threads import use_threads
        from sfl_lab.text import printable

        use_threads(self.threads)
        job = self._job()
        job.batch(1)  # tells of wrong fields before a folder is made
        out = self.out or Path("runs") / f"train-{self.algo}-{self.env_id.rpartition(':')[2]}-{self.seed}"
        told = {"settings_from": origin(self.env_id, self.settings)}
        run = job.open_run(out, resume=self.resume, overwrite=self.overwrite, told=told)
        print(printable(f"Settings: {job.algo}, {told['settings_from']}."))
        steps = job.settings.trained_steps(job.algo)
        if steps != job.settings.total_steps:
            rollout = job.settings.rollout_steps(job.algo)
            print(f"Trains for {steps} rounds, {job.settings.total_steps} up to whole rollouts of {rollout}.")
        with _Progress(steps) as progress:
            chosen = train(job, run, on_steps=progress.steps, on_milestone=progress.milestone)
        print(printable(f"Agent of step {chosen.steps}: {_figures(chosen)}. Written to {run.path}"))
        if chosen.untrained:
            warn(
                "the agent of step 0 did best on the validation episodes: what was written is untrained. Train "
                "for longer (--total-steps), or with other settings."
            )

    def _job(self) -> "Job":
        from sfl_agents import Job, settings_for
        from sfl_baselines.environments import find_spec
        from sfl_lab.cli.fields import parse_fields

        find_spec(self.env_id)  # an id that is not there is told before that there are no settings for it
        chosen = settings_for(self.algo, self.env_id, self.settings)
        return Job(
            algo=self.algo,
            env_id=self.env_id,
            settings=chosen.replace(
                total_steps=self.total_steps,
                num_envs=self.num_envs,
                action_mode=self.action_mode,
                observation_mode=self.observation_mode,
            ),
            fields=parse_fields(self.fields),
            seed=self.seed,
        )


def _figures(milestone: "Milestone") -> str:
    ratio = "" if milestone.mean_ratio is None else f", {milestone.mean_ratio:.4f} x the optimum"
    return f"mean round {milestone.mean_latency_s:.4g} s{ratio}, return {milestone.mean_return:.4g}"


class _Progress:
    """A progress bar, and a line for each evaluation."""

    def __init__(self, total_steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from sfl_lab.cli.terminal import console

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console(stderr=True),
        )
        self._task = self._bar.add_task("training", total=total_steps)

    def __enter__(self) -> "_Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def steps(self, done: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done)

    def milestone(self, milestone: "Milestone") -> None:
        """Write an evaluation's line."""
        self._bar.console.print(
            f"{milestone.steps:>10} steps {milestone.training_s:8.1f} s  {_figures(milestone)}", highlight=False
        )
