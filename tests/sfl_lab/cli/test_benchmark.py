"""``sfl benchmark`` writes everything or nothing, and tells of mistakes in one line."""

import csv
import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

import sfl_baselines
from sfl_baselines.environments import HELD_OUT_SEED
from sfl_env.scenario import Server
from sfl_lab.cli import main
from sfl_lab.cli.benchmark import Benchmark
from sfl_lab.compare.contest import RECORDS
from sfl_lab.compare.curves import contest as learning
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.curves.curve import Curve, follow
from sfl_lab.compare.rounds.contest import RoundContest

COMMAND = ["benchmark", "--episodes", "3", "--policies", "exact", "shallow", "random"]
COMMAND += ["--fields", "num_devices=4", "max_rounds=5"]


def test_the_command_writes_everything_and_never_over_an_old_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main([*COMMAND, "--out", str(out)]) == 0
    assert "round / optimum" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert names == {"config.json", "results.csv", "episodes.csv", "results.png", "summary.json"}
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 * 5
    assert min(float(row["ratio"]) for row in rows) >= 1.0 - 1e-9
    with (out / "episodes.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3 * 3
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["scenario"]["num_devices"] == 4
    assert summary["generator_seed"] == HELD_OUT_SEED
    assert [entry["policy"] for entry in summary["policies"]] == ["exact", "shallow", "random"]
    ratios = np.array([float(row["ratio"]) for row in rows if row["policy"] == "random"]).reshape(3, 5)
    told = summary["policies"][2]
    assert told["ratio"]["value"] == pytest.approx(np.exp(np.log(ratios.mean(axis=1)).mean()))
    assert (told["ratio"]["statistic"], told["latency_s"]["statistic"]) == ("geometric mean", "median")
    assert (told["ratio_unit"], told["training_seeds"]) == ("episode", [])
    assert told["about"] == sfl_baselines.about("random")

    assert main([*COMMAND, "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(out), "--resume"]) == 2
    assert "complete" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "exat"], "Unknown baseline 'exat' (did you mean 'exact'?)"),
        (["--env-id", "SFL-v7"], "Unknown environment id 'SFL-v7' (did you mean 'SFL-v0'?)"),
        (["--env-id", "CartPole-v1"], "CartPole-v1 cannot be made as an environment of sfl_env's"),
        (["--env-id", "no_such_module:SFL-v0"], "no_such_module:SFL-v0 cannot be made"),
        (["--fields", "num_device=3"], "did you mean 'num_devices'?"),
        (["--fields", "num_devices=0"], "num_devices is 0; it has to be a whole number from 1"),
        (["--fields", "num_devices"], "has to be written as name=value"),
        (["--fields", "num_devices=3", "num_devices=4"], "given twice"),
        (["--episodes", "1"], "episodes is 1; intervals need at least 2"),
        (["--seed", "-1"], "seed is -1"),
        (["--policies", "exact", "exact"], "'exact' is named twice"),
        (["--policies"], "Nothing is to be compared"),
        (["--policies", "centralised"], "'centralised' is training at one place"),
        (["--agents", "no/such/run"], "no/such/run does not exist"),
    ],
)
def test_a_users_mistake_is_told_in_one_line_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(["benchmark", "--episodes", "2", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not out.exists()


LEARNING = ["benchmark", "--mode", "accuracy", "--episodes", "2", "--rounds", "2"]
LEARNING += ["--policies", "alternating", "random", "centralised"]
LEARNING += ["--fields", "num_devices=3", "local_iterations=1"]


def test_learning_curves_are_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = tmp_path / "whole"
    assert main([*LEARNING, "--out", str(whole)]) == 0
    out = capsys.readouterr().out
    assert "seconds to 95%" in out
    assert "no time axis" in out
    assert {path.name for path in whole.iterdir()} == {
        "config.json",
        "curves.csv",
        "curves.png",
        "summary.json",
        "time_to_target.csv",
    }
    curves = pd.read_csv(whole / "curves.csv")
    assert list(curves) == [
        "scheme",
        "training_seed",
        "seed",
        "round",
        "elapsed_s",
        "accuracy",
        "loss",
        "latency_s",
    ]
    assert len(curves) == 3 * 2 * 3
    timed = curves[curves.scheme != "centralised"]
    np.testing.assert_allclose(timed.groupby(["scheme", "seed"]).latency_s.cumsum(), timed.elapsed_s, rtol=1e-8)
    assert curves[curves.scheme == "centralised"].elapsed_s.isna().all()
    times = pd.read_csv(whole / "time_to_target.csv")
    assert not times.reached.any()  # in two rounds of one step
    assert times.time_s.isna().all()
    assert (times.followed_rounds == 2).all()
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["seeds"] == [HELD_OUT_SEED, HELD_OUT_SEED + 1]
    assert summary["scenario"]["mode"] == "accuracy"
    assert {entry["reached"] for entry in summary["schemes"]} == {0}


def test_an_interrupted_command_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*LEARNING, "--out", str(whole)]) == 0
    asked = 0

    def stops(*arguments: Any) -> Curve:
        nonlocal asked
        asked += 1
        if asked == 5:  # the second seed's second scheme
            raise KeyboardInterrupt
        return follow(*arguments)

    monkeypatch.setattr(learning, "follow", stops)
    assert main([*LEARNING, "--out", str(broken)]) == 130
    assert len(list((broken / RECORDS).iterdir())) == 4
    assert not (broken / "summary.json").exists()
    assert main([*LEARNING, "--out", str(broken)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*LEARNING, "--out", str(broken), "--resume"]) == 0
    assert asked == 7  # the two that were missing
    assert (broken / "curves.csv").read_text() == (whole / "curves.csv").read_text()
    assert not (broken / RECORDS).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "central"], "Unknown baseline 'central' (did you mean 'centralised'?)"),
        (
            ["--fields", "target_accuracy=None"],
            "target_accuracy is None; to compare what is learnt takes",
        ),
        (["--fields", "max_rounds=3"], "max_rounds is given by --rounds and in --fields"),
        (["--fields", "mode=latency"], "mode is given by --mode and in --fields"),
        (["--episodes", "1"], "episodes is 1; intervals need at least 2"),
        (["--seed", "-1"], "seed is -1"),
        (["--threads", "0"], "--threads is 0"),
        (["--policies", "exact", "exact"], "'exact' is named twice"),
        (["--env-id", "CartPole-v1"], "CartPole-v1 cannot be made as an environment of sfl_env's"),
    ],
)
def test_a_mistake_about_learning_curves_is_told_in_one_line_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert main(["benchmark", "--mode", "accuracy", "--rounds", "2", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not out.exists()


def test_the_environment_says_what_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--episodes", "2", "--rounds", "1", "--policies", "federated"]
    fields = ["--fields", "num_devices=2", "local_iterations=1", "target_accuracy=0.5"]
    assert main(["benchmark", "--env-id", "SFL-Accuracy-v0", *size, *fields, "--out", str(tmp_path / "a")]) == 0
    assert "seconds to 50%" in capsys.readouterr().out
    fields += ["mode=latency", "model=digits-cnn"]
    assert main(["benchmark", "--env-id", "SFL-Accuracy-v0", *size, *fields, "--out", str(tmp_path / "b")]) == 0
    assert "round / optimum" in capsys.readouterr().out


def test_the_help_names_no_policy_that_its_mode_does_not_know() -> None:
    help_text = inspect.getsource(Benchmark).partition("policies: tuple")[2].partition("agents:")[0]
    help_text = help_text.replace("schedule='sequence'", "")
    named = set(re.findall(r"'([a-z0-9-]+)'", help_text))
    servers = set(get_args(Server))
    assert named == {"sequential", "centralised", "alternating", *servers}
    assert named <= set(CurveContest.known())
    assert set(CurveContest.known()) - set(RoundContest.known()) == {"centralised", *servers}
    assert set(RoundContest.known()) == {*sfl_baselines.names(), *sfl_baselines.tier_names()}
