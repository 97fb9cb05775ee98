"""Trained agents by their settings: trainings that differ by their seed alone are one row of a comparison."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sfl_agents
from sfl_agents.files import run_folder
from sfl_env.errors import PolicyError
from sfl_env.storage import runs

if TYPE_CHECKING:
    from sfl_agents import Job
    from sfl_agents.files.stock import Modes, StockAgent

    Trained = Job | StockAgent
    """What tells how an agent was trained: a run of this package, or a file of Stable-Baselines3's own."""

_NUMBER = re.compile(r"[-_. ]+(seed)?[-_. ]*\d*$")
"""What is left of the seed where names of runs have a beginning in common."""


@dataclass(frozen=True)
class Team:
    """The training seeds of one algorithm with one set of settings."""

    label: str
    paths: tuple[Path, ...]
    jobs: tuple["Trained", ...]  # the seeds rise


def trained_as(path: Path, *, trust: bool) -> "Trained":
    """Return how an agent was trained.

    Parameters
    ----------
    path : pathlib.Path
        Training run, agent's file or name of a published agent.
    trust : bool
        Open a file in Stable-Baselines3's own format, too, which runs code that is in it.

    Raises
    ------
    RunError
        If the path is no training run's, or the file is one to be trusted first.
    PolicyError
        If the file is damaged.
    """
    from sfl_agents.files import stock

    if stock.is_stock(path):
        return stock.StockAgent.open(path, trust=trust)
    return sfl_agents.describe(path, trust=True)  # whoever compares has named the environment


def modes_of(trained: "Trained", make: Callable[..., Any], where: str) -> "Modes":
    """Return the modes of observation and action that an agent acts through.

    Parameters
    ----------
    trained : Job or StockAgent
        How it was trained.
    make : callable
        Makes the environment in which it is to act, given its modes.
    where : str
        What that is called.

    Raises
    ------
    PolicyError
        If its file does not tell, and the environment has its spaces in none of its modes, or in several.
    """
    if isinstance(trained, sfl_agents.Job):
        return trained.settings.observation_mode, trained.settings.action_mode
    return trained.modes_in(make, where)


def about(trained: "Trained") -> str:
    """Return a sentence's part on how an agent was trained."""
    return sfl_agents.about(trained) if isinstance(trained, sfl_agents.Job) else trained.about()


def runs_in(path: Path) -> tuple[Path, ...]:
    """Return the training runs that a path stands for: itself, or those in the folder.

    Files that algorithms of Stable-Baselines3 have saved into a folder are as good as runs in it.

    Examples
    --------
    >>> runs_in(Path("no/such/run"))
    (PosixPath('no/such/run'),)
    """
    from sfl_agents.files import foreign, published

    if not path.is_dir() or (path / runs.CONFIG).is_file() or published.is_published(path):
        return (path,)
    found = (entry for entry in path.iterdir() if (entry / runs.CONFIG).is_file() or foreign.is_foreign(entry))
    return tuple(sorted(found)) or (path,)


def teams_of(agents: Sequence[Path], policies: Sequence[str], *, trust: bool = False) -> tuple[Team, ...]:
    """Put agents of the same settings together, each team under a label of its own.

    Parameters
    ----------
    agents : sequence of path
        Training runs, agents' files, or folders of training runs.
    policies : sequence of str
        Labels that are taken.
    trust : bool
        As for :func:`trained_as`.

    Raises
    ------
    PolicyError
        If a folder holds trainings of different settings, or a training is named twice.
    RunError
        If a path is no training run's.
    """
    found: dict[str, list[tuple[Path, Trained]]] = {}
    folders: dict[str, Path] = {}
    for path in agents:
        members = [(run, trained_as(run, trust=trust)) for run in runs_in(path)]
        _check_alike(path, members)
        key = repr(sorted(_flat(_without_seed(members[0][1]))))
        found.setdefault(key, []).extend(members)
        if len(members) > 1:
            folders.setdefault(key, path)
    teams = [_team(folders.get(key), members) for key, members in found.items()]
    labels = labels_of(policies, [(team.label, str(team.paths[0])) for team in teams])[len(policies) :]
    return tuple(replace(team, label=label) for team, label in zip(teams, labels, strict=True))


