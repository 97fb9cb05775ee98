"""``sfl evaluate``: one trained agent on held-out episodes."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a trained agent on held-out episodes, round by round against the optimum.

    Example: 'sfl evaluate runs/ppo --episodes 50'

    A folder of runs that differ by their training seed alone is one row, the interval of its ratio over
    training seeds.
    """

    agent: tyro.conf.Positional[Path]
    """Folder that `sfl train` wrote, an agent's file, or a folder of such folders."""
    env_id: str | None = None
    """Environment; by default the one that the agent was trained on, with its fields."""
    episodes: int = 20
    """Held-out episodes."""
    seed: int = 0
    """Which held-out episodes."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=30."""
    out: Path | None = None
    """Folder for results.csv, episodes.csv, results.png and summary.json; nothing is written without it."""
    overwrite: bool = False
    """Replace the evaluation in this folder."""
    trust: bool = False
    """Open an agent's file, too, that runs code of its author's choice, as those of sfl-env 0.1 do."""

    def run(self) -> None:
        """Evaluate, print and write."""
        import sfl_agents
        from sfl_env.storage import runs
        from sfl_lab.cli.display import contest_progress, say, show
        from sfl_lab.cli.fields import parse_fields
        from sfl_lab.compare.agents import runs_in
        from sfl_lab.compare.contest import compare, write_results
        from sfl_lab.compare.rounds.contest import RoundContest

        # An id that is named here may import the module in it.
        trained = sfl_agents.describe(runs_in(self.agent)[0], trust=self.trust or self.env_id is not None)
        same_env = self.env_id in (None, trained.env_id)
        contest = RoundContest(
            env_id=self.env_id or trained.env_id,
            policies=(),
            agents=(self.agent,),
            episodes=self.episodes,
            seed=self.seed,
            trust=self.trust,
            fields={**(trained.fields if same_env else {}), **parse_fields(self.fields)},
        )
        lineup = contest.lineup()
        run = None
        if self.out is not None:
            run = runs.start(self.out, "evaluate", runs.to_plain(contest), overwrite=self.overwrite)
        with contest_progress(len(lineup.contestants), lineup.scenario.max_rounds) as watcher:
            results = compare(contest, lineup, watcher=watcher)
        show(results)
        if run is not None:
            write_results(run, results)
            say(f"Written to {run.path}: {', '.join(results.files())}, summary.json")
