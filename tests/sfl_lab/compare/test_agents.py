"""Trained agents compete beside baselines, under names of their own."""

import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from stable_baselines3 import PPO

import sfl_agents
from sfl_baselines.environments import make_single
from sfl_env.errors import PolicyError
from sfl_env.storage import runs
from sfl_lab.cli import main
from sfl_lab.compare.contest import compare, write_results
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.curves.schemes import RoundLengthAgent
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEDIAN
from sfl_lab.compare.publishing import publish
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
    assert agent.ratio.value > 1.0


def test_two_agents_of_one_name_are_told_apart(trained: Path, tmp_path: Path) -> None:
    other = barely_trained(tmp_path / "barely", "--total-steps", "128")
    results = benchmark(agents=(trained, other))
    assert {str(trained), str(other)} < {entry.policy for entry in results.scores}


def test_an_agent_in_the_present_folder_is_called_by_its_name(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    for path in (Path(), Path("agent.zip")):
        assert {entry.policy for entry in benchmark(agents=(path,)).scores} == {"exact", "barely"}


def test_files_without_a_seed_are_no_training_seeds(tmp_path: Path) -> None:
    env = gym.make("SFL-Bandit-v0", num_devices=4)
    for name in ("a", "b"):
        PPO("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, device="cpu").save(tmp_path / name)
    with pytest.raises(PolicyError, match=r"holds a\.zip, which was trained without a seed"):
        benchmark(agents=(tmp_path,), trust=True)


def test_a_published_folder_with_another_file_in_it_is_none_that_trust_opens(
    trained: Path, tmp_path: Path
) -> None:
    folder = publish(trained, "Mine", tmp_path, episodes=2)
    PPO("MlpPolicy", gym.make("SFL-v0", num_devices=4), device="cpu").save(folder / "agent.zip")
    with pytest.raises(PolicyError, match=r"agent\.zip is not the agent that card\.json beside it tells of"):
        benchmark(agents=(folder,), trust=True)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "team"
    for seed in range(3):
        barely_trained(folder / str(seed), "--seed", str(seed))
    return folder


def test_training_seeds_are_one_row_with_the_interval_of_its_ratio_over_them(seeds: Path) -> None:
    results = benchmark(agents=(seeds,))
    exact, team = results.scores
    assert (exact.ratio_unit, exact.training_seeds) == ("episode", ())
    assert (team.policy, team.ratio_unit, team.training_seeds, team.ratio.values) == (
        "team",
        "training seed",
        (0, 1, 2),
        3,
    )
    alone = [benchmark(agents=(seeds / str(seed),)).scores[1] for seed in range(3)]
    assert {entry.ratio_unit for entry in alone} == {"episode"}
    assert team.ratio == GEOMETRIC_MEAN.interval(np.array([entry.ratio.value for entry in alone]))
    # Seconds are no comparison within an episode: they vary over episodes, as those of the others in the table do.
    seconds = [rollout.mean(rollout.latency_s) for label, rollout in results.rollouts.items() if label != "exact"]
    assert team.latency_s == MEDIAN.interval(np.mean(seconds, axis=0))
    assert team.latency_s.values == 4
    assert "of agents with several training seeds over these" in str(results.table().caption)
    (note,) = results.notes()
    assert note.endswith("; 3 training seeds, interval of the ratio over these.")
    (note,) = benchmark(agents=(seeds / "1",)).notes()
    assert note.endswith("; 1 training seed, intervals over episodes.")


def test_runs_named_one_by_one_are_put_together_by_their_settings(seeds: Path, trained: Path) -> None:
    other = barely_trained(seeds.parent / "longer-0", "--total-steps", "128")
    entries = benchmark(agents=(seeds / "2", other, seeds / "0")).scores
    assert {entry.policy: entry.training_seeds for entry in entries} == {
        "exact": (),
        "ppo": (0, 2),
        "longer-0": (0,),
    }


def test_trainings_of_other_settings_are_no_training_seeds(seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds, tmp_path / "mixed")
    barely_trained(tmp_path / "mixed" / "9", "--total-steps", "128", "--seed", "9")
    with pytest.raises(PolicyError, match=r"different settings: settings\.total_steps is 64 in 0 and 128 in 9"):
        benchmark(agents=(tmp_path / "mixed",))


def test_a_training_counts_once(seeds: Path) -> None:
    with pytest.raises(PolicyError, match="are the same training"):
        benchmark(agents=(seeds / "0", seeds / "0" / "agent.zip"))


def test_files_say_whose_training_seed_a_row_is(seeds: Path, tmp_path: Path) -> None:
    write_results(runs.start(tmp_path / "run", "benchmark", {}), benchmark(agents=(seeds,)))
    rounds, episodes = (pd.read_csv(tmp_path / "run" / name) for name in ("results.csv", "episodes.csv"))
    for table in (rounds, episodes):
        assert set(table[table.policy == "team"].training_seed) == {0, 1, 2}
        assert table[table.policy == "exact"].training_seed.isna().all()
    assert len(episodes) == (3 + 1) * 4
    told = json.loads((tmp_path / "run" / "summary.json").read_text())["policies"][1]
    assert (told["policy"], told["training_seeds"]) == ("team", [0, 1, 2])
    by_seed = episodes[episodes.policy == "team"].groupby("training_seed").mean_ratio
    assert told["ratio"]["value"] == pytest.approx(np.exp(np.log(by_seed.agg(scipy.stats.gmean)).mean()), rel=1e-6)


def test_evaluate_takes_training_seeds_too(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(seeds), "--episodes", "2"]) == 0
    assert "3 training seeds, interval of the ratio over these" in capsys.readouterr().out


@pytest.mark.parametrize("algo", ["a2c", "ppo"])  # which see rows of devices, and of the problem
def test_agents_train_on_the_rounds_lengths_and_are_compared_by_what_is_learnt(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    one_thread: None,
    algo: str,
) -> None:
    train = ["train", "--algo", algo, "--env-id", "SFL-Accuracy-v0", "--total-steps", "128", "--num-envs", "4"]
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
        assert (ours.latency_s[1:] > best.latency_s[1:] * (1.0 - 1e-6)).all()  # a device may rule the round


def test_agents_of_the_surrogate_of_learning_see_where_it_would_be_while_a_network_is_trained(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, one_thread: None
) -> None:
    constants = {"surrogate_rounds": (2.0, 1.0, 0.0, 0.0, 1.0)}
    small = {"num_devices": 3, "max_rounds": 4, "local_iterations": 1, **constants}
    fields = [f"{name}={value}" for name, value in small.items() if name != "surrogate_rounds"]
    told = "surrogate_rounds=[2.0,1.0,0.0,0.0,1.0]"
    train = ["train", "--env-id", "SFL-TimeToAccuracy-v0", "--total-steps", "128", "--num-envs", "4"]
    assert main([*train, "--fields", *fields, told, "--out", str(tmp_path / "agent")]) == 0

    env = make_single("SFL-TimeToAccuracy-v0", {"mode": "accuracy", **small})
    agent = RoundLengthAgent(tmp_path / "agent", env)
    alone = sfl_agents.load(tmp_path / "agent", make_single("SFL-TimeToAccuracy-v0", small))
    observation, _ = env.reset(seed=1)
    learnt, state = 0.0, None
    for _ in range(3):
        action, state = agent.predict(observation, state)
        shown = np.concatenate([observation[:, :10], np.full((3, 1), min(learnt - 1.0, 1.0))], axis=1)
        np.testing.assert_array_equal(action, alone.predict(shown.astype(np.float32), deterministic=True)[0])
        observation, *_, info = env.step(action)
        # Independently: 2 rounds, and one more for the second block and for the last where all devices hold them.
        learnt += 1.0 / (2.0 + (info["cut"] >= 1).mean() + (info["cut"] >= 4).mean())
        assert state is not None
        assert state[-1] == pytest.approx([learnt])
    afresh = agent.predict(observation, state, np.array([True]))[1]
    assert afresh is not None
    assert afresh[-1][0] < 0.51, "a new episode has learnt nothing"


def test_an_agent_of_stable_baselines3_alone_acts_while_a_network_is_trained(tmp_path: Path) -> None:
    rounds = gym.make("SFL-Accuracy-v0", mode="latency", model="digits-cnn", observation_mode="problem")
    PPO("MlpPolicy", rounds, policy_kwargs={"net_arch": [8]}, device="cpu").save(tmp_path / "mine.zip")
    few = {"max_rounds": 2}
    contest = CurveContest(
        policies=("alternating",), agents=(tmp_path / "mine.zip",), episodes=2, fields=few, trust=True
    )
    results = compare(contest, contest.lineup())
    assert {entry.scheme for entry in results.scores} == {"alternating", "mine"}
    assert any(note.startswith("mine: PPO of Stable-Baselines3") for note in results.notes())
