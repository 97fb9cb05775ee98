"""Commands on damaged run folders: done, or refused in one line, and no code in them runs."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.fuzz.cases import Kind, require
from tests.fuzz.commands import FILES, require_well_ended, run_here
from tests.fuzz.run_folders import mutations

MOST_MUTATIONS = 10_000
TINY = ("--settings", "settings.yml", "--fields", "num_devices=2", "max_rounds=2")
USES = (
    ("evaluate", "run", "--episodes", "2"),
    ("benchmark", "--agents", "run", "--episodes", "2", "--policies", "random", "--fields", "num_devices=2"),
    ("train", *TINY, "--out", "run", "--resume"),
    ("train", *TINY, "--out", "run", "--overwrite"),
)
"""What is done with a run's folder."""


@dataclass(frozen=True)
class Drawn:
    """A damage, by its seed and its number among those that the seed gives, and what is done with the folder."""

    seed: int
    number: int
    arguments: tuple[str, ...]


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a damage and a use."""
    use = USES[int(rng.integers(len(USES)))]
    return Drawn(int(rng.integers(1000)), int(rng.integers(MOST_MUTATIONS)), use)


def check(drawn: Drawn, folder: Path) -> None:
    """Damage a copy of a small run and use it."""
    run, touched = folder / "run", folder / "touched"
    (folder / "settings.yml").write_bytes(FILES["settings.yml"])
    shutil.copytree(_small_run(), run)
    changes = mutations(run, drawn.seed, touched)
    name, mutate = changes[drawn.number % len(changes)]
    mutate(run)
    status, out, error = run_here(drawn.arguments, folder)
    try:
        require(not touched.exists(), "code in the folder has run")
        require_well_ended(status, out, error)
    except AssertionError as wrong:
        raise AssertionError(f"{name}: {wrong}") from wrong


@cache
def _small_run() -> Path:
    """Return the folder of a finished training, made once in each process."""
    home = Path(tempfile.mkdtemp(prefix="sfl-fuzz-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "settings.yml").write_bytes(FILES["settings.yml"])
    status, _, error = run_here(("train", *TINY, "--out", "run"), home)
    require(status == 0, f"no run to damage: {error}")
    return home / "run"


DAMAGED_RUNS = Kind("damaged-runs", 130, draw, check)
