"""Commands on damaged run folders: done, or refused in one line, and no code in them runs."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

from sfl_agents.training.watch import Watch
from sfl_lab.cli import INTERRUPTED
from tests.fuzz.cases import Kind, require
from tests.fuzz.commands import FILES, require_well_ended, run_here
from tests.fuzz.run_folders import mutations

MOST_MUTATIONS = 10_000
TINY = ("--settings", "settings.yml", "--fields", "num_devices=2", "max_rounds=2")
SETTINGS = {
    "ppo": FILES["settings.yml"],
    "sac": b"total_steps: 8\nnum_envs: 2\nreward: raw\n"
    b"hyperparameters: {learning_starts: 4, batch_size: 4, buffer_size: 8, train_freq: 2, gradient_steps: 1}\n",
}
"""Of runs with and without a replay buffer."""

USES: tuple[tuple[str, ...], ...] = (
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
    algo: str
    is_finished: bool


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a damage and a use."""
    use = USES[int(rng.integers(len(USES)))]
    seed, number = int(rng.integers(1000)), int(rng.integers(MOST_MUTATIONS))
    algo, is_finished = str(rng.choice(list(SETTINGS))), bool(rng.integers(2))
    if use[0] == "train":
        use += ("--algo", algo)
        if not is_finished and "--resume" not in use and rng.random() < 0.5:
            use = tuple(word if word != "--overwrite" else "--resume" for word in use)
    return Drawn(seed, number, use, algo, is_finished)


def check(drawn: Drawn, folder: Path) -> None:
    """Damage a copy of a small run and use it."""
    run, touched = folder / "run", folder / "touched"
    (folder / "settings.yml").write_bytes(SETTINGS[drawn.algo])
    shutil.copytree(_small_run(drawn.algo, drawn.is_finished), run)
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
def _small_run(algo: str, is_finished: bool) -> Path:
    """Return the folder of a training, to its end or broken off before it, made once in each process."""
    home = Path(tempfile.mkdtemp(prefix="sfl-fuzz-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "settings.yml").write_bytes(SETTINGS[algo])
    arguments = ("train", *TINY, "--algo", algo, "--out", "run")
    if is_finished:
        status, _, error = run_here(arguments, home)
        require(status == 0, f"no run to damage: {error}")
    else:
        with mock.patch.object(Watch, "_on_training_end", _break_off):
            status, _, error = run_here(arguments, home)
        require(status == INTERRUPTED, f"the run is not broken off: {error}")
    return home / "run"


def _break_off(watch: Watch) -> None:
    raise KeyboardInterrupt


DAMAGED_RUNS = Kind("damaged-runs", 130, draw, check)
