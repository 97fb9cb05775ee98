"""Who competes: contestants, and the rows of the results that they stand in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sfl_env import Scenario
from sfl_lab.compare.agents import about, teams_of
from sfl_lab.compare.records import Record

if TYPE_CHECKING:
    from sfl_lab.compare.agents import Trained

Kind = Literal["baseline", "agent", "reference"]
"""A reference is what is possible where the contest's limits do not hold."""

R = TypeVar("R", bound=Record)

Play = Callable[[int, Callable[[], object]], R]
"""Plays a heat."""


@dataclass(frozen=True)
class Contestant(Generic[R]):
    """One of those compared, ready to play."""

    label: str
    kind: Kind
    play: Play[R]
    """Of the heat's seed, and what to call after every round."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """Fields that make its system another one than the contest's."""
    about: str = ""
    """What it does, or how it was trained."""
    row: str | None = None
    """Label of the row that it shares with other training seeds; its own by default."""
    training_seed: int | None = None
    """Of an agent."""


@dataclass(frozen=True)
class Row:
    """What is one line of the results: a baseline, or an agent's training seeds."""

    label: str
    kind: Kind
    about: str
    training_seeds: tuple[int, ...]  # none for what is not trained
    members: tuple[str, ...]  # labels of the contestants

    @property
    def unit(self) -> str:
        """What the interval of its ratio is over."""
        return "training seed" if len(self.training_seeds) > 1 else "episode"


@dataclass(frozen=True)
class Lineup(Generic[R]):
    """All contestants, and the system that the contest is about."""

    scenario: Scenario
    contestants: tuple[Contestant[R], ...]

    @property
    def systems(self) -> dict[str, Mapping[str, Any]]:
        """The rows whose systems are others, with the fields that make them so."""
        return {entrant.row or entrant.label: entrant.system for entrant in self.contestants if entrant.system}

    @property
    def rows(self) -> tuple[Row, ...]:
        """The lines of the results, in the order in which they were named."""
        found: dict[str, list[Contestant[R]]] = {}
        for entrant in self.contestants:
            found.setdefault(entrant.row or entrant.label, []).append(entrant)
        return tuple(_row(label, members) for label, members in found.items())


def _row(label: str, members: Sequence[Contestant[R]]) -> Row:
    first = members[0]
    seeds = tuple(entrant.training_seed for entrant in members if entrant.training_seed is not None)
    return Row(label, first.kind, first.about, seeds, tuple(entrant.label for entrant in members))


def agents_of(
    agents: Sequence[Path],
    policies: Sequence[str],
    make: Callable[[Path, "Trained"], Play[R]],
    *,
    trust: bool = False,
) -> list[Contestant[R]]:
    """Return a contest's agents, those of the same settings under the label of one row.

    Parameters
    ----------
    agents : sequence of path
        Training runs, agents' files, or folders of training runs.
    policies : sequence of str
        Labels that are taken.
    make : callable
        Returns what plays, of a run's path and what it was trained for.
    trust : bool
        Open files, too, that run code.

    Raises
    ------
    RunError, PolicyError
        If one cannot be loaded, or for trainings that are no training seeds of one another.
    """
    return [
        Contestant(
            label=team.label if len(team.paths) == 1 else f"{team.label}, training seed {job.seed}",
            kind="agent",
            play=make(path, job),
            about=about(job),
            row=team.label,
            training_seed=job.seed,
        )
        for team in teams_of(agents, policies, trust=trust)
        for path, job in zip(team.paths, team.jobs, strict=True)
    ]
