"""A run's folder: how it was made, beside results that are there whole or not at all.

Every command that produces results writes them into a folder of its own:

============  ==========================================================================================
config.json   format, kind and settings of the run, and for each start (a resumed run has several) its time,
              command and package versions
summary.json  the outcome; written last, so a folder that holds one is complete
others        results of the kind of run, each written under a temporary name and then renamed
============  ==========================================================================================
"""

import dataclasses
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from sfl_env.checks import shown
from sfl_env.errors import RunError
from sfl_env.storage.atomic import atomic_output, writing
from sfl_env.storage.json_text import read_json

FORMAT = 2
"""Of a run's folder. Format 1, of sfl-env 0.1, said none in its ``config.json``, and held agents that run code."""

CONFIG = "config.json"
SUMMARY = "summary.json"
_LARGEST_CONFIG = 2**20
"""Bytes of a ``config.json``; a run that was resumed a hundred times has a twentieth of it."""

PACKAGES = ("sfl-env", "numpy", "scipy", "gymnasium", "torch", "stable-baselines3", "sb3-contrib")
"""Packages whose versions a run's results depend on."""


@dataclass(frozen=True)
class Run:
    """An open run's folder.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    resumed : bool
        Whether it continues a run that was started before.
    """

    path: Path
    resumed: bool

    def file(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.path / name

    def write_json(self, name: str, value: Any) -> Path:
        """Write a value as a JSON file of the run, whole or not at all."""
        return write_json(self.file(name), value)

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Write ``summary.json``, which marks the run as complete; do it last."""
        return self.write_json(SUMMARY, summary)


def start(
    path: Path | str,
    kind: str,
    settings: Mapping[str, Any],
    *,
    resume: bool = False,
    overwrite: bool = False,
    told: Mapping[str, Any] | None = None,
) -> Run:
    """Make or reopen the folder of a run and write down how it was made.

    Parameters
    ----------
    path : path
        The folder. It may exist if it is empty, or with ``resume`` or ``overwrite``.
    kind : str
        The command, such as ``"train"``.
    settings : mapping
        Everything that the results depend on: JSON values, dataclasses, paths, tuples.
    resume : bool
        Continue the run in this folder, which has to have the same kind and settings; where there is none
        yet, start it.
    overwrite : bool
        Delete the run in this folder first. Folders that are no run's are never deleted.
    told : mapping, optional
        What else is to be written down of this start, such as where settings were read; results do not depend on
        it.

    Returns
    -------
    Run

    Raises
    ------
    RunError
        If the folder exists and neither ``resume`` nor ``overwrite`` is given, or both are; if it is no run's
        folder; if a run to be resumed is complete, or was started with other settings or by an older version.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "demo"
    >>> run = start(folder, "demo", {"seed": 0})
    >>> _ = run.finish({"score": 1.0})
    >>> is_complete(folder), read_config(folder)["settings"]
    (True, {'seed': 0})
    >>> start(folder, "demo", {"seed": 0}, resume=True)
    Traceback (most recent call last):
        ...
    sfl_env.errors.RunError: The run in ... is complete; do it again with overwrite=True.
    """
    path = Path(path)
    _check_name(path)
    if resume and overwrite:
        raise RunError("resume=True and overwrite=True exclude each other: continue the old run or replace it.")
    plain = to_plain(settings)
    invocation = {"started": _now(), "command": command(), "versions": versions(), **(told or {})}
    if not _has_content(path):
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
    elif overwrite:
        _discard(path)
    elif resume:
        config = read_config(path)
        _check_same(path, config, kind, plain)
        config["invocations"].append(invocation)
        write_json(path / CONFIG, config)
        return Run(path, resumed=True)
    else:
        raise RunError(
            f"{path} exists already; continue the run in it with resume=True, replace it with overwrite=True, or "
            "name another folder."
        )
    write_json(path / CONFIG, {"format": FORMAT, "kind": kind, "settings": plain, "invocations": [invocation]})
    return Run(path, resumed=False)


def is_complete(path: Path | str) -> bool:
    """Whether a run in this folder has ended well."""
    return (Path(path) / SUMMARY).is_file()


def read_config(path: Path | str) -> dict[str, Any]:
    """Return a run's ``config.json``: its ``format``, ``kind``, ``settings`` and ``invocations``.

    Raises
    ------
    RunError
        If the folder holds none that can be read, or one of a later version.
    """
    file = Path(path) / CONFIG
    if not file.is_file():
        raise RunError(f"{file} cannot be read: it is not there; name the folder of a run.")
    config = read_json(file, RunError, most_bytes=_LARGEST_CONFIG)
    if not isinstance(config, dict):
        raise RunError(f"{file} is not a run's configuration; name the folder of a run.")
    config.setdefault("format", 1)
    for name, kind in (("format", int), ("kind", str), ("settings", dict), ("invocations", list)):
        if type(config.get(name)) is not kind:
            raise RunError(
                f"{file} is not a run's configuration: its {name} is {shown(config.get(name))}; name the folder "
                "of a run."
            )
    if not 1 <= config["format"] <= FORMAT:
        raise RunError(
            f"{file} is in format {shown(config['format'])}, of another version of sfl-env than this one, which "
            f"knows formats up to {FORMAT}; update sfl-env."
        )
    return config


def written_by(config: Mapping[str, Any]) -> str:
    """Return the version of sfl-env that started a run, or ``"of unknown version"``.

    Examples
    --------
    >>> written_by({"invocations": [{"versions": {"sfl-env": "0.1.0"}}]})
    '0.1.0'
    >>> written_by({"invocations": []})
    'of unknown version'
    """
    try:
        version = config["invocations"][0]["versions"]["sfl-env"]
    except (LookupError, TypeError):
        version = None
    return shown(version).strip("'") if isinstance(version, str) else "of unknown version"


def write_json(path: Path, value: Any) -> Path:
    """Write a value as indented JSON, whole or not at all."""
    with atomic_output(path) as partial:
        partial.write_text(json.dumps(to_plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def command() -> str:
    """Return the command line that this process was started with, ready to be pasted into a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def to_plain(value: Any) -> Any:
    """Return a value as JSON would give it back: dataclasses and mappings as dictionaries, tuples as lists.

    Examples
    --------
    >>> to_plain({"hidden": (64, 64), "out": Path("runs") / "a"})
    {'hidden': [64, 64], 'out': 'runs/a'}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return value.tolist()
    return value


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _check_name(path: Path) -> None:
    """Refuse a name that is no text: a file system may hold it, but not all writers take it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise RunError(f"{str(path)!a} is no text in UTF-8; name another folder.") from error


def _has_content(path: Path) -> bool:
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; name a folder for the results.")
    return path.is_dir() and any(path.iterdir())


def _discard(path: Path) -> None:
    """Delete a run's folder; renamed first, so that an interruption leaves no half of it behind."""
    try:
        read_config(path)
    except RunError as error:
        raise RunError(
            f"{path} holds files that no run has written; it is not overwritten. Name another folder."
        ) from error
    doomed = path.with_name(f".{path.name}.discarded-{os.getpid()}")
    with writing(path):
        path.rename(doomed)
        path.mkdir()
        shutil.rmtree(doomed)


def _check_same(path: Path, config: Mapping[str, Any], kind: str, settings: Mapping[str, Any]) -> None:
    if config["kind"] != kind:
        raise RunError(f"{path} holds a run of kind {shown(config['kind'])}, not {kind!r}; name another folder.")
    if is_complete(path):
        raise RunError(f"The run in {path} is complete; do it again with overwrite=True.")
    if config["format"] != FORMAT:
        raise RunError(
            f"The run in {path} was started by sfl-env {written_by(config)}, in a format that this version does "
            "not go on with; do it again with overwrite=True."
        )
    old = config["settings"]
    differing = [name for name in sorted({*old, *settings}) if old.get(name) != settings.get(name)]
    if differing:
        values = ((shown(name)[1:-1], shown(old.get(name)), shown(settings.get(name))) for name in differing)
        changes = ", ".join(f"{name} was {before} and is {now}" for name, before, now in values)
        raise RunError(f"The run in {path} cannot be resumed with other settings: {changes}.")
