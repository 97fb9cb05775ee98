"""The contest by learning curves: every scheme trained from the same seeds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

import sfl_baselines
from sfl_baselines import Policy
from sfl_baselines.environments import held_out_seed, make_single
from sfl_env import Scenario, SFLEnv
from sfl_env.errors import ScenarioError
from sfl_lab.compare.agents import labels_of
from sfl_lab.compare.contest import (
    CENTRALISED,
    IN_SEQUENCE,
    SEQUENTIAL,
    Contest,
    circumstances,
    described,
)
from sfl_lab.compare.curves import figure, tables
from sfl_lab.compare.curves.curve import Curve, follow
from sfl_lab.compare.curves.schemes import CentralisedLearner, RoundLengthAgent
from sfl_lab.compare.curves.scores import LearningScore, score
from sfl_lab.compare.lineup import Contestant, Lineup, Play, Row, agents_of
from sfl_lab.compare.writing import agent_notes, star_notes

if TYPE_CHECKING:
    from sfl_agents import Job

SCHEMES = ("alternating", "exact", "common-cut", "equal-bandwidth", "federated", SEQUENTIAL, CENTRALISED)
"""What is compared by default."""


@dataclass(frozen=True)
class CurveResults:
    """What came out, with the scheme that is first at the target first in ``scores``."""

    contest: "CurveContest"
    scenario: Scenario
    target: float
    curves: Mapping[str, tuple[Curve, ...]]  # by contestant, one for each held-out seed
    rows: Mapping[str, Row]  # by scheme
    scores: tuple[LearningScore, ...]
    systems: Mapping[str, Mapping[str, Any]]  # scheme to the fields that make its system another one

    @property
    def first(self) -> str:
        """The scheme that times are compared with."""
        return next(iter(self.curves))

    @property
    def title(self) -> str:
        """Say what was run."""
        about = described(self.contest, unsaid=("mode", "max_rounds"))
        return f"{about}: {self.contest.episodes} held-out seeds, {self.scenario.max_rounds} rounds each"

    def table(self) -> Table:
        """Return what is printed, the best first."""
        return tables.terminal_table(self.scores, self.target, self.first, self.title, self.systems)

    def notes(self) -> list[str]:
        """Return sentences to be printed below the table."""
        found = star_notes(self.systems, "Its times and rounds are its own, from the same data and weights.")
        if any(entry.kind == "reference" for entry in self.scores):
            found.append("Centralised training has no time axis: all data lies at one place and nothing is sent.")
        return found + agent_notes(self.scores, [entry.scheme for entry in self.scores], "held-out seeds")

    def files(self) -> Mapping[str, Callable[[Path], None]]:
        """Return the names of tables and picture, and what writes each."""
        timeless = [entry.scheme for entry in self.scores if entry.kind == "reference"]
        followed = {label: [self.curves[member] for member in row.members] for label, row in self.rows.items()}
        seeds = {label: row.training_seeds or (None,) for label, row in self.rows.items()}
        told = (followed, timeless, self.contest.seeds, seeds)
        together = {label: [curve for group in groups for curve in group] for label, groups in followed.items()}
        drawn = (self.scores, together, self.target, self.title, self.systems)
        return {
            "curves.csv": lambda path: tables.write_curves(path, *told),
            "time_to_target.csv": lambda path: tables.write_times(path, *told, self.target),
            "curves.png": lambda path: figure.write_figure(path, *drawn),
        }

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        contest = self.contest
        return {
            "env_id": contest.env_id,
            "scenario": self.scenario.to_dict(),
            "seeds": contest.seeds,
            "target_accuracy": self.target,
            "first": self.first,
            "other_systems": self.systems,
            **circumstances(),
            "schemes": self.scores,
        }


@dataclass(frozen=True, kw_only=True)
class CurveContest(Contest[Curve, CurveResults]):
    """Who competes by what is learnt, from the same data, weights and channels; see :class:`Contest`.

    Besides baselines there is ``"centralised"``: one device that holds all data. Agents are those of training runs
    on the lengths of rounds alone. Each seed is a heat.
    """

    env_id: str = "SFL-Accuracy-v0"
    policies: tuple[str, ...] = SCHEMES
    episodes: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        held_out_seed(self.seed + self.episodes - 1)

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """Return the names of the schemes that can compete."""
        return (*super().known(), CENTRALISED)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the episodes."""
        return tuple(held_out_seed(self.seed + number) for number in range(self.episodes))

    def env(self, action_mode: str, **fields: Any) -> SFLEnv:
        """Return the environment, with some fields changed."""
        return make_single(self.env_id, {"mode": "accuracy", **self.fields, **fields}, action_mode=action_mode)

    def lineup(self) -> Lineup[Curve]:
        """Make the environments, baselines and agents, each under a label of its own.

        Raises
        ------
        ScenarioError
            If there is no target accuracy.
        SFLError
            As for :meth:`Contest.lineup`.
        """
        labels_of(self.policies, ())  # tells of what is named twice before anything is made
        env = self.env(self.action_mode)
        if env.scenario.target_accuracy is None:
            raise ScenarioError(
                "target_accuracy is None; to compare what is learnt takes an accuracy to reach, such as "
                "target_accuracy=0.9."
            )

        def agent(path: Path, job: "Job") -> Play[Curve]:
            own = self.env(job.settings.action_mode)
            return _trainer(partial(RoundLengthAgent, path, own, trust=self.trust), own)

        contestants = [self._baseline(name, env) for name in self.policies]
        contestants += agents_of(self.agents, self.policies, agent)
        return Lineup(env.scenario, tuple(contestants))

    def _baseline(self, name: str, env: SFLEnv) -> Contestant[Curve]:
        make = partial(self.env, self.action_mode)
        if name == CENTRALISED:
            own = make(learner=CentralisedLearner(make, env))
            play = _trainer(partial(sfl_baselines.make, "equal-bandwidth", own), own)
            return Contestant(name, "reference", play, about="all data at one place, nothing sent")
        own_fields = self.system_of(name, env.episodes)
        own = make(**own_fields) if own_fields else env
        play = _trainer(partial(sfl_baselines.make, name, own), own)
        about = sfl_baselines.about(name)
        return Contestant(name, "baseline", play, IN_SEQUENCE if own_fields else {}, about)

    def load(self, path: Path, entries: int) -> Curve:
        """Read a stored record whose arrays have at most so many entries."""
        return Curve.load(path, entries)

    def results(self, lineup: Lineup[Curve], records: Mapping[str, tuple[Curve, ...]]) -> CurveResults:
        """Score and rank the schemes."""
        target = lineup.scenario.target_accuracy
        assert target is not None
        first = next(iter(records.values()))
        rows = {row.label: row for row in lineup.rows}
        scores = [score(row, [records[member] for member in row.members], target, first) for row in rows.values()]
        # Rounded, so that schemes that are equal but for rounding keep the order in which they were named.
        scores.sort(key=lambda entry: np.inf if entry.time_at_least_s is None else round(entry.time_at_least_s, 6))
        return CurveResults(self, lineup.scenario, target, records, rows, tuple(scores), lineup.systems)


def _trainer(policy: Callable[[], Policy], env: SFLEnv) -> Callable[[int, Callable[[], object]], Curve]:
    """Return what trains once, under a policy of its own, so that an interrupted contest goes on alike."""

    def play(seed: int, on_round: Callable[[], object]) -> Curve:
        return follow(policy(), env.episodes, seed, on_round)

    return play
