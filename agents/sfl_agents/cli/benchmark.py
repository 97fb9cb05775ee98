"""``sfl benchmark``: all policies on the same episodes, against the optimum."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sfl_baselines


@dataclass(frozen=True)
class Benchmark:
    """Compare baselines and trained agents on the same held-out episodes, round by round against the optimum.

    Prints a table and writes results.csv (every round), episodes.csv, results.png and summary.json.

    Example: 'sfl benchmark --agents runs/ppo --episodes 50 --fields num_devices=20'
    """

    env_id: str = "SFL-v0"
    """Environment: a registered id, or MODULE:ID for one that a module of yours registers."""
    policies: tuple[str, ...] = sfl_baselines.names()
    """Baselines."""
    agents: tuple[Path, ...] = ()
    """Folders that `sfl train` wrote."""
    episodes: int = 20
    """Held-out episodes."""
    seed: int = 0
    """Which held-out episodes; none of them is ever trained on."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=30 model=resnet18."""
    action_mode: Literal["continuous", "cut", "discrete"] = "continuous"
    """Action space that the baselines act through; agents use the one they were trained with."""
    out: Path | None = None
    """Folder for the results; by default runs/benchmark-ENV_ID."""
    resume: bool = False
    """Go on with the benchmark in this folder that was interrupted."""
    overwrite: bool = False
    """Replace the benchmark in this folder."""

    def run(self) -> None:
        """Compare, print and write."""
        import shutil

        from sfl_agents import runs
        from sfl_agents.benchmark.comparison import ROLLOUTS, Comparison, compare, prepare, write_results
        from sfl_agents.cli.display import console, rollout_progress, show_results
        from sfl_agents.environments import parse_fields

        comparison = Comparison(
            env_id=self.env_id,
            policies=self.policies,
            agents=self.agents,
            episodes=self.episodes,
            seed=self.seed,
            fields=parse_fields(self.fields),
            action_mode=self.action_mode,
        )
        lineup = prepare(comparison)  # tells of mistakes before a folder is made
        out = self.out or Path("runs") / f"benchmark-{self.env_id.rpartition(':')[2]}"
        run = runs.start(out, "benchmark", runs.to_plain(comparison), resume=self.resume, overwrite=self.overwrite)
        with rollout_progress(lineup) as callbacks:
            results = compare(comparison, lineup, store=run.file(ROLLOUTS), **callbacks)
        show_results(results)
        write_results(run, results)
        shutil.rmtree(run.file(ROLLOUTS))
        console().print(f"Written to {run.path}: results.csv, episodes.csv, results.png, summary.json")
