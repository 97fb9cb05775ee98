"""The special runs of the suite take their requirements from pyproject.toml."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(*arguments: str) -> list[str]:
    command = [sys.executable, str(ROOT / ".ci" / "requirements.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_the_lowest_versions_are_the_declared_ones_and_pinned() -> None:
    pins = printed("lowest")
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert any(pin.startswith("torch==") for pin in pins)
    for pin in pins:
        assert f'"{pin.replace("==", ">=")}"' in declared


def test_torch_is_tested_at_its_lowest_version_all_along() -> None:
    (pinned,) = (line for line in printed("lowest") if line.startswith("torch=="))
    (tested,) = (
        line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")
    )
    assert tested.removesuffix(".0") == pinned


def test_what_is_left_out_is_all_that_is_left_out() -> None:
    left = printed("without", "torch", "stable-baselines3")
    assert len(left) == len(printed("lowest")) - 2
    assert not any(line.startswith(("torch", "stable")) for line in left)
