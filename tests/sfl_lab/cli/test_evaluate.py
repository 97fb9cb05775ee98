"""``sfl evaluate`` takes a trained agent's own environment."""

import json
from pathlib import Path

import pytest

from sfl_lab.cli import main
from tests.sfl_lab.compare.trained import barely_trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return barely_trained(tmp_path_factory.mktemp("runs") / "barely")


def test_evaluate_takes_the_agents_own_environment(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(trained), "--episodes", "2", "--out", str(out)]) == 0
    assert "barely" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["env_id"], summary["scenario"]["num_devices"]) == ("SFL-v0", 4)


def test_evaluate_refuses_what_is_no_training_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["benchmark", "--episodes", "2", "--rounds", "1", "--policies", "exact"]
    assert main([*command, "--out", str(tmp_path / "b")]) == 0
    assert main(["evaluate", str(tmp_path / "b")]) == 2
    assert "holds a run of kind 'benchmark'" in capsys.readouterr().err