def labels_of(policies: Sequence[str], agents: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return a label of its own for every policy and then for every agent.

    Parameters
    ----------
    policies : sequence of str
        Names of baselines.
    agents : sequence of (str, str)
        Name and path of each.

    Raises
    ------
    PolicyError
        If one is named twice.

    Examples
    --------
    >>> labels_of(["exact"], [("ppo", "runs/ppo"), ("sac", "old/sac"), ("sac", "new/sac")])
    ('exact', 'ppo', 'old/sac', 'new/sac')
    """
    # Two agents of one name, or of a baseline's, are told apart by their paths.
    taken = [*policies, *(name for name, _ in agents)]
    labels = (*policies, *(path if taken.count(name) > 1 else name for name, path in agents))
    for label in labels:
        if labels.count(label) > 1:
            raise PolicyError(f"{label!r} is named twice; name every policy once.")
    return labels


def _team(folder: Path | None, members: Sequence[tuple[Path, "Trained"]]) -> Team:
    members = sorted(members, key=lambda member: member[1].seed or 0)
    paths, jobs = zip(*members, strict=True)
    for (path, job), (other, next_job) in itertools.pairwise(members):
        if job.seed == next_job.seed:
            raise PolicyError(
                f"{path} and {other} are the same training (seed {job.seed} of the same settings), named twice; "
                "intervals over training seeds need another seed for each."
            )
    return Team(_name(paths[0]) if len(paths) == 1 else _common_name(folder, paths, jobs[0].algo), paths, jobs)


def _name(path: Path) -> str:
    """Return what a run is called: by its folder, or a file that is no run's by its own name.

    Examples
    --------
    >>> _name(Path("runs/ppo")), _name(Path("runs/ppo/agent.zip")), _name(Path("mine.zip"))
    ('ppo', 'ppo', 'mine')
    """
    if path.suffix == ".zip" and path.name != run_folder.AGENT:
        return path.stem
    folder = path.parent if path.suffix == ".zip" else path
    # "." and ".." say where a folder is, not how it is called.
    return folder.name if folder.name not in ("", "..") else folder.resolve().name


def _common_name(folder: Path | None, paths: Sequence[Path], algo: str) -> str:
    """Return the folder's name, or what the runs' names begin with alike.

    Examples
    --------
    >>> _common_name(None, [Path("runs/ppo-10"), Path("runs/ppo-11")], "ppo")
    'ppo'
    >>> _common_name(None, [Path("runs/sac2-seed0"), Path("runs/sac2-seed1")], "sac")
    'sac2'
    >>> _common_name(Path("runs/best"), [Path("runs/best/0"), Path("runs/best/1")], "ppo")
    'best'
    """
    if folder is not None:
        return _name(folder)
    columns = zip(*(_name(path) for path in paths), strict=False)
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, columns)
    return _NUMBER.sub("", "".join(letters[0] for letters in alike)) or algo


def _check_alike(folder: Path, members: Sequence[tuple[Path, "Trained"]]) -> None:
    """Raise unless trainings in one folder differ by their seeds alone."""
    (first, job), *others = members
    for path, trained in members:
        if others and trained.seed is None:
            raise PolicyError(
                f"{folder} holds {path.name}, which was trained without a seed: nothing tells another training of "
                "the same settings from a copy. Train with seeds, or name the files one by one."
            )
    ours = dict(_flat(_without_seed(job)))
    for path, other in others:
        theirs = dict(_flat(_without_seed(other)))
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                raise PolicyError(
                    f"{folder} holds trainings of different settings: {name} is {ours.get(name)} in "
                    f"{first.name} and {theirs.get(name)} in {path.name}. One row is of training seeds of the "
                    "same settings; name the runs of each settings by themselves."
                )


def _without_seed(job: "Trained") -> dict[str, Any]:
    values = job.to_dict()
    del values["seed"]
    return values


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting's name, with those of the mappings that it lies in, and its value as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", repr(value)
