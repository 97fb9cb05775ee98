"""`sfl train`: settings, learning, checkpoints and what the user is told."""

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import yaml

from sfl_agents import agent
from sfl_agents.files import archive
from sfl_agents.files.run_folder import AGENT
from sfl_agents.training import checkpoints, settings
from sfl_agents.training.algorithms import ALGORITHMS, TAUGHT, algorithm
from sfl_agents.training.checkpoints import Milestone
from sfl_agents.training.evaluation import evaluate
from sfl_agents.training.job import Job
from sfl_agents.training.rewards import training_env
from sfl_agents.training.settings import Settings
from sfl_agents.training.train import train
from sfl_baselines.environments import make_batch
from sfl_env.errors import ScenarioError, TrainingError
from sfl_env.optimum import proportional_decision
from sfl_env.presets import PRESETS
from sfl_env.storage import atomic, runs
from sfl_lab import cli
from tests.sfl_agents.contrib import algorithms
from tests.sfl_env.boards import ON_BATTERY, end_when_all_are_empty

SMALL: dict[str, Any] = {"num_devices": 3, "max_rounds": 5, "model": "lenet5"}
FIELDS = ["--fields", *(f"{name}={value}" for name, value in SMALL.items())]
TINY = Settings(
    total_steps=64,
    num_envs=4,
    policy="DevicePolicy",
    policy_kwargs={"net_arch": [8]},
    hyperparameters={"n_steps": 8, "batch_size": 16, "n_epochs": 1},
)

pytestmark = pytest.mark.usefixtures("one_thread")


def job(algo: Any = "ppo", chosen: Settings = TINY, **changes: Any) -> Job:
    return Job(algo, "SFL-v0", chosen, SMALL, **({"num_evaluations": 2, "evaluation_episodes": 2} | changes))


LATER_ROUNDS_COUNT = ("SFL-Battery-v0", "SFL-TimeToAccuracy-v0")
"""Ids in which a decision has an effect on later rounds besides the time that it takes."""


@pytest.mark.parametrize("algo", algorithms())
def test_every_algorithm_has_settings_for_every_id_that_fit_what_a_decision_touches(algo: Any) -> None:
    if algo in TAUGHT:
        pytest.skip("is told what a decision does to a round, whatever comes later")
    assert set(PRESETS) <= set(settings.known_ids(algo))
    for env_id in settings.known_ids(algo):
        chosen = Job(algo, env_id, settings.load(algo, env_id)).settings
        gamma = chosen.hyperparameter(algo, "gamma")
        assert gamma >= 0.95 if env_id in LATER_ROUNDS_COUNT else gamma == 0.0, env_id


@pytest.mark.parametrize(
    "env_id", ["SFL-StaleCSI-v0", "SFL-Battery-v0", "SFL-Deadline-v0", "SFL-TimeToAccuracy-v0"]
)
def test_where_chance_or_later_rounds_count_no_logarithm_changes_what_is_wanted(env_id: str) -> None:
    for algo in ALGORITHMS:
        if algo not in TAUGHT and find_spec(ALGORITHMS[algo].partition(":")[0]):
            # The excess over a sensible round is the reward but for what no decision changes.
            allowed = {"normalised", "excess"}
            if (algo, env_id) == ("ppo", "SFL-StaleCSI-v0"):
                allowed.add("log")  # said in its file: against the tail of the rounds' lengths
            assert settings.load(algo, env_id).reward in allowed


def test_an_id_of_ones_own_says_whose_settings_it_takes(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"no settings of ppo for 'own:Mine-v7'.*like:SFL-v0 .*like:SFL-Battery"
    ):
        settings.load("ppo", "own:Mine-v7")
    with pytest.raises(TrainingError, match=r"settings like is 'SFL-v1'.*did you mean 'SFL-v0'"):
        settings.load("ppo", "own:Mine-v7", "like:SFL-v1")
    assert settings.load("ppo", "own:Mine-v7", "like:SFL-Battery-v0") == settings.load("ppo", "SFL-Battery-v0")


def test_where_the_settings_come_from_is_told_and_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--algo", "a2c", "--total-steps", "64", "--num-envs", "2", *FIELDS]
    for number, (given, told) in enumerate(
        [([], "SFL-v0"), (["--settings", "like:SFL-Battery-v0"], "like:SFL-Battery-v0")]
    ):
        folder = tmp_path / str(number)
        assert cli.main(["train", *short, *given, "--out", str(folder)]) == 0
        assert f"Settings: a2c, {told}." in capsys.readouterr().out
        assert runs.read_config(folder)["invocations"][0]["settings_from"] == told


