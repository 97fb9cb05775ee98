"""A run's folder: how it was made, beside results that are there whole or not at all.

Every command that produces results writes them into a folder of its own:

============  ==========================================================================================
config.json   kind and settings of the run, and for each start (a resumed run has several) its time, command
              and package versions
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

from sfl_env.errors import RunError
from sfl_env.storage.atomic import atomic_output

CONFIG = "config.json"
SUMMARY = "summary.json"
PACKAGES = ("sfl-env", "numpy", "scipy", "gymnasium", "torch", "stable-baselines3")
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
    path: Path | str, kind: str, settings: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False
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

    Returns
    -------
    Run

    Raises
    ------
    RunError
        If the folder exists and neither flag is given or both are; if it is no run's folder; if a run to be
        resumed is complete or was started with other settings.

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
    sfl_env.errors.RunError: The run in ... is complete; use --overwrite to do it again.
    """
    path = Path(path)
    if resume and overwrite:
        raise RunError("--resume and --overwrite exclude each other: continue the old run or replace it.")
    plain = to_plain(settings)
    invocation = {"started": _now(), "command": command(), "versions": versions()}
    if not _has_content(path):
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
            f"{path} exists already; continue the run in it with --resume, replace it with --overwrite, or "
            "name another folder with --out."
        )
    write_json(path / CONFIG, {"kind": kind, "settings": plain, "invocations": [invocation]})
    return Run(path, resumed=False)


def is_complete(path: Path | str) -> bool:
    """Whether a run in this folder has ended well."""
    return (Path(path) / SUMMARY).is_file()


def read_config(path: Path | str) -> dict[str, Any]:
    """Return a run's ``config.json``: its ``kind``, ``settings`` and ``invocations``.

    Raises
    ------
    RunError
        If the folder holds none that can be read.
    """
    config = read_json(Path(path) / CONFIG)
    if not isinstance(config, dict) or not {"kind", "settings", "invocations"} <= config.keys():
        raise RunError(f"{Path(path) / CONFIG} is not a run's configuration; name the folder of a run.")
    return config


def read_json(path: Path) -> Any:
    """Return the value in a JSON file.

    Raises
    ------
    RunError
        If it is not there or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); name the folder of a run.") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON: {error}.") from error


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
            f"{path} holds files that no run has written; it is not overwritten. Name another folder with --out."
        ) from error
    doomed = path.with_name(f".{path.name}.discarded-{os.getpid()}")
    path.rename(doomed)
    path.mkdir()
    shutil.rmtree(doomed)


def _check_same(path: Path, config: Mapping[str, Any], kind: str, settings: Mapping[str, Any]) -> None:
    if config["kind"] != kind:
        raise RunError(f"{path} holds a run of kind {config['kind']!r}, not {kind!r}; name another folder.")
    if is_complete(path):
        raise RunError(f"The run in {path} is complete; use --overwrite to do it again.")
    old = config["settings"]
    differing = [name for name in sorted({*old, *settings}) if old.get(name) != settings.get(name)]
    if differing:
        changes = ", ".join(f"{name} was {old.get(name)!r} and is {settings.get(name)!r}" for name in differing)
        raise RunError(f"The run in {path} cannot be resumed with other settings: {changes}.")
