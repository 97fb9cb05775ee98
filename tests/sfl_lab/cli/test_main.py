"""What holds for every command: exit statuses, one line for a mistake, and no quarrel with pipes and terminals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sfl_env
from sfl_env.errors import RunError, ScenarioError
from sfl_lab import cli
from sfl_lab.cli import BROKEN_PIPE, INTERRUPTED, USER_ERROR, main
from sfl_lab.cli.solve import Solve

SFL = (sys.executable, "-m", "sfl_lab")


def run(command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell's line in which SFL stands for the command, its outputs buffered as they are by default."""
    line = command.replace("SFL", f"{sys.executable} -m sfl_lab")
    usual = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": ""}
    return subprocess.run(
        ["bash", "-c", line], check=False, capture_output=True, text=True, env=usual | environment
    )


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(self: Solve) -> None:
        raise error

    monkeypatch.setattr(Solve, "run", fail)


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("sfl: error: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    return error


def test_the_package_runs_as_a_module_and_says_its_version() -> None:
    done = subprocess.run([*SFL, "--version"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sfl {sfl_env.__version__}\n", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RunError("one\ntwo \x1b[2Jthree"), "one two \\x1b[2Jthree"),
        (RunError("x" * 100_000), " ... x"),
        (RunError("pass overwrite=True to replace it"), "pass --overwrite to replace it"),
        (
            PermissionError(13, "Permission denied", "runs/a\x07b"),
            "runs/a\\x07b cannot be used: Permission denied.",
        ),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(), "OSError"),
        (MemoryError(), "memory does not suffice"),
        (ModuleNotFoundError("No module named 'datasets'", name="datasets"), "pip install 'sfl-env[datasets]'"),
        (ImportError("libtorch.so: cannot open", name="torch._C"), "libtorch.so: cannot open"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    error: BaseException, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, error)
    assert main(["solve"]) == USER_ERROR
    assert message in the_line(capsys)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ValueError("x"), ModuleNotFoundError("x", name="sfl_env.x")]
)
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(monkeypatch, error)
    with pytest.raises(type(error)):
        main(["solve"])


def test_an_interruption_is_one_wherever_it_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(monkeypatch, KeyboardInterrupt())
    assert main(["solve"]) == INTERRUPTED
    monkeypatch.setattr(cli, "_parse", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert main(["solve"]) == INTERRUPTED
    assert capsys.readouterr().err == "sfl: interrupted\n" * 2


@pytest.mark.parametrize("arguments", ["--help", "benchmark --help", "profile vgg16"])
def test_a_reader_that_goes_leaves_no_traceback(arguments: str) -> None:
    done = run(f"SFL {arguments} | head -1; echo ${{PIPESTATUS[0]}}")
    assert done.stderr == ""
    # A reader that goes late has taken all, where all fits the pipe.
    assert done.stdout.splitlines()[-1] in ("0", str(BROKEN_PIPE))
    gone = run(f"(sleep 0.01; SFL {arguments}; echo $? >&2) | true")
    # Older versions of the parser end well after their help, whoever has read it.
    assert gone.stderr in (f"{BROKEN_PIPE}\n", "0\n")


@pytest.mark.parametrize("arguments", ["solve --help", "profile lenet5", "--version"])
def test_closed_or_full_outputs_are_met(arguments: str) -> None:
    for closed in (">&-", ">&- 2>&-"):
        done = run(f"SFL {arguments} {closed}")
        assert (done.returncode, done.stderr) == (0, "")
    full = run(f"SFL {arguments} > /dev/full")
    assert full.returncode == USER_ERROR
    assert full.stderr.startswith("sfl: error: ")
    assert full.stderr.count("\n") == 1
    assert "No space left on device" in full.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", ["profile resnet81", "profile --no-such-option"])
@pytest.mark.parametrize("outputs", ["2>&-", "2>/dev/full", ">&- 2>/dev/full", ">/dev/full 2>/dev/full"])
def test_an_error_with_nobody_to_hear_it_is_a_status(outputs: str, arguments: str, unbuffered: str) -> None:
    assert run(f"SFL {arguments} {outputs}", PYTHONUNBUFFERED=unbuffered).returncode == USER_ERROR


def test_output_takes_every_character(tmp_path: Path) -> None:
    done = run(f"cd {tmp_path}; PYTHONIOENCODING=ascii SFL profile lenet5 --out $'n\\u00e4tz.json'")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.isascii()


def test_usage_errors_quote_arguments_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["solve", "--\x1b[2J"], ["\x1b]0;title\x07"], ["solve", "--seed", "\u202e1"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == USER_ERROR
        error = capsys.readouterr().err
        assert error.replace("\n", "").isprintable()
        assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "--seed", "-1"], "seed is -1"),
        (["solve", "--seed", "9" * 30], "from 0 to 999999"),
        (["solve", "--env-id", "CartPole-v1"], "no environment of sfl_env's"),
        (["solve", "--env-id", "nonexistent.module:X"], "No module named 'nonexistent'"),
        (["solve", "--env-id", "SFL-v9"], "SFL-v9"),
        (["solve", "--env-id", "\x1b[2J"], "\\x1b[2J"),
        (["solve", "--env-id", ":"], "Unknown environment id"),
        (["solve", "--env-id", "a b\x00:SFL-v0"], "cannot be made"),
        (["solve", "--env-id", "..:SFL-v0"], "cannot be made"),
        (["benchmark", "--env-id", "CartPole-v1", "--episodes", "2"], "environment of sfl_env's"),
        (["benchmark", "--episodes", "0"], "episodes is 0"),
        (["benchmark", "--episodes", "-3"], "episodes is -3"),
        (["benchmark", "--rounds", "0"], "max_rounds is 0"),
        (["benchmark", "--seed", "-1"], "seed is -1"),
        (["benchmark", "--mode", "accuracy", "--threads", "0"], "--threads is 0"),
        (["benchmark", "--mode", "accuracy", "--threads", "9" * 25], "--threads is 999"),
        (["train", "--threads", "0"], "--threads is 0"),
        (["train", "--seed", "-1"], "seed is -1"),
        (["train", "--total-steps", "0"], "total_steps is 0"),
        (["train", "--num-envs", "-1"], "num_envs is -1"),
    ],
)
def test_numbers_and_ids_out_of_range_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == USER_ERROR
    assert message in the_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("body", ["import sys; sys.exit(0)", "raise SystemExit", "1/0", "import no_such_thing"])
def test_a_module_that_does_not_import_gives_no_environment(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"ends_{abs(hash((body, tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    for command in ("solve", "benchmark", "train"):
        assert main([command, "--env-id", f"{name}:SFL-v0"]) == USER_ERROR
        assert name in the_line(capsys)


@pytest.mark.parametrize("out", ["file", "file/run", "locked/run"])
def test_folders_that_cannot_be_written_are_one_line(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir(mode=0o555)
    if out.startswith("locked") and os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("nothing is locked for this user")
    fields = ["--fields", "num_devices=2", "max_rounds=1"]
    for arguments in (
        ["benchmark", "--episodes", "2", "--policies", "random", *fields, "--out", str(tmp_path / out)],
        ["train", "--total-steps", "1", *fields, "--out", str(tmp_path / out)],
        ["solve", *fields, "--out", str(tmp_path / out / "x.json")],
        ["profile", "lenet5", "--out", str(tmp_path / out / "x.json")],
    ):
        assert main(arguments) == USER_ERROR
        the_line(capsys)


def test_a_scenario_error_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(monkeypatch, ScenarioError("x"))
    assert main(["solve"]) == USER_ERROR
