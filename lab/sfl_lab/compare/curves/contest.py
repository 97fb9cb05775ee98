"""The contest by learning curves: every scheme trained from the same seeds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from rich.table import Table

import sfl_baselines
from sfl_baselines import Policy
from sfl_baselines.environments import held_out_seed, make_single
from sfl_env import Scenario, SFLEnv
from sfl_env.errors import ScenarioError
from sfl_env.scenario import Server
from sfl_lab.compare.agents import labels_of, modes_of
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
from sfl_lab.compare.curves.schemes import CentralisedLearner, RoundLengthAgent, without_progress
from sfl_lab.compare.curves.scores import LearningScore, score
from sfl_lab.compare.curves.tuned import FIELDS, setting
from sfl_lab.compare.lineup import Contestant, Lineup, Play, Row, agents_of
from sfl_lab.compare.writing import agent_notes, star_notes

if TYPE_CHECKING:
    from sfl_lab.compare.agents import Trained

SERVERS: tuple[str, ...] = get_args(Server)
"""Kinds of server by the literature's names: schemes with the cuts and shares of ``"alternating"``."""

SCHEMES = (
    *("alternating", "exact", "common-cut", "equal-bandwidth"),
    *("splitfed-v1", "splitfed-v2", "adaptsfl"),
    *("federated", SEQUENTIAL, CENTRALISED),
)
"""What is compared by default; the first four have the scenario's own kind of server."""


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
    settings: Mapping[str, Mapping[str, float]]  # scheme to its step size and momentum

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
        tuned = {name: each for name, each in self.settings.items() if name != CENTRALISED}
        if len({tuple(each.items()) for each in self.settings.values()}) > 1:
            told = "; ".join(f"{name} {' and '.join(map(str, each.values()))}" for name, each in tuned.items())
            found.append(f"Step size and momentum were tuned for each scheme (docs/accuracy.md): {told}.")
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
            "settings": self.settings,
            **circumstances(),
            "schemes": self.scores,
        }


@dataclass(frozen=True, kw_only=True)
class CurveContest(Contest[Curve, CurveResults]):
    """Who competes by what is learnt, from the same data, weights and channels; see :class:`Contest`.

    Besides baselines there are the kinds of server (``"splitfed-v2"``), which act as ``"alternating"`` does, and
    ``"centralised"``: one device that holds all data. Agents are those of training runs on the lengths of rounds
    alone. Each seed is a heat. Step size and momentum are each scheme's own where they have been tuned for the
    scenario, unless the user gives one of them; see :mod:`sfl_lab.compare.curves.tuned`.
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
        return (*super().known(), *SERVERS, CENTRALISED)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the episodes."""
        return tuple(held_out_seed(self.seed + number) for number in range(self.episodes))

    def env(self, action_mode: str, observation_mode: str = "devices", **fields: Any) -> SFLEnv:
        """Return the environment, with some fields changed."""
        modes = {"action_mode": action_mode, "observation_mode": observation_mode}
        return make_single(self.env_id, {"mode": "accuracy", **self.fields, **fields}, **modes)

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

        def agent(path: Path, trained: "Trained") -> Play[Curve]:
            steps: dict[str, Any] = setting(env.scenario.server, env.scenario, self.fields)
            where = f"{described(self)} without its network's progress"
            observation_mode, action_mode = modes_of(trained, partial(without_progress, env), where)
            own = self.env(action_mode, observation_mode, **steps)
            modes = {"observation_mode": observation_mode, "action_mode": action_mode}
            return _trainer(partial(RoundLengthAgent, path, own, trust=self.trust, **modes), own)

        contestants = [self._baseline(name, env) for name in self.policies]
        contestants += agents_of(self.agents, self.policies, agent, trust=self.trust)
        return Lineup(env.scenario, tuple(contestants))

    def _baseline(self, name: str, env: SFLEnv) -> Contestant[Curve]:
        make = partial(self.env, self.action_mode)
        if name == CENTRALISED:
            own = make(learner=CentralisedLearner(make, env))
            play = _trainer(partial(sfl_baselines.make, "equal-bandwidth", own), own)
            return Contestant(name, "reference", play, about="all data at one place, nothing sent")
        system = self.system_of(name, env.episodes)
        kind = {"server": name} if name in SERVERS else {}
        changed = {**system, **kind, **self.setting_of(name, env.scenario)}
        is_the_same = all(getattr(env.scenario, field) == value for field, value in changed.items())
        own = env if is_the_same else make(**changed)
        policy = "alternating" if kind else name
        play = _trainer(partial(sfl_baselines.make, policy, own), own)
        return Contestant(name, "baseline", play, IN_SEQUENCE if system else {}, sfl_baselines.about(policy))

    def setting_of(self, label: str, scenario: Scenario) -> dict[str, float]:
        """Return the step size and momentum of a scheme; those of a policy are those of the scenario's server."""
        if label == CENTRALISED:
            return {name: getattr(scenario, name) for name in FIELDS}
        scheme = SEQUENTIAL if scenario.schedule == "sequence" else label
        if scheme not in ("federated", SEQUENTIAL, *SERVERS):
            scheme = scenario.server
        return setting(scheme, scenario, self.fields)

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
        settings = {label: self.setting_of(label, lineup.scenario) for label in rows}
        return CurveResults(self, lineup.scenario, target, records, rows, tuple(scores), lineup.systems, settings)


def _trainer(policy: Callable[[], Policy], env: SFLEnv) -> Callable[[int, Callable[[], object]], Curve]:
    """Return what trains once, under a policy of its own, so that an interrupted contest goes on alike."""

    def play(seed: int, on_round: Callable[[], object]) -> Curve:
        return follow(policy(), env.episodes, seed, on_round)

    return play
