"""``sfl evaluate`` takes a trained agent's own environment."""

import json
from pathlib import Path

import gymnasium as gym
import pytest
from stable_baselines3 import PPO

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


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock")
    for seed in range(2):
        env = gym.make("SFL-Bandit-v0", num_devices=4)
        PPO("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, seed=seed, device="cpu").save(
            folder / f"mine-{seed}.zip"
        )
    return folder


FOUR = ("--episodes", "2", "--fields", "num_devices=4")


def test_a_file_of_stable_baselines3_is_played_in_the_environment_that_is_named(
    stock: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["evaluate", str(stock / "mine-0.zip"), "--env-id", "SFL-Bandit-v0", *FOUR]
    assert main(command) == 2
    assert "--trust" in capsys.readouterr().err
    assert main([*command, "--trust", "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "mine-0: PPO of Stable-Baselines3 with ActorCriticPolicy, trained outside of this package" in shown
    (row,) = json.loads((out / "summary.json").read_text())["policies"]
    assert (row["kind"], row["policy"], row["training_seeds"]) == ("agent", "mine-0", [0])


def test_a_file_of_stable_baselines3_needs_the_environment_named(
    stock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(stock / "mine-0.zip"), "--trust"]) == 2
    error = capsys.readouterr().err
    assert "name it with --env-id" in error
    assert "SFL-Bandit-v0 with num_devices=4" in error
    assert main(["evaluate", str(stock / "mine-0.zip"), "--trust", "--env-id", "SFL-v0"]) == 2
    assert "SFL-v0 has these in none of its modes. It would fit: " in capsys.readouterr().err


def test_files_of_stable_baselines3_are_a_row_of_training_seeds_beside_baselines(
    stock: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["benchmark", "--policies", "exact", "--agents", str(stock), "--trust", "--out", str(out)]
    assert main([*command, "--env-id", "SFL-Bandit-v0", *FOUR]) == 0
    exact, team = json.loads((out / "summary.json").read_text())["policies"]
    assert (exact["policy"], team["policy"], team["training_seeds"]) == ("exact", stock.name, [0, 1])
