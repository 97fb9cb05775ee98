"""The contest by the lengths of rounds: baselines and trained agents on the same held-out episodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

import sfl_agents
import sfl_baselines
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_env import Scenario, SFLVectorEnv
from sfl_lab.compare.agents import labels_of, modes_of
from sfl_lab.compare.contest import (
    CENTRALISED,
    IN_SEQUENCE,
    Contest,
    circumstances,
    described,
)
from sfl_lab.compare.lineup import Contestant, Lineup, Play, Row, agents_of
from sfl_lab.compare.rounds import figure, tables
from sfl_lab.compare.rounds.measure import Measure, measure_of
from sfl_lab.compare.rounds.rollout import Rollout, roll_out
from sfl_lab.compare.rounds.scores import Score, score
from sfl_lab.compare.rounds.yardstick import Yardstick, yardstick_name, yardstick_of
from sfl_lab.compare.writing import agent_notes, star_notes

if TYPE_CHECKING:
    from sfl_lab.compare.agents import Trained

POLICIES = sfl_baselines.names(Scenario())
"""Baselines that are compared by default: those for devices that work at once and are waited for."""

_BOUNDS = {
    "staged": "No optimum is known for rounds in stages: they are compared to a lower bound (Lagrangian, "
    "sfl_baselines.staged.staged_bound without branching) that need not be reachable.",
    "queued": "No optimum is known for rounds with a queue: they are compared to a lower bound (a server that "
    "takes no time) that need not be reachable.",
}
"""What is to be said of yardsticks that are none that can be reached, by the scenario's system."""


@dataclass(frozen=True)
class RoundResults:
    """What came out, with the best policy first in ``scores``."""

    contest: "RoundContest"
    scenario: Scenario
    rollouts: Mapping[str, Rollout]  # by contestant; of an agent with several training seeds by each
    rows: Mapping[str, Row]  # by policy
    scores: tuple[Score, ...]
    systems: Mapping[str, Mapping[str, Any]]  # policy to the fields that make its system another one

    @property
    def yardstick(self) -> str:
        """What rounds are compared to."""
        return yardstick_name(self.scenario)

    @property
    def measure(self) -> Measure:
        """What ranks the policies."""
        return measure_of(self.scenario)

    @property
    def title(self) -> str:
        """Say what was run."""
        contest = self.contest
        return (
            f"{described(contest)}: {contest.episodes} held-out episodes of {self.scenario.max_rounds} rounds, "
            f"seed {contest.seed}"
        )

    def table(self) -> Table:
        """Return what is printed, the best first."""
        about = (self.contest.episodes, self.title, self.yardstick, self.measure, self.systems)
        return tables.terminal_table(self.scores, *about)

    def notes(self) -> list[str]:
        """Return sentences to be printed below the table."""
        found = []
        if self.scenario.system in _BOUNDS:
            found.append(_BOUNDS[self.scenario.system])
        better = "better" if self.measure == "samples" else "shorter"
        not_theirs = f"Its rounds are compared to the {self.yardstick} of the others' system and can be {better}."
        return (
            found
            + star_notes(self.systems, not_theirs)
            + agent_notes(self.scores, [entry.policy for entry in self.scores])
        )

    def files(self) -> Mapping[str, Callable[[Path], None]]:
        """Return the names of tables and picture, and what writes each."""
        played = {label: [self.rollouts[member] for member in row.members] for label, row in self.rows.items()}
        drawn = (self.scores, played, self.title, self.yardstick, self.measure, self.systems)
        seeds = {label: row.training_seeds or (None,) for label, row in self.rows.items()}
        return {
            "results.csv": lambda path: tables.write_rounds(path, played, seeds, self.measure),
            "episodes.csv": lambda path: tables.write_episodes(path, played, seeds),
            "results.png": lambda path: figure.write_figure(path, *drawn),
        }

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        contest = self.contest
        return {
            "env_id": contest.env_id,
            "scenario": self.scenario.to_dict(),
            "episodes": contest.episodes,
            "seed": contest.seed,
            "generator_seed": held_out_seed(contest.seed),
            "reference": self.yardstick,
            "measure": self.measure,
            "other_systems": self.systems,
            **circumstances(),
            "policies": self.scores,
        }


