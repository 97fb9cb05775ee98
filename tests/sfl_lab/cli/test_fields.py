"""``--fields`` takes scenario fields and nothing else, in every command alike."""

import inspect
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import SFLEnv
from sfl_env.episodes import Episodes
from sfl_env.errors import ScenarioError
from sfl_lab.cli import main
from sfl_lab.cli.fields import NAMES, parse_fields

OTHERS = sorted(
    {
        name
        for thing in (Episodes.__init__, SFLEnv.__init__)
        for name, parameter in inspect.signature(thing).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    | {"autoreset_mode", "vectorization_mode", "max_episode_steps", "disable_env_checker", "num_envs", "id"}
)
COMMANDS = (["solve"], ["benchmark", "--episodes", "2"], ["train"], ["benchmark", "--mode", "accuracy"])


@pytest.mark.parametrize("name", OTHERS)
def test_other_arguments_of_environments_are_no_fields(name: str) -> None:
    assert name not in NAMES
    with pytest.raises(ScenarioError, match=f"Unknown scenario field '{name}'"):
        parse_fields([f"{name}=1"])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("field", ["channel=1", "autoreset_mode=zz", "reward=1", "network=x", "num_device=3"])
def test_every_command_refuses_what_is_no_field(
    command: list[str],
    field: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--fields", field]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sfl: error: Unknown scenario field")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value",
    [
        "[" * 5000,
        "[" * 5000 + "]" * 5000,
        "(" * 5000,
        "-" * 5000 + "1",
        "9" * 5000,
        "9" * 4000,
        "[" * 20 + "1" + "]" * 20,
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "None",
        "null",
        "true",
        "",
        "''",
        "{}",
        '{"a": 1, "a": 2}',
        "{[]: 1}",
        "1j",
        "b'8'",
        "...",
        "\x00",
        "\ud800",
        "'\\d'",
        "1if 1else 2",
        "\x1b[2J",
        "x" * 20_000,
    ],
)
@pytest.mark.parametrize("name", ["num_devices", "bandwidth_hz", "device_types", "device_weights", "mobility"])
def test_a_value_of_no_use_is_one_line(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solve", "--fields", f"{name}={value}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sfl: error: ")
    assert error.count("\n") == 1
    assert error[:-1].isprintable()
    assert name in error
    assert len(error) < 2100


@pytest.mark.parametrize("text", ["", "=", "=3", "num_devices", " ", "num_devices =3"])
def test_a_field_needs_its_name_and_a_value(text: str) -> None:
    with pytest.raises(ScenarioError):
        parse_fields([text])


def test_a_field_is_given_once() -> None:
    with pytest.raises(ScenarioError, match="given twice"):
        parse_fields(["num_devices=3", "num_devices=3"])


@given(st.text())
def test_any_text_is_read_or_refused_without_a_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(parse_fields([f"model={text}"])) == ["model"]
