"""Trained agents compete beside baselines, under names of their own."""

from pathlib import Path
from typing import Any

import pytest

from sfl_lab.cli import main
from sfl_lab.compare.contest import compare
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.rounds.contest import RoundContest, RoundResults
from tests.sfl_lab.compare.trained import barely_trained

SMALL = {"num_devices": 4, "max_rounds": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return barely_trained(tmp_path_factory.mktemp("runs") / "barely")


def benchmark(**options: Any) -> RoundResults:
    contest = RoundContest(policies=("exact",), episodes=4, fields=SMALL, **options)
    return compare(contest, contest.lineup())


def test_agents_are_compared_beside_baselines_in_their_own_action_mode(trained: Path) -> None:
    exact, agent = benchmark(agents=(trained,)).scores
    assert (exact.policy, agent.policy, agent.kind) == ("exact", "barely", "agent")
    assert agent.ratio.mean > 1.0


def test_two_agents_of_one_name_are_told_apart(trained: Path) -> None:
    results = benchmark(agents=(trained, trained / "agent.zip"))
    assert {str(trained), str(trained / "agent.zip")} < {entry.policy for entry in results.scores}


def test_agents_train_on_the_rounds_lengths_and_are_compared_by_what_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder, one_thread: None
) -> None:
    train = ["train", "--env-id", "SFL-Accuracy-v0", "--total-steps", "128", "--num-envs", "4"]
    fields = ["--fields", "num_devices=3", "max_rounds=2", "local_iterations=1"]
    assert main([*train, *fields, "--out", str(tmp_path / "agent")]) == 2
    error = capsys.readouterr().err
    assert "mode=latency and model=digits-cnn" in error
    assert not (tmp_path / "agent").exists()

    alone = ["mode=latency", "model=digits-cnn"]
    assert main([*train, *fields, *alone, "--out", str(tmp_path / "agent")]) == 0
    learnt = {"num_devices": 3, "max_rounds": 2, "local_iterations": 1, "target_accuracy": 0.2}
    contest = CurveContest(policies=("exact",), agents=(tmp_path / "agent",), episodes=2, fields=learnt)
    results = compare(contest, contest.lineup())
    assert {entry.scheme: entry.kind for entry in results.scores} == {"exact": "baseline", "agent": "agent"}
    for ours, best in zip(results.curves["agent"], results.curves["exact"], strict=True):
        assert (ours.latency_s[1:] > best.latency_s[1:]).all()
