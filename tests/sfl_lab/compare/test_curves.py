"""Schemes are compared by what is learnt: from the same data, weights, draws and channels, and honestly."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import sfl_baselines
from sfl_baselines.environments import HELD_OUT_SEED, make_batch, make_single
from sfl_env import Decision
from sfl_env.errors import ScenarioError
from sfl_env.learning.scenario import ScenarioLearner
from sfl_lab.cli import main
from sfl_lab.compare.curves import comparison as comparing
from sfl_lab.compare.curves.comparison import CURVES, LearningResults, compare
from sfl_lab.compare.curves.curve import Curve, Reached, check_paired, follow, reach
from sfl_lab.compare.curves.schemes import SCHEMES, LearningComparison, prepare
from sfl_lab.compare.curves.scores import score
from sfl_lab.compare.curves.tables import seconds
from sfl_lab.compare.rounds.rollout import ImpossibleResultError

SMALL: dict[str, Any] = {"num_devices": 3, "max_rounds": 3, "local_iterations": 1, "target_accuracy": 0.2}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def curve(accuracy: list[float], latency_s: list[float]) -> Curve:
    """A curve as it might have been measured; the first accuracy is the start's."""
    return Curve(
        np.array(accuracy), np.zeros(len(accuracy)), np.array([0.0, *latency_s]), np.zeros(len(latency_s))
    )


FAST = curve([0.1, 0.6, 0.9, 0.8], [2.0, 3.0, 4.0])
SLOW = curve([0.1, 0.3, 0.5, 0.9], [4.0, 6.0, 8.0])
NEVER = curve([0.1, 0.3, 0.5, 0.7], [4.0, 6.0, 8.0])


def test_the_target_is_reached_when_it_is_first_met() -> None:
    assert reach(FAST, 0.9) == Reached(rounds=2, time_s=5.0)
    assert reach(FAST, 0.85) == Reached(rounds=2, time_s=5.0)  # that it is lost again later changes nothing
    assert reach(SLOW, 0.9) == Reached(rounds=3, time_s=18.0)
    assert reach(FAST, 0.1) == Reached(rounds=0, time_s=0.0)
    assert reach(NEVER, 0.9) is None


def test_the_mean_time_is_over_seeds_and_compared_seed_by_seed() -> None:
    found = score("slow", "baseline", [SLOW, FAST], 0.9, first=[FAST, FAST])
    assert (found.reached, found.seeds) == (2, 2)
    assert found.time_s is not None
    assert found.time_s.mean == found.time_at_least_s == (18.0 + 5.0) / 2
    assert found.rounds is not None
    assert found.rounds.mean == found.rounds_at_least == 2.5
    assert found.time_ratio is not None
    assert found.time_ratio.mean == pytest.approx((18.0 / 5.0 + 1.0) / 2)
    assert found.final_accuracy.mean == pytest.approx(0.85)


def test_seeds_that_never_reach_the_target_are_counted_as_a_bound_and_never_left_out() -> None:
    found = score("some", "baseline", [FAST, NEVER, FAST], 0.9)
    assert (found.reached, found.seeds) == (2, 3)
    assert found.time_s is not None
    assert found.time_s.mean == 5.0  # of those that reach it
    assert found.time_at_least_s == pytest.approx((5.0 + 18.0 + 5.0) / 3)
    assert seconds(found) == "> 9.33"
    assert found.time_ratio is None  # which would be that of the easier seeds

    none = score("none", "baseline", [NEVER, NEVER], 0.9)
    assert (none.reached, none.rounds, none.time_s, none.time_ratio) == (0, None, None, None)
    assert none.time_at_least_s == 18.0
    assert none.rounds_at_least == 3.0
    assert seconds(none) == "> 18.0"


def test_a_reference_has_rounds_and_no_time() -> None:
    found = score("centralised", "reference", [FAST, FAST], 0.9)
    assert found.rounds is not None
    assert (found.time_s, found.time_at_least_s, found.latency_s) == (None, None, None)
    assert seconds(found) == "-"


@pytest.fixture(scope="module")
def results() -> LearningResults:
    comparison = LearningComparison(episodes=2, fields=SMALL)
    return compare(comparison, prepare(comparison))


