"""``sfl benchmark``: all policies on the same episodes, by the lengths of rounds or by what is learnt in them."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sfl_lab.compare.contest import Contest


@dataclass(frozen=True)
class Benchmark:
    """Compare baselines and trained agents on the same held-out episodes.

    By the lengths of rounds, each beside the shortest possible one: prints a table and writes results.csv (every
    round), episodes.csv, results.png and summary.json. In accuracy mode by learning curves, from the same data,
    weights and channels: writes curves.csv, time_to_target.csv, curves.png and summary.json.

    Example: 'sfl benchmark --agents runs/ppo-0 runs/ppo-1 runs/ppo-2 --episodes 50 --fields num_devices=20'

    Example: 'sfl benchmark --mode accuracy --rounds 60 --fields partition=dirichlet target_accuracy=0.9'
    """

    mode: Literal["latency", "accuracy"] | None = None
    """What to compare: lengths of rounds, or learning curves; by default as the environment says."""
    env_id: str | None = None
    """Registered id, or MODULE:ID for one that a module of yours registers; by default as --mode says."""
    policies: tuple[str, ...] | None = None
    """Baselines, by default all that are for the environment, its tier's own among them. 'sequential', split
    learning, plays on the same episodes with schedule='sequence'. To --mode accuracy belong 'splitfed-v1',
    'splitfed-v2', 'parallel-sl' and 'adaptsfl', kinds of server that decide as 'alternating' does, and
    'centralised', all data at one place."""
    agents: tuple[Path, ...] = ()
    """Folders that `sfl train` wrote, folders of such folders, pretrained:ID for agents that come with the
    package, or, with --trust, files that algorithms of Stable-Baselines3 have saved. Trainings that differ by
    their seed alone are one row, with the interval of its ratio over training seeds: train at least 5."""
    episodes: int | None = None
    """Held-out episodes; by default 20, in accuracy mode 5."""
    rounds: int | None = None
    """Rounds of an episode; by default as the environment says."""
    seed: int = 0
    """Which held-out episodes; none of them is ever trained on."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=30 model=resnet18 target_accuracy=0.9."""
    action_mode: Literal["continuous", "cut", "discrete"] = "continuous"
    """Action space that the baselines act through; agents use the one they were trained with."""
    threads: int = 1
    """Threads of torch in accuracy mode; small networks gain nothing from more."""
    out: Path | None = None
    """Folder for the results; by default runs/benchmark-ENV_ID."""
    resume: bool = False
    """Go on with the benchmark in this folder that was interrupted."""
    overwrite: bool = False
    """Replace the benchmark in this folder."""
    trust: bool = False
    """Open agents' files, too, that run code of their author's choice, as those of Stable-Baselines3's own and of
    sfl-env 0.1 do."""

    def run(self) -> None:
        """Compare, print and write."""
        from sfl_env.storage import runs
        from sfl_lab.cli.display import contest_progress, say, show
        from sfl_lab.compare.contest import RECORDS, compare, write_results

        contest = self._contest()
        lineup = contest.lineup()  # tells of mistakes before a folder is made
        out = self.out or Path("runs") / f"benchmark-{contest.env_id.rpartition(':')[2]}"
        settings = runs.to_plain(contest)
        run = runs.start(out, "benchmark", settings, resume=self.resume, overwrite=self.overwrite)
        records = len(lineup.contestants) * len(contest.seeds)
        with contest_progress(records, lineup.scenario.max_rounds) as watcher:
            results = compare(contest, lineup, store=run.file(RECORDS), watcher=watcher)
        show(results)
        write_results(run, results)
        shutil.rmtree(run.file(RECORDS))
        say(f"Written to {run.path}: {', '.join(results.files())}, summary.json")

    def _contest(self) -> "Contest[Any, Any]":
        from sfl_baselines.environments import mode_of

        fields = self._fields()
        env_id = self.env_id or ("SFL-Accuracy-v0" if fields.get("mode") == "accuracy" else "SFL-v0")
        # What is left out is up to the contest.
        given = {"policies": self.policies, "episodes": self.episodes}
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        options |= {"env_id": env_id, "agents": self.agents, "seed": self.seed, "trust": self.trust}
        options |= {"fields": fields, "action_mode": self.action_mode}
        if mode_of(env_id, fields) == "accuracy":
            return self._curve_contest(options)
        import sfl_baselines
        from sfl_baselines.environments import scenario_of
        from sfl_lab.compare.rounds.contest import RoundContest

        options.setdefault("policies", sfl_baselines.names(scenario_of(env_id, fields)))
        return RoundContest(**options)

    def _curve_contest(self, options: dict[str, Any]) -> "Contest[Any, Any]":
        from sfl_lab.cli.threads import use_threads
        from sfl_lab.compare.curves.contest import CurveContest

        use_threads(self.threads)
        return CurveContest(**options)

    def _fields(self) -> dict[str, Any]:
        from sfl_env.errors import ScenarioError
        from sfl_lab.cli.fields import parse_fields

        fields = parse_fields(self.fields)
        for name, value in (("mode", self.mode), ("max_rounds", self.rounds)):
            if value is None:
                continue
            if name in fields:
                option = "--mode" if name == "mode" else "--rounds"
                raise ScenarioError(f"{name} is given by {option} and in --fields; leave out one of them.")
            fields[name] = value
        return fields