@pytest.mark.parametrize("algo", ["maskable-ppo", "recurrent-ppo"])
def test_an_algorithm_whose_extra_is_missing_names_it(monkeypatch: pytest.MonkeyPatch, algo: str) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(TrainingError, match=rf"{algo} is .* of sb3-contrib, .* pip install 'sfl-env\[contrib\]'"):
        settings.load(algo, "SFL-v0")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"total_steps": 0}, "total_steps is 0; it has to be a whole number of at least 1"),
        ({"total_steps": 10, "learning_rate": "3e-4"}, "learning_rate is '3e-4'; it has to be a number"),
        (
            {"total_steps": 10, "polcy": "MlpPolicy"},
            r"Unknown entry of .*'polcy' \(did you mean 'policy'\?\)",
        ),
        (
            {"total_steps": 10, "policy": "CnnPolicy"},
            "policy is 'CnnPolicy'; it has to be one of CutPointer",
        ),
        ({"total_steps": 10, "reward": "logs"}, r"did you mean 'log'\?"),
        ({"total_steps": 10, "hyperparameters": [1]}, "it has to be a mapping"),
        ({"policy": "MlpPolicy"}, "total_steps among them"),
        ({"like": "SFL-v1"}, r"like in .*own.yml is 'SFL-v1'; .*did you mean 'SFL-v0'\?"),
        ({"like": "SFL-v0", "polcy": "MlpPolicy"}, "Unknown entry of .*own.yml 'polcy'"),
        ([1, 2], "total_steps among them"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, entries: Any, message: str) -> None:
    file = tmp_path / "own.yml"
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(TrainingError, match=message):
        settings.load("ppo", "SFL-v0", file)


def test_settings_like_others_differ_in_what_they_say(tmp_path: Path) -> None:
    usual = settings.load("ppo", "SFL-v0")
    for env_id in ("SFL-IoT-v0", "SFL-Accuracy-v0"):
        assert settings.load("ppo", env_id) == usual
    file = tmp_path / "own.yml"
    file.write_text("like: SFL-v0\nlearning_rate: 0.5\n")
    assert settings.load("ppo", "SFL-StaleCSI-v0", file) == usual.replace(learning_rate=0.5)


def test_settings_that_the_algorithm_cannot_use_are_told() -> None:
    with pytest.raises(TrainingError, match="sac does not take policy: DevicePolicy, but CutPointer"):
        job("sac")
    with pytest.raises(TrainingError, match="acts in continuous spaces only"):
        job("td3", Settings(total_steps=10, action_mode="cut"))


def test_files_that_are_no_settings_are_told(tmp_path: Path) -> None:
    file = tmp_path / "own.yml"
    file.write_text("total_steps: [")
    with pytest.raises(TrainingError, match="not valid YAML"):
        settings.load("ppo", "SFL-v0", file)
    with pytest.raises(TrainingError, match="cannot be read"):
        settings.load("ppo", "SFL-v0", tmp_path / "missing.yml")


def test_unknown_hyperparameters_are_told() -> None:
    wrong = TINY.replace(hyperparameters={"n_stepz": 8})
    with pytest.raises(TrainingError, match=r"'n_stepz' \(did you mean 'n_steps'\?\)"):
        job(chosen=wrong)


def test_unknown_fields_and_seeds_are_told() -> None:
    with pytest.raises(ScenarioError, match="did you mean 'num_devices'"):
        Job("ppo", "SFL-v0", TINY, {"num_device": 3})
    with pytest.raises(ScenarioError, match="seed is -1"):
        Job("ppo", "SFL-v0", TINY, seed=-1)


def test_log_reward_ranks_actions_as_the_environments_own() -> None:
    batch = make_batch("SFL-v0", 4, SMALL, autoreset_mode="SameStep")
    env = training_env(batch, "log", gamma=0.0)
    env.seed(0)
    env.reset()
    for _ in range(5):
        reward, done, infos = env.step(np.zeros((4, 3, 2), dtype=np.float32))[1:]
        own = cast(Any, env).venv.batch_infos["reward_terms"]["latency"]
        np.testing.assert_allclose(np.exp(-reward), -own, rtol=1e-5)
    assert done.all()
    assert infos[0]["episode"]["l"] == 5


def test_an_excess_is_what_a_round_takes_beyond_the_sensible_one() -> None:
    batch = make_batch("SFL-v0", 4, SMALL, autoreset_mode="SameStep", observation_mode="problem")
    env = training_env(batch, "excess", gamma=0.0)
    env.seed(0)
    env.reset()
    for _ in range(7):  # beyond an episode's end
        problem = batch.observed_problem()
        sensible_s = problem.latency_s(proportional_decision(problem))
        reward = env.step(np.zeros((4, 3, 2), dtype=np.float32))[1]
        own = cast(Any, env).venv.batch_infos["reward_terms"]["latency"]
        np.testing.assert_allclose(reward - own, sensible_s / batch.episodes.reference_latency_s, rtol=1e-4)
    with pytest.raises(TrainingError, match="reward: excess"):
        Job("ppo", "SFL-v0", replace(TINY, reward="excess", observation_mode="devices"))