def test_all_schemes_start_alike_and_meet_the_same_channels(results: LearningResults) -> None:
    assert set(results.curves) == set(SCHEMES)
    for row in range(2):
        first, *others = (curves[row] for curves in results.curves.values())
        for other in others:
            np.testing.assert_array_equal(other.conditions, first.conditions)
            assert (other.accuracy[0], other.loss[0]) == (first.accuracy[0], first.loss[0])
    seeds = results.curves["alternating"]
    assert (seeds[0].conditions != seeds[1].conditions).all()
    assert seeds[0].loss[0] != seeds[1].loss[0]


def test_training_goes_on_past_the_target(results: LearningResults) -> None:
    comparison = LearningComparison(episodes=2, policies=("federated",), fields=SMALL | {"target_accuracy": 0.0})
    (scheme,) = prepare(comparison)
    again = follow(scheme.env, scheme.policy(), HELD_OUT_SEED, lambda: None)
    assert reach(again, 0.0) == Reached(0, 0.0)
    np.testing.assert_array_equal(again.accuracy, results.curves["federated"][0].accuracy)


def test_alternating_takes_the_time_of_the_exact_optimum_and_nothing_takes_less_a_round(
    results: LearningResults,
) -> None:
    optimal_s = results.curves["exact"]
    for row, optimum in enumerate(optimal_s):
        np.testing.assert_allclose(results.curves["alternating"][row].latency_s, optimum.latency_s, rtol=1e-5)
        for name in ("common-cut", "equal-bandwidth", "federated"):
            assert (results.curves[name][row].latency_s >= optimum.latency_s * (1 - 1e-5)).all()


def drawn(learner: Any) -> tuple[list[Any], list[Any]]:
    """What an episode has drawn: who holds which samples, and the coming round's mini-batches."""
    training = learner.training
    plan = training._plan(np.zeros(training.partition.num_devices, dtype=int))
    return [held.tolist() for held in training.partition.indices], [batch.tolist() for batch in plan.batches]


@pytest.mark.parametrize("partition", ["iid", "dirichlet"])
def test_parallel_and_sequence_draw_the_same_data_weights_and_batches(partition: str) -> None:
    comparison = LearningComparison(fields=SMALL | {"partition": partition, "partition_concentration": 0.5})
    lineup = {scheme.label: scheme for scheme in prepare(comparison)}
    envs = [lineup["alternating"].env, lineup["sequential"].env]
    learners: list[Any] = [env.episodes.learner for env in envs]
    assert [env.scenario.schedule for env in envs] == ["parallel", "sequence"]
    for env in envs:
        env.reset(seed=5)
    weights = [learner.training.weights() for learner in learners]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert drawn(learners[0]) == drawn(learners[1])
    # A round later too, after different cuts and orders.
    for env, name in zip(envs, ("alternating", "sequential"), strict=True):
        observation, _ = env.reset(seed=5)
        env.step(sfl_baselines.make(name, env).predict(observation)[0])
    assert drawn(learners[0]) == drawn(learners[1])


def test_split_learning_takes_the_sum_of_its_devices_times_at_their_best_cuts() -> None:
    env = LearningComparison(fields=SMALL).env("continuous", schedule="sequence")
    observation, _ = env.reset(seed=3)
    problem = env.true_problem()
    cuts = range(problem.shape[-1])
    alone_s = [problem.device_latency_s(Decision(np.full((1, 3), cut), np.ones((1, 3)))) for cut in cuts]
    _, _, _, _, info = env.step(sfl_baselines.make("sequential", env).predict(observation)[0])
    np.testing.assert_allclose(info["device_latency_s"], np.min(alone_s, axis=0)[0], rtol=1e-5)
    assert info["latency_s"] == pytest.approx(info["device_latency_s"].sum())
    assert info["elapsed_s"] == info["latency_s"]


def test_centralised_training_takes_the_samples_of_all_devices_at_one_place() -> None:
    lineup = {scheme.label: scheme for scheme in prepare(LearningComparison(fields=SMALL))}
    learner: Any = lineup["centralised"].env.episodes.learner
    inner = learner._learner
    assert isinstance(inner, ScenarioLearner)
    learner.reset(4)
    assert inner.training.partition.num_devices == 1
    assert inner.training.partition.sizes.sum() == len(inner.training.data.train_labels)
    (batches,) = drawn(inner)[1]
    assert np.shape(batches) == (1, 3 * 16)


