"""Command lines of valid and nasty words: done, or refused in one line."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfl_env.scenario import describe_fields
from sfl_lab.cli import COMMANDS, main
from tests.fuzz.cases import Kind, require

NASTY = (
    "",
    " ",
    "-1",
    "0",
    "1e999",
    "NaN",
    "9" * 30,
    "9" * 5000,
    "[" * 5000,
    "\x1b[2J",
    "[red]x[/red]",
    "\u202egnp",
    "a\nb",
    "None",
    "null",
    "--",
    "-",
    "..",
    "/",
    "/dev/null/x",
    "CON",
    "a" * 300,
    "{}",
    "\u00e4\u6f22",
    "\udcff",
    "folder",
    "bad.json",
    "twice.json",
    "deep.json",
    "bytes.json",
    "bytes.npz",
    "good.json",
    "settings.yml",
    "bad.yml",
    "ends:make",
    "ends:SFL-v0",
    "json:dumps",
    "CartPole-v1",
    "SFL-v0",
    "resnet18",
    "1,8,8",
    "exact",
)
"""Values that are tried everywhere; files among them are in the folder."""

FILES = {
    "bad.json": b"{",
    "twice.json": b'{"name": 1, "name": 2}',
    "deep.json": b"[" * 5000,
    "bytes.json": b"\xff\xfe\x00",
    "bytes.npz": b"PK\x03\x04 torn",
    "good.json": json.dumps(
        {
            "fixed_s": [[1.0, 2.0]],
            "uplink_bits": [[1e6, 0.0]],
            "downlink_bits": [[0.0, 0.0]],
            "uplink_snr_hz": [3e6],
            "downlink_full_rate_bps": [None],
            "uplink_bandwidth_hz": 1e6,
        }
    ).encode(),
    "settings.yml": b"total_steps: 8\nnum_envs: 2\nhyperparameters: {n_steps: 4, batch_size: 8, n_epochs: 1}\n",
    "bad.yml": b"gamma: [",
    "ends.py": b"import sys\nsys.exit(0)\n",
}

CHEAP = {
    "benchmark": ("--episodes", "2", "--rounds", "1", "--policies", "random", "--fields", "num_devices=2"),
    "evaluate": ("folder",),
    "profile": ("lenet5",),
    "publish": ("folder",),
    "solve": ("--fields", "num_devices=2"),
    "train": ("--settings", "settings.yml", "--fields", "num_devices=2", "max_rounds=1"),
    "tune": (
        "--settings", "settings.yml", "--fields", "num_devices=2", "max_rounds=1", "--trials", "1",
        "--total-steps", "8", "--evaluations", "1",
    ),
}  # fmt: skip
"""What makes a command short work; nasty words come on top."""

OPTIONS = {
    "benchmark": (
        "mode", "env-id", "policies", "agents", "episodes", "rounds", "seed", "fields", "action-mode", "threads",
        "out",
    ),
    "evaluate": ("env-id", "episodes", "seed", "fields", "out"),
    "profile": ("input-shape", "out"),
    "publish": ("as", "home", "episodes"),
    "solve": ("problem", "env-id", "fields", "seed", "save-problem", "out"),
    "train": (
        "algo", "env-id", "num-envs", "total-steps", "action-mode", "fields", "settings", "seed", "out", "threads"
    ),
    "tune": (
        "algo", "env-id", "trials", "total-steps", "evaluations", "fields", "settings", "seed", "out", "threads"
    ),
}  # fmt: skip
SWITCHES = (
    "--overwrite",
    "--resume",
    "--trust",
    "--no-overwrite",
    "--help",
    "--version",
    "--none",
    "-h",
    "positional",
)
FIELDS = tuple(name for name, *_ in describe_fields() if name not in ("num_devices", "max_rounds"))
STATUSES = (0, 2)


@dataclass(frozen=True)
class Drawn:
    """A command line."""

    arguments: tuple[str, ...]
    in_process: bool


def draw(rng: np.random.Generator) -> Drawn:
    """Draw a command, what keeps it short, and some words that may not belong there."""

    def nasty() -> str:
        return NASTY[int(rng.integers(len(NASTY)))]

    if rng.random() < 0.05:
        arguments = [nasty() for _ in range(int(rng.integers(0, 4)))]
        return Drawn(tuple(arguments), in_process=True)
    command = str(rng.choice(list(COMMANDS)))
    arguments = [command, *CHEAP[command]]
    if rng.random() < 0.2 and command in ("evaluate", "profile"):
        arguments[1] = nasty()
    for _ in range(int(rng.integers(0, 3))):
        option = str(rng.choice(OPTIONS[command]))
        value = nasty()
        if (option, value) == ("settings", "None"):
            value = "bad.yml"  # the package's own settings would train for long, as they should
        if option == "fields":
            field = str(rng.choice(FIELDS)) if rng.random() < 0.8 else nasty()
            arguments += ["--fields", f"{field}={value}" if rng.random() < 0.9 else value]
        else:
            arguments += [f"--{option}", value]
    if rng.random() < 0.2:
        arguments.append(str(rng.choice(SWITCHES)))
    in_process = rng.random() < 0.97 or any("\x00" in word or "\udcff" in word for word in arguments)
    return Drawn(tuple(arguments), in_process)


def check(drawn: Drawn, folder: Path) -> None:
    """Run the command in a folder with a few files."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    if drawn.in_process:
        require_well_ended(*run_here(drawn.arguments, folder))
    else:
        require_well_ended(*_elsewhere(drawn.arguments, folder))


def require_well_ended(status: int | str | None, out: str, error: str) -> None:
    """Raise unless a command is done, or refused in one line or by the parser; nothing shown steers a terminal."""
    require(status in STATUSES, f"the status is {status}: {error}")
    require("Traceback" not in error + out, f"there is a traceback: {error}")
    shown = "".join(line for line in (out + error).splitlines())
    require(shown.isprintable(), f"what is shown holds control characters: {shown!r}")
    if status == 2:
        lines = [line for line in error.splitlines() if line.startswith("sfl: error: ")]
        usage = "--help" in error and "sfl: error: " not in error  # the parser's own, with a hint at the help
        require(usage or (len(lines) == 1 and error.endswith(lines[0] + "\n")), f"the error is {error!r}")


def run_here(arguments: tuple[str, ...], folder: Path) -> tuple[int | str | None, str, str]:
    """Run a command in this process and a folder; return its status, output and errors."""
    before, argv, path = Path.cwd(), list(sys.argv), list(sys.path)
    out, error = io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                status: int | str | None = main(arguments)
            except SystemExit as stop:
                status = stop.code or 0
    finally:
        os.chdir(before)
        sys.argv[:], sys.path[:] = argv, path
        sys.modules.pop("ends", None)
    return status, out.getvalue(), error.getvalue()


def _elsewhere(arguments: tuple[str, ...], folder: Path) -> tuple[int | str | None, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "sfl_lab", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return done.returncode, done.stdout, done.stderr


COMMAND_LINES = Kind("commands", 500, draw, check)
