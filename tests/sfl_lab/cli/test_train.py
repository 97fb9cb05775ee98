"""``sfl train`` says what it has written, and warns where nothing that was learnt is in it."""

import json
from pathlib import Path

import pytest

from sfl_lab.cli import main
from tests.sfl_lab.compare.trained import barely_trained

SETTINGS = """\
total_steps: 32
num_envs: 2
learning_rate: {rate}
policy_kwargs: {{net_arch: [8]}}
hyperparameters: {{n_steps: 16, batch_size: 16, n_epochs: 1}}
"""


def test_a_training_that_makes_nothing_better_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, out = tmp_path / "idle.yml", tmp_path / "run"
    settings.write_text(SETTINGS.format(rate="0.0"))
    command = [
        "train",
        "--settings",
        str(settings),
        "--fields",
        "num_devices=3",
        "max_rounds=4",
        "--out",
        str(out),
    ]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "Agent of step 0" in shown.out
    warning = " ".join(shown.err.split())
    assert "sfl: warning: the agent of step 0 did best on the validation episodes" in warning
    summary = json.loads((out / "summary.json").read_text())
    assert summary["untrained_is_best"] is True
    assert summary["agent"]["steps"] == 0
    publish = ["publish", str(out), "--as", "Idle", "--home", str(tmp_path / "home"), "--episodes", "2"]
    assert main(publish) == 0
    assert "sfl: warning: the agent is untrained" in " ".join(capsys.readouterr().err.split())


def test_what_a_training_has_learnt_is_no_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = barely_trained(tmp_path / "run", "--total-steps", "256")
    summary = json.loads((out / "summary.json").read_text())
    warned = "sfl: warning:" in capsys.readouterr().err
    assert warned == summary["untrained_is_best"] == (summary["agent"]["steps"] == 0)