def test_curves_that_are_not_paired_are_refused() -> None:
    check_paired({"a": FAST, "b": FAST})
    elsewhere = Curve(FAST.accuracy, FAST.loss, FAST.latency_s, FAST.conditions + 1)
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' met different channels"):
        check_paired({"a": FAST, "b": elsewhere})
    other_start = Curve(FAST.accuracy, FAST.loss + 1.0, FAST.latency_s, FAST.conditions)
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' started from different weights"):
        check_paired({"a": FAST, "b": other_start})


COMMAND = ["benchmark", "--mode", "accuracy", "--episodes", "2", "--rounds", "2"]
COMMAND += [
    "--policies",
    "alternating",
    "random",
    "centralised",
    "--fields",
    "num_devices=3",
    "local_iterations=1",
]


def test_the_command_writes_everything_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main([*COMMAND, "--out", str(whole)]) == 0
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
    assert list(curves) == ["scheme", "seed", "round", "elapsed_s", "accuracy", "loss", "latency_s"]
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

    # Stopped in the second seed's second scheme, before its curve is written.
    asked = 0

    def stops(*arguments: Any) -> Curve:
        nonlocal asked
        asked += 1
        if asked == 5:
            raise KeyboardInterrupt
        return follow(*arguments)

    monkeypatch.setattr(comparing, "follow", stops)
    assert main([*COMMAND, "--out", str(broken)]) == 130
    done = {path.name for path in (broken / CURVES).iterdir()}
    assert len(done) == 4
    assert not (broken / "summary.json").exists()
    assert main([*COMMAND, "--out", str(broken)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(broken), "--resume"]) == 0
    assert asked == 7  # the two that were missing
    assert (broken / "curves.csv").read_text() == (whole / "curves.csv").read_text()
    assert not (broken / CURVES).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policies", "central"], "Unknown baseline 'central' (did you mean 'centralised'?)"),
        (["--fields", "target_accuracy=None"], "target_accuracy is None; say which accuracy to reach"),
        (["--fields", "max_rounds=3"], "max_rounds is given by --rounds and in --fields"),
        (["--fields", "mode=latency"], "mode is given by --mode and in --fields"),
        (["--episodes", "1"], "--episodes is 1; intervals need at least 2"),
        (["--seed", "-1"], "--seed is -1"),
        (["--threads", "0"], "--threads is 0"),
        (["--policies", "exact", "exact"], "'exact' is named twice"),
        (["--env-id", "CartPole-v1"], "CartPole-v1 cannot be made as an environment of sfl_env's"),
    ],
)
def test_a_users_mistake_is_told_in_one_line_and_leaves_nothing(
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


def test_agents_train_on_the_rounds_lengths_and_are_compared_by_what_is_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    train = ["train", "--env-id", "SFL-Accuracy-v0", "--total-steps", "128", "--num-envs", "64"]
    fields = ["--fields", "num_devices=3", "max_rounds=2", "local_iterations=1"]
    assert main([*train, *fields, "--out", str(tmp_path / "agent")]) == 2
    error = capsys.readouterr().err
    assert "--fields mode=latency model=digits-cnn" in error
    assert not (tmp_path / "agent").exists()

    alone = ["mode=latency", "model=digits-cnn"]
    assert main([*train, *fields, *alone, "--out", str(tmp_path / "agent")]) == 0
    comparison = LearningComparison(
        policies=("exact",), agents=(tmp_path / "agent",), episodes=2, fields=SMALL | {"max_rounds": 2}
    )
    results = compare(comparison, prepare(comparison))
    assert {entry.scheme: entry.kind for entry in results.scores} == {"exact": "baseline", "agent": "agent"}
    for ours, best in zip(results.curves["agent"], results.curves["exact"], strict=True):
        assert (ours.latency_s[1:] > best.latency_s[1:]).all()


def test_an_accuracy_environment_has_no_batch() -> None:
    with pytest.raises(ScenarioError, match=r"has no batch.*mode=latency model=lenet5"):
        make_batch("SFL-Accuracy-v0", 2, {"dataset": "mnist"})
    assert make_single("SFL-Accuracy-v0", {"num_devices": 2}).scenario.num_devices == 2


def test_all_held_out_seeds_are_checked() -> None:
    assert LearningComparison(episodes=3).seeds == (HELD_OUT_SEED, HELD_OUT_SEED + 1, HELD_OUT_SEED + 2)
    LearningComparison(episodes=3, seed=HELD_OUT_SEED - 3)
    with pytest.raises(ScenarioError, match="--seed is 1000000"):
        LearningComparison(episodes=3, seed=HELD_OUT_SEED - 2)
