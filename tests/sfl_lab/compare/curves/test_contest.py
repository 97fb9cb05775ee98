"""Schemes are compared by what is learnt: from the same data, weights, draws and channels, and honestly."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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
from sfl_env.storage import runs
from sfl_lab.compare.contest import compare, write_results
from sfl_lab.compare.curves.contest import SCHEMES, CurveContest, CurveResults
from sfl_lab.compare.curves.curve import Reached, follow, reach
from sfl_lab.compare.curves.schemes import CentralisedLearner
from sfl_lab.compare.lineup import Lineup
from tests.sfl_lab.compare.watchers import Recorder, StopError, stopping_after

SMALL: dict[str, Any] = {"num_devices": 3, "max_rounds": 3, "local_iterations": 1, "target_accuracy": 0.2}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def results() -> CurveResults:
    contest = CurveContest(episodes=2, fields=SMALL)
    return compare(contest, contest.lineup())


def test_all_schemes_start_alike_and_meet_the_same_channels(results: CurveResults) -> None:
    assert set(results.curves) == set(SCHEMES)
    for row in range(2):
        first, *others = (curves[row] for curves in results.curves.values())
        for other in others:
            np.testing.assert_array_equal(other.conditions, first.conditions)
            assert (other.accuracy[0], other.loss[0]) == (first.accuracy[0], first.loss[0])
    seeds = results.curves["alternating"]
    assert (seeds[0].conditions != seeds[1].conditions).all()
    assert seeds[0].loss[0] != seeds[1].loss[0]


def test_training_goes_on_past_the_target(results: CurveResults) -> None:
    env = CurveContest(fields=SMALL | {"target_accuracy": 0.0}).env("continuous")
    again = follow(sfl_baselines.make("federated", env), env.episodes, HELD_OUT_SEED, lambda: None)
    assert reach(again, 0.0) == Reached(0, 0.0)
    np.testing.assert_array_equal(again.accuracy, results.curves["federated"][0].accuracy)


def test_a_curve_is_what_the_environment_gives_step_by_step(results: CurveResults) -> None:
    env = CurveContest(fields=SMALL | {"target_accuracy": None}).env("continuous")
    policy = sfl_baselines.make("equal-bandwidth", env)
    observation, info = env.reset(seed=HELD_OUT_SEED)
    met = [(info["accuracy"], info["loss"], 0.0)]
    for _ in range(SMALL["max_rounds"]):
        observation, _, _, _, info = env.step(policy.predict(observation)[0])
        met.append((info["accuracy"], info["loss"], info["latency_s"]))
    curve = results.curves["equal-bandwidth"][0]
    np.testing.assert_array_equal(np.transpose(met), [curve.accuracy, curve.loss, curve.latency_s])


def test_kinds_of_server_decide_as_alternating_does_and_learn_otherwise(results: CurveResults) -> None:
    for row in range(2):
        alternating = results.curves["alternating"][row]  # of the scenario's own kind, parallel-sl
        for name in ("splitfed-v1", "adaptsfl"):
            np.testing.assert_array_equal(results.curves[name][row].latency_s, alternating.latency_s)
        # Its devices queue for a server that is fast: their rounds are nearly as long.
        queued_s = results.curves["splitfed-v2"][row].latency_s
        np.testing.assert_allclose(queued_s, alternating.latency_s, rtol=1e-3)
        assert (queued_s[1:] != alternating.latency_s[1:]).all()
        assert (results.curves["splitfed-v2"][row].loss[1:] != alternating.loss[1:]).all()
        # With one iteration a round, the others take the one step of FedSGD.
        for name in ("splitfed-v1", "adaptsfl"):
            np.testing.assert_allclose(results.curves[name][row].loss, alternating.loss, rtol=1e-5)


def test_the_summary_tells_each_schemes_step_size_and_momentum(results: CurveResults) -> None:
    settings = results.summary()["settings"]
    assert set(settings) == set(SCHEMES)
    assert all(each == {"learning_rate": 0.05, "momentum": 0.9} for each in settings.values())


def test_split_learning_is_marked_as_another_system(results: CurveResults) -> None:
    assert results.systems == results.summary()["other_systems"] == {"sequential": {"schedule": "sequence"}}
    assert results.notes()[0].startswith("* sequential plays with schedule='sequence', another system")
    assert "sequential*" in [str(cell) for cell in results.table().columns[0].cells]


def test_an_interrupted_contest_goes_on_where_it_stopped(tmp_path: Path, results: CurveResults) -> None:
    contest = CurveContest(episodes=2, fields=SMALL)
    rounds = SMALL["max_rounds"]
    with pytest.raises(StopError):  # in the second seed's second scheme
        compare(contest, contest.lineup(), store=tmp_path, watcher=stopping_after(rounds * (len(SCHEMES) + 1)))
    assert len(list(tmp_path.iterdir())) == len(SCHEMES) + 1
    watcher = Recorder()
    resumed = compare(contest, contest.lineup(), store=tmp_path, watcher=watcher)
    assert watcher.rounds == rounds * (len(SCHEMES) - 1)
    assert resumed.scores == results.scores


def test_alternating_takes_the_time_of_the_exact_optimum_and_nothing_takes_less_a_round(
    results: CurveResults,
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
    contest = CurveContest(fields=SMALL | {"partition": partition, "partition_concentration": 0.5})
    envs = [contest.env("continuous"), contest.env("continuous", schedule="sequence")]
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
    env = CurveContest(fields=SMALL).env("continuous", schedule="sequence")
    observation, _ = env.reset(seed=3)
    problem = env.true_problem()
    cuts = range(problem.shape[-1])
    alone_s = [problem.device_latency_s(Decision(np.full((1, 3), cut), np.ones((1, 3)))) for cut in cuts]
    _, _, _, _, info = env.step(sfl_baselines.make("sequential", env).predict(observation)[0])
    np.testing.assert_allclose(info["device_latency_s"], np.min(alone_s, axis=0)[0], rtol=1e-5)
    assert info["latency_s"] == pytest.approx(info["device_latency_s"].sum())
    assert info["elapsed_s"] == info["latency_s"]


def test_centralised_training_takes_the_samples_of_all_devices_at_one_place() -> None:
    make = partial(CurveContest(fields=SMALL).env, "continuous")
    learner = CentralisedLearner(make, make())
    inner = learner._learner
    assert isinstance(inner, ScenarioLearner)
    learner.reset(4)
    assert inner.training.partition.num_devices == 1
    assert inner.training.partition.sizes.sum() == len(inner.training.data.train_labels)
    (batches,) = drawn(inner)[1]
    assert np.shape(batches) == (1, 3 * 16)


def test_an_accuracy_environment_has_no_batch() -> None:
    with pytest.raises(ScenarioError, match=r"has no batch.*mode=latency and model=lenet5"):
        make_batch("SFL-Accuracy-v0", 2, {"dataset": "mnist"})
    assert make_single("SFL-Accuracy-v0", {"num_devices": 2}).scenario.num_devices == 2


def test_all_held_out_seeds_are_checked() -> None:
    assert CurveContest(episodes=3).seeds == (HELD_OUT_SEED, HELD_OUT_SEED + 1, HELD_OUT_SEED + 2)
    CurveContest(episodes=3, seed=HELD_OUT_SEED - 3)
    with pytest.raises(ScenarioError, match="seed is 1000000"):
        CurveContest(episodes=3, seed=HELD_OUT_SEED - 2)


def test_training_seeds_of_an_agent_are_one_scheme_in_tables_files_and_figure(tmp_path: Path) -> None:
    contest = CurveContest(policies=("exact", "random"), episodes=2, fields=SMALL | {"target_accuracy": 0.0})
    lineup = contest.lineup()
    exact, random = lineup.contestants
    seeds = [replace(random, label=f"a{s}", kind="agent", about="PPO", row="ppo", training_seed=s) for s in (3, 5)]
    results = compare(contest, Lineup(lineup.scenario, (exact, *seeds)))
    scores = {entry.scheme: entry for entry in results.scores}
    assert set(scores) == {"exact", "ppo"}
    assert (scores["ppo"].seeds, scores["ppo"].training_seeds) == (4, (3, 5))
    assert results.notes()[-1] == "ppo: PPO; 2 training seeds, interval of the ratio over these."
    write_results(runs.start(tmp_path / "run", "benchmark", {}), results)
    times = pd.read_csv(tmp_path / "run" / "time_to_target.csv")
    assert times.scheme.tolist() == ["exact"] * 2 + ["ppo"] * 4
    assert times.training_seed.tolist()[2:] == [3, 3, 5, 5]
    assert times.seed.tolist()[2:] == [HELD_OUT_SEED, HELD_OUT_SEED + 1] * 2
    assert len(pd.read_csv(tmp_path / "run" / "curves.csv")) == 6 * (SMALL["max_rounds"] + 1)
