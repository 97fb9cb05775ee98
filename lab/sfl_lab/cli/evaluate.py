"""``sfl evaluate``: one trained agent on held-out episodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from sfl_lab.compare.rounds.contest import RoundContest


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a trained agent on held-out episodes, round by round against the optimum.

    Examples: 'sfl evaluate runs/ppo --episodes 50', 'sfl evaluate --policy pretrained:SFL-v0',
    'sfl evaluate mine.zip --env-id SFL-Bandit-v0 --trust'

    A folder of runs that differ by their training seed alone is one row, the interval of its ratio over
    training seeds.
    """

    agent: tyro.conf.Positional[Path | None] = None
    """Folder that `sfl train` or `sfl publish` wrote, an agent's file, or a folder of such folders; or, with
    --trust and --env-id, a file that an algorithm of Stable-Baselines3 has saved."""
    policy: str | None = None
    """Instead of an agent of yours: pretrained:ID for one that comes with the package, or a baseline's name."""
    env_id: str | None = None
    """Environment; by default the one that the agent was trained on, with its fields, and SFL-v0 for baselines.
    Files of Stable-Baselines3's own do not say."""
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
    """Open an agent's file, too, that runs code of its author's choice, as those of Stable-Baselines3's own and of
    sfl-env 0.1 do."""

    def run(self) -> None:
        """Evaluate, print and write."""
        from sfl_env.storage import runs
        from sfl_lab.cli.display import contest_progress, say, show
        from sfl_lab.compare.contest import compare, write_results

        contest = self._contest()
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

    def _contest(self) -> "RoundContest":
        from sfl_agents.files import published
        from sfl_env.errors import PolicyError
        from sfl_lab.cli.fields import parse_fields
        from sfl_lab.compare.rounds.contest import RoundContest

        if (self.agent is None) == (self.policy is None):
            raise PolicyError("Name one policy: an agent's folder or file, or --policy with a name.")
        options: dict[str, Any] = {"episodes": self.episodes, "seed": self.seed, "trust": self.trust}
        fields = parse_fields(self.fields)
        if self.policy is not None and not published.is_name(self.policy):
            return RoundContest(env_id=self.env_id or "SFL-v0", policies=(self.policy,), fields=fields, **options)
        agent = Path(str(self.policy)) if self.agent is None else self.agent
        env_id, trained_in = self._environment_of(agent)
        return RoundContest(
            env_id=env_id, policies=(), agents=(agent,), fields={**trained_in, **fields}, **options
        )

    def _environment_of(self, agent: Path) -> tuple[str, Mapping[str, Any]]:
        """Return the environment's id and the fields that the agent's training adds to it."""
        import sfl_agents
        from sfl_agents.files import stock
        from sfl_env.errors import PolicyError
        from sfl_lab.compare.agents import runs_in

        first = runs_in(agent)[0]
        if stock.is_stock(first):
            if self.env_id is not None:
                return self.env_id, {}
            there = (
                "; ".join(stock.StockAgent.open(first, trust=self.trust).suggestions()) or "none of the package's"
            )
            raise PolicyError(
                f"{agent} does not say which environment its agent was trained in; name it with --env-id. "
                f"Its spaces are those of: {there}."
            )
        # An id that is named here may import the module in it.
        trained = sfl_agents.describe(first, trust=self.trust or self.env_id is not None)
        same_env = self.env_id in (None, trained.env_id)
        return self.env_id or trained.env_id, trained.fields if same_env else {}
