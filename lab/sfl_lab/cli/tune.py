"""``sfl tune``: a recorded search for training settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfl_agents.training.search import Outcome, Search


@dataclass(frozen=True)
class Tune:
    """Search training settings: learning rate, rollouts, mini-batches, epochs, entropy, first deviation.

    Trainings are proposed by Optuna (extra 'tune'), judged on validation episodes, and broken off where they lag.

    Example: 'sfl tune --env-id SFL-v0 --trials 30 --total-steps 300000 --out runs/tune', then
    'sfl train --settings runs/tune/best.yml'

    The folder holds study.jsonl, Optuna's journal, trials.csv, best.yml, summary.json, config.json with the
    command and a folder for each training.
    """

    algo: str = "ppo"
    """Algorithm: ppo or maskable-ppo."""
    env_id: str = "SFL-v0"
    """Registered environment id."""
    trials: int = 20
    """Trainings, those that are broken off included; the first has the present settings."""
    total_steps: int | None = None
    """Rounds of each training, over all environments; by default as in the settings."""
    evaluations: int = 10
    """How often a training is judged on its way."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=20 model=resnet18."""
    settings: str | None = None
    """Settings to start from: a YAML file, or like:ID, as for 'sfl train'."""
    seed: int = 0
    """Of proposals and trainings."""
    out: Path | None = None
    """Folder of the search; by default runs/tune-ALGO-ENV_ID-SEED."""
    resume: bool = False
    """Go on with the search in this folder that was interrupted."""
    overwrite: bool = False
    """Replace the search in this folder."""
    threads: int = 1
    """Threads of torch; such small networks gain nothing from more."""

    def run(self) -> None:
        """Search."""
        from sfl_agents.training.search import BEST, KIND, best_of, search
        from sfl_env.storage import runs
        from sfl_lab.cli.display import say
        from sfl_lab.cli.threads import use_threads

        use_threads(self.threads)
        work = self._work()
        work.job.batch(1)  # tells of wrong fields before a folder is made
        out = self.out or Path("runs") / f"tune-{self.algo}-{self.env_id.rpartition(':')[2]}-{self.seed}"
        settings = runs.to_plain(work)
        folder = runs.start(out, KIND, settings, resume=self.resume, overwrite=self.overwrite)
        best = best_of(search(work, folder, on_trial=_tell))
        say(f"Best: training {best.number}, return {best.mean_return:.5g}. Settings written to {out / BEST}")

    def _work(self) -> "Search":
        import optuna  # noqa: F401  # a missing extra is told before a folder is made

        from sfl_agents import Job, settings_for
        from sfl_agents.training.search import Search
        from sfl_baselines.environments import find_spec
        from sfl_lab.cli.fields import parse_fields

        find_spec(self.env_id)  # an id that is not there is told before that there are no settings for it
        base = settings_for(self.algo, self.env_id, self.settings).replace(total_steps=self.total_steps)
        job = Job(
            self.algo,
            self.env_id,
            base,
            parse_fields(self.fields),
            seed=self.seed,
            num_evaluations=self.evaluations,
        )
        return Search(job, self.trials)


def _tell(outcome: "Outcome") -> None:
    from sfl_lab.cli.display import say

    result = "broken off" if outcome.mean_return is None else f"return {outcome.mean_return:.5g}"
    values = ", ".join(f"{name}={value:.4g}" for name, value in outcome.params.items())
    say(f"Training {outcome.number}: {result} with {values}")
