"""Settings that no algorithm can be trained with are told before anything is made, by name, value and mend."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from sfl_agents.training import hyperparameters, settings
from sfl_agents.training.algorithms import algorithm
from sfl_agents.training.hyperparameters import HYPERPARAMETERS
from sfl_agents.training.job import Job
from sfl_agents.training.settings import Settings
from sfl_agents.training.train import train
from sfl_env.errors import TrainingError
from sfl_lab import cli
from tests.sfl_agents import tiny
from tests.sfl_agents.contrib import algorithms

ELSEWHERE = (
    *("policy", "env", "learning_rate", "seed", "device", "policy_kwargs", "action_noise", "verbose"),
    *("tensorboard_log", "optimize_memory_usage", "replay_buffer_class", "replay_buffer_kwargs"),
    *("rollout_buffer_class", "rollout_buffer_kwargs", "_init_setup_model"),
)
"""Arguments of the algorithms' classes that have entries of their own in the settings, or that the training of
this package sets. ``optimize_memory_usage`` cannot tell a time limit from an end."""


def job(algo: str, **changes: Any) -> Job:
    return Job(algo, "SFL-v0", Settings(**({"total_steps": 1_000_000} | changes)))


@pytest.mark.parametrize("algo", algorithms())
def test_every_argument_of_an_algorithm_is_settable_or_set_elsewhere(algo: str) -> None:
    taken = set(inspect.signature(algorithm(algo)).parameters)
    assert taken <= {*HYPERPARAMETERS, *ELSEWHERE}


@pytest.mark.parametrize("algo", algorithms())
def test_what_an_algorithm_takes_by_itself_is_in_range(algo: str) -> None:
    taken = inspect.signature(algorithm(algo)).parameters
    own = {name: taken[name].default for name in hyperparameters.hyperparameters_of(algo)}
    hyperparameters.check_hyperparameters(algo, own)


@pytest.mark.parametrize(
    ("algo", "name", "value"),
    [
        ("ppo", "gamma", "foo"),
        ("ppo", "gamma", True),
        ("ppo", "gamma", 1.5),
        ("ppo", "n_epochs", 0),
        ("ppo", "n_epochs", 1.5),
        ("ppo", "n_steps", 10**400),
        ("ppo", "vf_coef", math.nan),
        ("ppo", "clip_range", math.inf),
        ("ppo", "clip_range", 0.0),
        ("ppo", "target_kl", -1.0),
        ("ppo", "normalize_advantage", "yes"),
        ("ppo", "batch_size", [64]),
        ("ppo", "batch_size", None),
        ("a2c", "rms_prop_eps", 0.0),
        ("sac", "ent_coef", "automatic"),
        ("sac", "gradient_steps", 0),
        ("sac", "train_freq", {"1": "step"}),
        ("td3", "policy_delay", 0),
        ("ddpg", "tau", 0.0),
    ],
)
def test_hyperparameters_out_of_range_are_told_by_name_and_value(algo: str, name: str, value: Any) -> None:
    with pytest.raises(TrainingError, match=rf"hyperparameters\.{name} is .*; "):
        job(algo, hyperparameters={name: value})


@pytest.mark.parametrize(
    ("algo", "name", "nearest"),
    [("ppo", "n_stepz", "n_steps"), ("a2c", "n_epochs", "n_steps"), ("sac", "buffersize", "buffer_size")],
)
def test_unknown_hyperparameters_are_told_with_the_nearest(algo: str, name: str, nearest: str) -> None:
    with pytest.raises(TrainingError, match=f"'{name}'.*{nearest}"):
        job(algo, hyperparameters={name: 8})
    for taken in ("env", "verbose", "replay_buffer_class"):
        with pytest.raises(TrainingError, match=f"Unknown entry of hyperparameters '{taken}'"):
            job(algo, hyperparameters={taken: 1})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"net_arch": [-1]}, r"policy_kwargs\.net_arch\[0\] is -1; it has to be a whole number from 1"),
        ({"net_arch": []}, r"policy_kwargs\.net_arch is \[\]"),
        ({"net_arch": "64"}, r"policy_kwargs\.net_arch is '64'"),
        ({"net_arch": [64, 1e9]}, r"policy_kwargs\.net_arch\[1\]"),
        ({"net_arch": [[64]]}, r"policy_kwargs\.net_arch\[0\]"),
        ({"net_arch": {"pl": [8]}}, "'pl'; known are pi, qf, vf"),
        ({"activation_fn": "relu"}, "activation_fn is 'relu'; it has to be one of ELU, .*ReLU"),
        ({"log_std_init": math.nan}, "log_std_init is nan"),
        ({"optimizer_kwargs": {"epsilon": 1e-5}}, r"policy_kwargs\.optimizer_kwargs 'epsilon'"),
        ({"optimizer_kwargs": {"eps": -1.0}}, r"optimizer_kwargs\.eps is -1\.0"),
        ({"optimizer_kwargs": {"betas": [0.9, 1.0]}}, r"betas\[1\] is 1\.0"),
        ({"features_extractor_class": "os.system"}, "Unknown entry of policy_kwargs"),
        ({1: 2}, "Unknown entry of policy_kwargs 1"),
    ],
)
def test_arguments_of_the_policy_are_checked(value: dict[Any, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        job("ppo", policy_kwargs=value)


def test_less_than_a_rollout_is_refused_with_its_size() -> None:
    with pytest.raises(TrainingError, match=r"total_steps is 4096.*2048 rounds of each of 64 .* are 131072"):
        job("ppo", total_steps=4096)
    with pytest.raises(TrainingError, match=r"total_steps is 10.*1 rounds of each of 64 .* are 64.*train_freq"):
        job("sac", total_steps=10)


def test_learning_that_would_never_start_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"learning_starts is 5000.*total_steps is 5000"):
        job("sac", total_steps=5000, hyperparameters={"learning_starts": 5000})


@pytest.mark.parametrize(("algo", "total", "trained"), [("ppo", 70, 96), ("a2c", 64, 64), ("sac", 65, 68)])
def test_training_stops_after_the_rollouts_that_were_announced(
    tmp_path: Path, one_thread: None, algo: str, total: int, trained: int
) -> None:
    chosen = tiny.SETTINGS if algo != "sac" else tiny.OFF_POLICY
    if algo == "a2c":
        chosen = chosen.replace(hyperparameters={"n_steps": 8})
    work = tiny.job(algo, chosen.replace(total_steps=total))
    assert work.settings.trained_steps(algo) == trained
    steps: list[int] = []
    train(work, work.open_run(tmp_path), on_steps=steps.append)
    assert steps[-1] == trained


def test_the_command_says_how_many_rounds_it_trains_for(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--fields", "num_devices=3", "max_rounds=5", "--num-envs", "4"]
    assert cli.main(["train", "--algo", "a2c", "--total-steps", "70", *size, "--out", str(tmp_path)]) == 0
    assert "Trains for 96 rounds, 70 up to whole rollouts of 32." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("total_steps: 10\ntotal_steps: 20", "line 2: 'total_steps' stands twice"),
        ("total_steps: 1\nhyperparameters: {gamma: 0.9, gamma: 0.8}", "'gamma' stands twice"),
        ("a: &a [1]\nb: *a", "line 1: write values out"),
        ("&a [*a]", "write values out"),
        ("total_steps: !!python/object/apply:os.system ['true']", "the tag .* is not taken"),
        ("total_steps: !!int '3'", "the tag .* is not taken"),
        ("\ttotal_steps: 3", "not valid YAML"),
        ("total_steps: 3\n---\ntotal_steps: 4", "not valid YAML"),
        ("", "has to map names to values"),
        ("3", "has to map names to values"),
        ("1: 2", "1 is no name"),
        ("[" * 5000, "nested more than 10"),
        ("total_steps: " + "9" * 5000, "cannot be read|has to be a whole number"),
        ("total_steps: 2001-99-99", "cannot be read|has to be"),
        ("#" * 200_000, "200000 characters"),
        ("total_steps: 10\nlearning_rate: 3e-4", "such as 0.0003"),
        ("total_steps: 1000000\nhyperparameters: {gamma: 9e-1}", r"YAML reads 3e-4 as text"),
        ("total_steps: 10\npolicy_kwargs:", "policy_kwargs is None; it has to be a mapping"),
        ("like: 3", "like in .* is 3"),
        ("total_steps: .nan", "total_steps is nan"),
    ],
)
def test_settings_files_are_told_what_is_wrong_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "own.yml"
    file.write_text(text)
    with pytest.raises(TrainingError, match=message):
        Job("ppo", "SFL-v0", settings.load("ppo", "SFL-v0", file))
    assert cli.main(["train", "--settings", str(file), "--out", str(tmp_path / "run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_what_the_algorithm_itself_finds_no_sense_in_is_told(tmp_path: Path, one_thread: None) -> None:
    work = tiny.job(settings=tiny.SETTINGS)

    def spoil(steps: int) -> None:
        raise ZeroDivisionError("no sense")

    with pytest.raises(TrainingError, match=r"cannot go on after \d+ steps: ZeroDivisionError: no sense"):
        train(work, work.open_run(tmp_path), on_steps=spoil)


def test_names_of_activations_are_torchs(tmp_path: Path, one_thread: None) -> None:
    import sfl_agents
    from sfl_baselines.environments import make_batch

    chosen = tiny.SETTINGS.replace(policy_kwargs={"net_arch": [8], "activation_fn": "Tanh"})
    folder = tiny.finished(tiny.job(settings=chosen), tmp_path / "run")
    agent = sfl_agents.load(folder, make_batch("SFL-v0", 1, tiny.FIELDS))
    assert "Tanh" in str(agent.policy)


@pytest.mark.parametrize("algo", algorithms())
def test_settings_come_back_from_a_runs_configuration(algo: str) -> None:
    for env_id in ("SFL-v0", "SFL-StaleCSI-v0"):
        work = Job(algo, env_id, settings.load(algo, env_id), {"num_devices": 5}, seed=3)
        assert Job.from_dict(yaml.safe_load(yaml.safe_dump(work.to_dict())), "config.json") == work
