"""The skeleton of every comparison: who competes on which held-out episodes, what is kept of it, and who is ahead.

What is kept of a contestant is a :class:`Record`: :class:`~sfl_lab.compare.rounds.rollout.Rollout` of rounds,
:class:`~sfl_lab.compare.curves.curve.Curve` of what is learnt in them. A contest goes by heats, one for each seed,
in which all contestants meet the same devices and random numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rich.table import Table

import sfl_baselines
from sfl_baselines.environments import held_out_seed
from sfl_env import Scenario
from sfl_env.checks import nearest_name
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError, RunError, ScenarioError
from sfl_env.storage import runs
from sfl_env.storage.runs import Run
from sfl_lab.compare.intervals import CONFIDENCE
from sfl_lab.compare.lineup import Lineup
from sfl_lab.compare.records import Record, check_paired

SEQUENTIAL = "sequential"
"""Split learning: devices in sequence. Wherever it competes, its environment has ``schedule="sequence"``."""

CENTRALISED = "centralised"
"""One device that holds all data: what accuracy is possible. It has no time axis."""

IN_SEQUENCE: Mapping[str, Any] = {"schedule": "sequence"}

RECORDS = "records"
"""Folder of what is done, which an interrupted contest goes on from."""

R = TypeVar("R", bound=Record)
Out = TypeVar("Out", bound="Results")


class Results(Protocol):
    """What came out of a contest."""

    def table(self) -> Table:
        """Return what is printed, the best first."""
        ...

    def notes(self) -> list[str]:
        """Return sentences to be printed below the table."""
        ...

    def files(self) -> Mapping[str, Callable[[Path], None]]:
        """Return the names of tables and pictures, and what writes each."""
        ...

    def summary(self) -> dict[str, Any]:
        """Return the outcome as plain values."""
        ...


class Watcher(Protocol):
    """Is told how a contest goes."""

    def on_record(self, label: str, number: int) -> None:
        """Record number so-and-so begins, of this contestant."""
        ...

    def on_round(self) -> None:
        """Another round has been played."""
        ...

    def on_damage(self, problem: str) -> None:
        """A stored record is of no use and is made again."""
        ...


class _Silent:
    """A watcher that does nothing."""

    def on_record(self, label: str, number: int) -> None:
        """Do nothing."""

    def on_round(self) -> None:
        """Do nothing."""

    def on_damage(self, problem: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, kw_only=True)
class Contest(ABC, Generic[R, Out]):
    """Who competes, and on what.

    Parameters
    ----------
    env_id : str
        Registered id.
    policies : tuple of str
        Names of baselines. All act in the environment as it is but ``"sequential"``, for which it has
        ``schedule="sequence"``.
    agents : tuple of path
        Folders of training runs, model files in them, or folders of training runs that differ by their seeds
        alone. Those of the same settings are one row, with the interval of its ratio over training seeds.
    episodes : int
        Held-out episodes, at least 2.
    seed : int
        Which held-out episodes.
    fields : mapping
        Scenario fields that override the id's.
    action_mode : str
        Action space that the baselines act through; agents act through the one they were trained with.
    trust : bool
        Open agents' files, too, that run code; see :func:`sfl_agents.load`.

    Raises
    ------
    PolicyError
        If a baseline is not known or does not belong here, or nothing is to be compared.
    RunError
        For less than 2 episodes.
    """

    env_id: str
    policies: tuple[str, ...]
    agents: tuple[Path, ...] = ()
    episodes: int
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    action_mode: str = "continuous"
    trust: bool = False

    def __post_init__(self) -> None:
        known = self.known()
        for name in self.policies:
            if name not in known:
                raise PolicyError(self.unknown(name))
        if not (self.policies or self.agents):
            raise PolicyError("Nothing is to be compared; name at least one baseline or agent.")
        if self.episodes < 2:
            raise RunError(f"episodes is {self.episodes}; intervals need at least 2.")
        held_out_seed(self.seed)

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """Return the names of the policies that can compete."""
        return sfl_baselines.names()

    @classmethod
    def unknown(cls, name: str) -> str:
        """Say of a policy that it cannot compete."""
        known = cls.known()
        return f"Unknown baseline {name!r}{nearest_name(name, known)}; known are {', '.join(known)}."

    @property
    @abstractmethod
    def seeds(self) -> tuple[int, ...]:
        """Of the generator, one for each heat."""

    @abstractmethod
    def lineup(self) -> Lineup[R]:
        """Make the environments, baselines and agents, each under a label of its own.

        Raises
        ------
        SFLError
            For an environment, baseline or agent that is not there or does not fit, or that is named twice.
        """

    @abstractmethod
    def load(self, path: Path, entries: int) -> R:
        """Read a stored record whose arrays have at most so many entries."""

    @abstractmethod
    def results(self, lineup: Lineup[R], records: Mapping[str, tuple[R, ...]]) -> Out:
        """Score and rank the contestants by their records, one for each heat."""

    def system_of(self, name: str, base: Episodes) -> dict[str, Any]:
        """Return the fields of a baseline's own environment, where its system is not the contest's.

        Raises
        ------
        PolicyError
            If such a system is not possible.
        """
        scenario = base.scenario
        if name != SEQUENTIAL or scenario.schedule == "sequence":
            return {}
        try:
            scenario.replace(**IN_SEQUENCE)
        except ScenarioError as error:
            raise PolicyError(
                f"{name!r} plays with schedule='sequence', which is not possible here: {error}"
            ) from error
        # Rewards are in the same units, so that returns can be compared.
        return {**IN_SEQUENCE, "reference_latency_s": base.reference_latency_s}


def compare(
    contest: Contest[R, Out], lineup: Lineup[R], *, store: Path | None = None, watcher: Watcher | None = None
) -> Out:
    """Let all contestants play all heats, and score them.

    Parameters
    ----------
    contest : Contest
        What to compare.
    lineup : Lineup
        What :meth:`Contest.lineup` made of it.
    store : pathlib.Path, optional
        Folder for the records that are done; what is in it already is not done again.
    watcher : Watcher, optional
        Told of progress.

    Raises
    ------
    ImpossibleResultError
        If a contestant beats what is proven to be the optimum, or contestants were not treated alike.
    """
    watcher = watcher or _Silent()
    if store is not None:
        store.mkdir(exist_ok=True)
    records: dict[str, list[R]] = {entrant.label: [] for entrant in lineup.contestants}
    for heat, seed in enumerate(contest.seeds):
        for column, entrant in enumerate(lineup.contestants):
            watcher.on_record(entrant.label, heat * len(lineup.contestants) + column)
            done = None if store is None else store / f"{column}-{seed}.npz"
            record = _stored(contest, lineup.scenario, done, watcher)
            if record is None:
                record = entrant.play(seed, watcher.on_round)
                if done is not None:
                    record.save(done)
            records[entrant.label].append(record)
        check_paired({label: found[heat] for label, found in records.items()})
    return contest.results(lineup, {label: tuple(found) for label, found in records.items()})


def _stored(contest: Contest[R, Out], scenario: Scenario, path: Path | None, watcher: Watcher) -> R | None:
    """Return what an interrupted contest has left, if it is whole."""
    if path is None or not path.is_file():
        return None
    try:
        record = contest.load(path, (scenario.max_rounds + 1) * contest.episodes)
    except RunError as error:
        watcher.on_damage(f"{error} It is made again.")
        return None
    if record.fits(scenario, contest.episodes):
        return record
    watcher.on_damage(f"{path} holds something else than a record of this contest. It is made again.")
    return None


def write_results(run: Run, results: Results) -> None:
    """Write tables, picture and, last, the summary into a run's folder."""
    for name, write in results.files().items():
        write(run.file(name))
    run.finish(results.summary())


def circumstances() -> dict[str, Any]:
    """Return what every summary tells beside the outcome: how sure its intervals are, and what made it."""
    return {
        "confidence": CONFIDENCE,
        "command": runs.command(),
        "versions": runs.versions(),
    }


def described(contest: Contest[R, Out], unsaid: tuple[str, ...] = ()) -> str:
    """Return the id with the fields that were overridden, but for some."""
    fields_there = (f", {name}={value}" for name, value in contest.fields.items() if name not in unsaid)
    return contest.env_id + "".join(fields_there)