def test_log_reward_refuses_rewards_that_are_not_below_zero() -> None:
    batch = make_batch("SFL-v0", 2, SMALL | {"latency_weight": 0.0}, autoreset_mode="SameStep")
    env = training_env(batch, "log", gamma=0.0)
    env.reset()
    with pytest.raises(TrainingError, match="reward: normalised"):
        env.step(np.zeros((2, 3, 2), dtype=np.float32))


def test_the_optimum_scores_one_and_a_poor_policy_more() -> None:
    class Middle:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
        ) -> tuple[Any, Any]:
            return np.zeros((len(observation), 3, 2), dtype=np.float32), state

    import sfl_baselines

    batch = make_batch("SFL-v0", 3, SMALL, info_optimum=True)
    best = evaluate(sfl_baselines.make("exact", batch), batch)
    assert best.mean_ratio == pytest.approx(1.0, abs=1e-5)
    poor = evaluate(Middle(), batch)
    assert cast(float, poor.mean_ratio) > cast(float, best.mean_ratio)
    assert poor.mean_return < best.mean_return
    assert evaluate(Middle(), batch) == poor


def test_evaluation_counts_an_episode_that_terminates_once(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_all_are_empty(monkeypatch)

    class Middle:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
        ) -> tuple[Any, Any]:
            return np.zeros((len(observation), 3, 2), dtype=np.float32), state

    fields = SMALL | {"battery_share": 1e-12, **ON_BATTERY}
    batch = make_batch("SFL-v0", 2, fields)
    batch.reset(seed=0)
    result = evaluate(Middle(), batch, seed=0)
    batch.reset(seed=0)
    _, reward, terminated, _, _ = batch.step(np.zeros((2, 3, 2), dtype=np.float32))
    assert terminated.all()
    assert result.mean_return == pytest.approx(reward.mean())


def test_learning_beats_the_start(tmp_path: Path) -> None:
    learner = Settings(
        total_steps=4096,
        num_envs=32,
        policy="DevicePolicy",
        policy_kwargs={"net_arch": [32]},
        reward="log",
        learning_rate=5e-3,
        hyperparameters={"n_steps": 8, "batch_size": 128, "n_epochs": 4, "gamma": 0.0, "gae_lambda": 0.0},
    )
    seen: list[Any] = []
    work = Job("ppo", "SFL-v0", learner, {"num_devices": 4, "max_rounds": 10}, num_evaluations=1)
    chosen = train(work, work.open_run(tmp_path), on_milestone=seen.append)
    assert chosen.mean_ratio is not None
    assert chosen.mean_ratio < 0.8 * seen[0].mean_ratio
    assert chosen.mean_ratio >= 1.0


@pytest.mark.parametrize("algo", ["a2c", "sac"])
def test_other_algorithms_and_the_plain_network_train(tmp_path: Path, algo: str) -> None:
    hyper = {"learning_starts": 8, "buffer_size": 100} if algo == "sac" else {"n_steps": 8}
    plain = Settings(total_steps=32, num_envs=4, policy_kwargs={"net_arch": [8]}, hyperparameters=hyper)
    work = job(algo, plain)
    train(work, work.open_run(tmp_path))
    trained = agent.load(tmp_path, make_batch("SFL-v0", 2, SMALL))
    assert type(trained) is algorithm(algo)