@dataclass(frozen=True, kw_only=True)
class RoundContest(Contest[Rollout, RoundResults]):
    """Who competes by the lengths of rounds, each beside the shortest possible one; see :class:`Contest`.

    All episodes are played at once, so there is one heat.
    """

    env_id: str = "SFL-v0"
    policies: tuple[str, ...] = POLICIES
    episodes: int = 20

    @classmethod
    def unknown(cls, name: str) -> str:
        """Say of a policy that it cannot compete."""
        if name == CENTRALISED:
            return (
                f"{name!r} is training at one place that holds all data: there are no rounds to be timed. It "
                "belongs to comparisons of what is learnt, with mode='accuracy'."
            )
        return super().unknown(name)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The generator's seed, for all episodes together."""
        return (held_out_seed(self.seed),)

    def batch(self, action_mode: str, observation_mode: str = "devices", **fields: Any) -> SFLVectorEnv:
        """Return the environments of all episodes, with some fields changed."""
        modes = {"action_mode": action_mode, "observation_mode": observation_mode}
        return make_batch(self.env_id, self.episodes, {**self.fields, **fields}, **modes)

    def lineup(self) -> Lineup[Rollout]:
        """Make the environments, baselines and agents, each under a label of its own."""
        labels_of(self.policies, ())  # tells of what is named twice before anything is made
        base = self.batch(self.action_mode)
        yardstick = yardstick_of(base.episodes)
        contestants = [self._baseline(name, base, yardstick) for name in self.policies]
        envs = {("devices", self.action_mode): base}

        def agent(path: Path, trained: "Trained") -> Play[Rollout]:
            modes = modes_of(trained, partial(make_batch, self.env_id, 1, self.fields), described(self))
            if modes not in envs:
                envs[modes] = self.batch(observation_mode=modes[0], action_mode=modes[1])
            policy = sfl_agents.load(path, envs[modes], trust=self.trust)
            return partial(roll_out, policy, envs[modes].episodes, yardstick)

        contestants += agents_of(self.agents, self.policies, agent, trust=self.trust)
        return Lineup(base.scenario, tuple(contestants))

    def _baseline(self, name: str, base: SFLVectorEnv, yardstick: Yardstick) -> Contestant[Rollout]:
        own_fields = self.system_of(name, base.episodes)
        if not own_fields:
            play = partial(roll_out, sfl_baselines.make(name, base), base.episodes, yardstick)
            return Contestant(name, "baseline", play, about=sfl_baselines.about(name))
        own = self.batch(self.action_mode, **own_fields)
        play = partial(roll_out, sfl_baselines.make(name, own), own.episodes, replace(yardstick, bounds=False))
        return Contestant(name, "baseline", play, IN_SEQUENCE, sfl_baselines.about(name))

    def load(self, path: Path, entries: int) -> Rollout:
        """Read a stored record whose arrays have at most so many entries."""
        return Rollout.load(path, entries)

    def results(self, lineup: Lineup[Rollout], records: Mapping[str, tuple[Rollout, ...]]) -> RoundResults:
        """Score and rank the policies."""
        rollouts = {label: only for label, (only,) in records.items()}
        rows, measure = {row.label: row for row in lineup.rows}, measure_of(lineup.scenario)
        scores = [score(row, [rollouts[member] for member in row.members], measure) for row in rows.values()]
        scores.sort(key=lambda entry: _rank(entry, measure))
        return RoundResults(self, lineup.scenario, rollouts, rows, tuple(scores), lineup.systems)


def _rank(entry: Score, measure: Measure) -> float:
    # Rounded, so that policies that are equal but for rounding keep the order in which they were named.
    if measure == "samples":
        assert entry.in_time is not None
        return -round(entry.in_time.samples_per_s.value, 5)
    return round(entry.ratio.value, 5) if measure == "ratio" else -round(entry.mean_return, 3)
