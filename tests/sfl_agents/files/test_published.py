"""Published agents are whole, small and what their cards tell: those of the package and those of users."""

import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_agents
from sfl_agents.files import archive, published
from sfl_agents.files.agent_file import AgentFile
from sfl_baselines.environments import make_batch
from sfl_env import SFLEnv
from sfl_env.errors import PolicyError, SFLError
from sfl_env.presets import PRESETS
from sfl_env.spaces import ContinuousAction, DeviceRows
from sfl_lab import cli
from sfl_lab.compare.publishing import publish
from tests.sfl_agents import tiny

pytestmark = pytest.mark.usefixtures("one_thread")

FIELDS = ["--fields", *(f"{name}={value}" for name, value in tiny.FIELDS.items())]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.finished(tiny.job(), tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def home(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    publish(finished, "Tiny-v0", folder, episodes=3)
    return folder


@pytest.fixture
def at_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the published agents, which the package takes for its own."""
    import shutil

    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setattr(published, "HOME", tmp_path / "home")
    return tmp_path / "home"


def test_the_package_has_agents_and_they_are_in_the_package() -> None:
    assert "SFL-v0" in published.names()
    inside = resources.files("sfl_agents") / "pretrained"
    for name in published.names():
        assert (inside / name / "agent.zip").is_file()
        assert (inside / name / "card.json").is_file()


@pytest.mark.parametrize("name", published.names())
def test_a_published_agent_is_whole_small_and_acts_in_its_environment(name: str) -> None:
    told = published.card(f"pretrained:{name}")
    assert told["env_id"] in PRESETS
    job = sfl_agents.describe(f"pretrained:{name}")
    assert told["about"] == sfl_agents.about(job)
    file = published.file_of(f"pretrained:{name}")
    assert file.stat().st_size == told["bytes"] <= 200_000
    assert told["command"].startswith("sfl train ")
    text = json.dumps(told)
    assert not re.search(r"/(home|tmp|work|root|Users)/", text)  # nothing of the machine that it was made on
    fields = dict(job.fields) | ({"mode": "latency"} if told["env_id"] == "SFL-Accuracy-v0" else {})
    modes: dict[str, Any] = {
        "action_mode": job.settings.action_mode,
        "observation_mode": job.settings.observation_mode,
    }
    env = gym.make(told["env_id"], **modes, **fields)
    observation, _ = env.reset(seed=0)
    action, _ = sfl_agents.load(f"pretrained:{name}", env).predict(observation, deterministic=True)
    env.step(action)


@pytest.mark.parametrize("name", published.names())
def test_a_card_tells_figures_on_held_out_episodes_and_how_training_went(name: str) -> None:
    told = published.card(f"pretrained:{name}")
    figures = told["held_out"]
    assert figures["episodes"] >= 100
    assert figures["ratio"]["low"] <= figures["ratio"]["value"] <= figures["ratio"]["high"]
    steps = [entry["steps"] for entry in told["curve"]]
    assert steps == sorted(steps)
    assert len(steps) > 2


def test_a_published_agent_acts_as_the_one_that_was_trained(finished: Path, at_home: Path) -> None:
    env = make_batch("SFL-v0", 5, tiny.FIELDS)
    observation, _ = env.reset(seed=0)
    agents = sfl_agents.load(finished, env), sfl_agents.load("pretrained:Tiny-v0", env)
    first, second = (agent.predict(observation, deterministic=True)[0] for agent in agents)
    np.testing.assert_array_equal(first, second)


def test_a_published_file_holds_what_acts_and_no_more(finished: Path, at_home: Path) -> None:
    whole, light = AgentFile.open(finished / "agent.zip"), AgentFile.open(at_home / "Tiny-v0" / "agent.zip")
    assert light.job == whole.job
    assert {name for name in whole.arrays if "optimizer" not in name} == set(light.arrays)
    assert light.counters["recent_episodes"] == []


def test_the_card_tells_what_the_evaluation_gives(at_home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.main(["evaluate", "--policy", "pretrained:Tiny-v0", "--episodes", "3", "--out", str(out)]) == 0
    (score,) = json.loads((out / "summary.json").read_text())["policies"]
    told = published.card("pretrained:Tiny-v0")["held_out"]
    assert told["ratio"] == score["ratio"]
    assert told["mean_return"] == score["mean_return"]


@pytest.mark.parametrize(
    "command",
    [["evaluate", "pretrained:Tiny-v0"], ["benchmark", "--policies", "exact", "--agents", "pretrained:Tiny-v0"]],
)
def test_commands_take_its_name(
    at_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert cli.main([*command, "--episodes", "2", "--out", str(tmp_path / "out"), *FIELDS]) == 0
    assert "pretrained:Tiny-v0" in capsys.readouterr().out


def test_the_command_publishes_what_is_played_from_there(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "Mine-v0"
    command = ["publish", str(finished), "--as", "Mine-v0", "--home", str(home), "--episodes", "2"]
    assert cli.main(command) == 0
    assert {file.name for file in folder.iterdir()} == {"agent.zip", "card.json"}
    assert f"sfl evaluate {folder}" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["evaluate", str(folder), "--episodes", "2"]) == 0
    assert "Mine-v0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "figures"), [({"deadline_s": 60.0, "missed_weight": 1.0}, {"in_time"}), ({}, set())]
)
def test_a_card_tells_what_counts_in_the_tier(tmp_path: Path, fields: dict[str, Any], figures: set[str]) -> None:
    run = tiny.finished(replace(tiny.job(), fields={**tiny.FIELDS, **fields}), tmp_path / "run")
    told = json.loads((publish(run, "Mine", tmp_path / "home", episodes=2) / "card.json").read_text())["held_out"]
    assert {"in_time", "to_target"} & set(told) == figures
    assert ("in_time" in figures) == (told["reference"] == "most possible")


def test_publishing_twice_gives_the_same_file(finished: Path, home: Path, tmp_path: Path) -> None:
    folder = publish(finished, "Tiny-v0", tmp_path, episodes=3)
    for name in ("agent.zip", "card.json"):
        assert (folder / name).read_bytes() == (home / "Tiny-v0" / name).read_bytes()


@pytest.mark.parametrize("name", ["../Mine", "", "a/b", ".hidden", "a b", "x" * 200])
def test_what_is_no_name_is_refused(finished: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match="is no name of an agent"):
        publish(finished, name, tmp_path / "home", episodes=2)
    assert not (tmp_path / "Mine").exists()


@pytest.mark.parametrize("name", ["SFL-v9", "", "../pretrained/Tiny-v0", "/etc/passwd", "Tiny-v0/../Tiny-v0", "."])
def test_unknown_names_are_told_with_those_that_are_known(at_home: Path, name: str) -> None:
    with pytest.raises(PolicyError, match=r"Unknown published agent .*known are Tiny-v0"):
        sfl_agents.load(f"pretrained:{name}", make_batch("SFL-v0", 1, tiny.FIELDS))


def one_byte_changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def another_agent(file: Path) -> None:
    stored = archive.read(file)
    archive.write(file, stored.header, {name: array * 0 for name, array in stored.arrays.items()})


def grown(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0" * published.MOST_BYTES)


@pytest.mark.parametrize("change", [one_byte_changed, another_agent, grown])
def test_a_file_that_is_not_the_cards_is_refused(at_home: Path, change: Any) -> None:
    change(at_home / "Tiny-v0" / "agent.zip")
    for ask in (sfl_agents.describe, sfl_agents.action_mode_of):
        with pytest.raises(PolicyError, match="hashes differ"):
            ask("pretrained:Tiny-v0")
    with pytest.raises(PolicyError, match="hashes differ"):
        sfl_agents.load("pretrained:Tiny-v0", make_batch("SFL-v0", 1, tiny.FIELDS))


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON", '{"format": 2}', "{" * 100_000])
def test_a_damaged_card_is_refused(at_home: Path, text: str) -> None:
    (at_home / "Tiny-v0" / "card.json").write_text(text)
    with pytest.raises(PolicyError, match=r"card\.json"):
        sfl_agents.describe("pretrained:Tiny-v0")


def test_an_agent_in_a_users_folder_is_the_one_of_its_card(at_home: Path) -> None:
    folder = at_home / "Tiny-v0"
    env = make_batch("SFL-v0", 5, tiny.FIELDS)
    observation, _ = env.reset(seed=0)
    agents = sfl_agents.load(folder, env), sfl_agents.load("pretrained:Tiny-v0", env)
    first, second = (agent.predict(observation, deterministic=True)[0] for agent in agents)
    np.testing.assert_array_equal(first, second)
    assert sfl_agents.describe(folder) == sfl_agents.describe("pretrained:Tiny-v0")
    one_byte_changed(folder / "agent.zip")
    with pytest.raises(PolicyError, match=r"hashes differ; copy the agent's folder"):
        sfl_agents.load(folder, env)


def test_a_missing_file_is_told(at_home: Path) -> None:
    (at_home / "Tiny-v0" / "agent.zip").unlink()
    with pytest.raises(PolicyError, match="cannot be read"):
        sfl_agents.describe("pretrained:Tiny-v0")


def test_an_environment_with_another_action_mode_is_told_how_to_be_made(at_home: Path) -> None:
    env = SFLEnv(action_mode="cut", **tiny.FIELDS)
    with pytest.raises(PolicyError, match=r"gym\.make\('SFL-v0', num_devices=3.*action_mode='continuous', .*\)"):
        sfl_agents.load("pretrained:Tiny-v0", env)


class OtherRows(DeviceRows):
    """Observations of the same shape that another class makes."""


class OtherAction(ContinuousAction):
    """Actions of the same shape that another class takes."""


def test_spaces_of_the_same_shape_are_not_taken_for_the_same(at_home: Path) -> None:
    own = SFLEnv(**tiny.FIELDS).episodes
    parts: list[dict[str, Any]] = [
        {"observation": OtherRows(**vars(own.observation_encoder))},
        {"action": OtherAction(own.simulator.workload.num_cuts)},
    ]
    for part in parts:
        env = SFLEnv(**tiny.FIELDS, **part)
        assert env.observation_space.shape == own.observation_encoder.space(3).shape
        with pytest.raises(PolicyError, match=r"was trained for .*Other"):
            sfl_agents.load("pretrained:Tiny-v0", env)


def test_one_policy_is_evaluated_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["evaluate"], ["evaluate", "runs/a", "--policy", "exact"]):
        assert cli.main(command) == 2
        assert "Name one policy" in capsys.readouterr().err


def test_a_baseline_is_evaluated_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "--policy", "exact", "--episodes", "2", *FIELDS]) == 0
    assert "1.000 [1.000, 1.000]" in capsys.readouterr().out
    assert cli.main(["evaluate", "--policy", "exakt", "--episodes", "2", *FIELDS]) == 2
    assert "did you mean 'exact'" in capsys.readouterr().err


def test_what_is_no_run_or_too_large_is_not_published(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PolicyError, match="name that of a run"):
        publish(finished / "agent.zip", "Mine", tmp_path, episodes=2)
    with pytest.raises(SFLError):
        publish(tmp_path, "Mine", tmp_path, episodes=2)
    monkeypatch.setattr(published, "MOST_BYTES", 1000)
    with pytest.raises(PolicyError, match="smaller networks"):
        publish(finished, "Mine", tmp_path, episodes=2)
    assert not (tmp_path / "Mine").exists()


def test_interfaces_differ_by_each_of_their_parts() -> None:
    from sfl_agents.files.interface import Interface

    base = Interface.of(SFLEnv(**tiny.FIELDS))
    assert Interface.from_dict(json.loads(json.dumps(base.to_dict()))) == base
    for part in base.to_dict():
        with pytest.raises(PolicyError, match="interface"):
            Interface.from_dict({name: value for name, value in base.to_dict().items() if name != part})
    changes = ({"num_columns": 1}, {"num_cuts": 1}, {"choices": (2,)}, {"observation": "A"}, {"action": "A"})
    for change in (*changes, {"late_channel": True}):
        assert not base.fits(replace(base, **change), any_number_of_devices=True)
    more = replace(base, num_devices=9)
    assert base.fits(more, any_number_of_devices=True)
    assert not base.fits(more, any_number_of_devices=False)