@pytest.mark.parametrize("reward", ["normalised", "log"])
def test_a_run_that_breaks_off_goes_on_from_its_checkpoint(tmp_path: Path, reward: str) -> None:
    def stop(milestone: Any) -> None:
        if milestone.steps:
            raise KeyboardInterrupt

    work = job(chosen=TINY.replace(reward=reward))
    with pytest.raises(KeyboardInterrupt):
        train(work, work.open_run(tmp_path), on_milestone=stop)
    assert not (tmp_path / AGENT).exists()
    assert not runs.is_complete(tmp_path)
    seen: list[Any] = []
    train(work, work.open_run(tmp_path, resume=True), on_milestone=seen.append)
    assert [entry.steps for entry in seen] == [64]
    assert runs.is_complete(tmp_path)
    with (tmp_path / "evaluations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in rows] == [0, 32, 64]
    assert float(rows[2]["training_s"]) > float(rows[1]["training_s"])
    assert any((tmp_path / "tensorboard").iterdir())


def test_an_off_policy_run_resumes_with_its_replay_buffer(tmp_path: Path) -> None:
    def stop(milestone: Any) -> None:
        if milestone.steps:
            raise KeyboardInterrupt

    hyper = {"learning_starts": 8, "buffer_size": 400}
    work = job("sac", Settings(total_steps=64, num_envs=4, policy_kwargs={"net_arch": [8]}, hyperparameters=hyper))
    with pytest.raises(KeyboardInterrupt):
        train(work, work.open_run(tmp_path), on_milestone=stop)
    train(work, work.open_run(tmp_path, resume=True))
    stored = archive.read(cast(Path, checkpoints.latest(tmp_path)) / checkpoints.REPLAY_BUFFER).arrays
    assert stored["observations"].shape == (64 // 4, 4, 3, 10)
    assert (int(stored["next_place"]), bool(stored["is_full"])) == (16, False)


def test_a_run_killed_before_its_agent_was_written_ends_when_resumed(tmp_path: Path) -> None:
    first = train(job(), job().open_run(tmp_path))
    (tmp_path / AGENT).unlink()
    (tmp_path / runs.SUMMARY).unlink()
    seen: list[Any] = []
    assert train(job(), job().open_run(tmp_path, resume=True), on_milestone=seen.append) == first
    assert seen == []
    assert (tmp_path / AGENT).is_file()
    assert runs.is_complete(tmp_path)


def test_deterministic_policies_explore_by_noise(tmp_path: Path) -> None:
    noisy = Settings(
        total_steps=16,
        num_envs=4,
        policy_kwargs={"net_arch": [8]},
        action_noise=0.1,
        hyperparameters={"learning_starts": 0, "buffer_size": 100},
    )
    train(job("td3", noisy), job("td3", noisy).open_run(tmp_path / "td3"))
    for name in ("td3", "ddpg"):
        assert settings.load(name, "SFL-v0").action_noise > 0.0
    with pytest.raises(TrainingError, match="action_noise"):
        job(chosen=TINY.replace(action_noise=0.1))


def test_half_a_checkpoint_is_not_taken_for_one(tmp_path: Path) -> None:
    work = job()
    train(work, work.open_run(tmp_path))
    whole = checkpoints.latest(tmp_path)
    broken = tmp_path / checkpoints.FOLDER / f"{atomic.PARTIAL}-999"
    broken.mkdir()
    (broken / checkpoints.MODEL).write_text("half")
    assert checkpoints.latest(tmp_path) == whole


def test_the_best_evaluation_is_kept_not_the_last(tmp_path: Path) -> None:
    found = [Milestone(i, 0.0, value, 1.0, None) for i, value in enumerate([-3.0, -1.0, -2.0])]
    assert checkpoints.best(found).steps == 1


def test_a_killed_run_leaves_no_agent_and_can_go_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ["--fields", "num_devices=3", "max_rounds=5", "--num-envs", "4", "--out", str(out)]
    command = [sys.executable, "-c", "import sys; from sfl_lab.cli import main; sys.exit(main())", "train"]
    process = subprocess.Popen(
        [*command, *small, "--total-steps", "1000000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 60.0
        while checkpoints.latest(out) is None and time.monotonic() < deadline:
            assert process.poll() is None, cast(Any, process.stderr).read().decode()
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert checkpoints.latest(out) is not None
    assert not (out / AGENT).exists()
    assert not runs.is_complete(out)
    with pytest.raises(Exception, match="has not ended"):
        agent.load(out, make_batch("SFL-v0", 1, {"num_devices": 3}))


def test_the_command_trains_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = ["train", "--total-steps", "512", "--num-envs", "32", "--out", str(out), *FIELDS]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert "x the optimum" in captured.out
    assert str(out) in captured.out
    config = json.loads((out / "config.json").read_text())
    assert config["settings"]["settings"]["policy"] == "CutPointerPolicy"
    assert config["settings"]["fields"] == SMALL
    assert (out / AGENT).is_file()
    assert cli.main(arguments) == 2
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algo", "dqn"], "known are a2c, ddpg, imitation, maskable-ppo, physics, ppo, recurrent-ppo"),
        (["--env-id", "SFL-v9"], "known are SFL-v0"),
        (["--fields", "num_device=3"], "did you mean 'num_devices'"),
        (["--fields", "num_devices"], "name=value"),
        (["--fields", "num_devices=0"], "it has to be a whole number from 1 to 100000"),
        (["--fields", "action_mode=cut"], "Unknown scenario field 'action_mode'"),
        (["--action-mode", "cuts"], "did you mean 'cut'"),
        (["--algo", "sac", "--action-mode", "cut"], "continuous spaces only"),
        (["--total-steps", "0"], "total_steps is 0"),
        (["--num-envs", "0"], "num_envs is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--seed", "-1"], "seed is -1"),
        (["--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: Any, message: str
) -> None:
    out = tmp_path / "run"
    assert cli.main(["train", "--out", str(out), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not out.exists()
