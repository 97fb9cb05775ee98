"""``sfl solve`` proves its optimum where there is one, and says surrogate where there is none."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import make_batch
from sfl_env import Decision, RoundProblem
from sfl_env.rounds.problem_files import read_problem, write_problem
from sfl_lab.cli import main
from sfl_lab.cli.fields import parse_fields

SURROGATES = {
    "synchronised": ["synchronised_phases=true"],
    "deadline": ["deadline_s=5"],
    "deadline in sequence": ["schedule=sequence", "deadline_s=3"],
}


def sampled(n: int = 3, **fields: Any) -> Any:
    envs = make_batch("SFL-v0", n, fields)
    envs.reset(seed=0)
    return envs


@pytest.fixture
def problem() -> RoundProblem:
    found: RoundProblem = sampled(num_devices=4).true_problem()
    return found


def test_a_sampled_round_is_solved_saved_and_solved_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out, again = tmp_path / "round.json", tmp_path / "first.json", tmp_path / "second.json"
    fields = ["--fields", "num_devices=3"]
    assert main(["solve", *fields, "--save-problem", str(file), "--out", str(out)]) == 0
    assert "No decision is faster than" in capsys.readouterr().out
    assert main(["solve", "--problem", str(file), "--out", str(again)]) == 0
    first, second = json.loads(out.read_text()), json.loads(again.read_text())
    assert first == second
    exact = sfl_baselines.solve_exact(read_problem(file))
    assert first["proven"]
    assert first["exact"]["latency_s"] == exact.latency_s.tolist()
    assert sum(first["exact"]["bandwidth_share"][0]) == pytest.approx(1.0)


def test_in_sequence_the_optimum_in_turn_is_proven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "round.npz", tmp_path / "out.json"
    assert main(["solve", "--fields", "schedule=sequence", "--save-problem", str(file), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    optimum_s = sfl_baselines.solve_in_turn(sampled(1, schedule="sequence").true_problem()).latency_s[0]
    assert f"No decision is faster than {optimum_s:.12g} s" in shown
    assert "22.82" in shown
    assert "100.000 %" in shown
    assert "surrogate" not in shown
    assert main(["solve", "--problem", str(file)]) == 0
    assert f"No decision is faster than {optimum_s:.12g} s" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    assert stored["proven"]
    assert stored["exact"]["lower_bound_s"] == stored["exact"]["latency_s"] == [pytest.approx(optimum_s)]


@pytest.mark.parametrize("name", SURROGATES)
def test_elsewhere_the_decision_is_a_surrogates_played_in_the_environments_system(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "round.json", tmp_path / "out.json"
    fields = ["--fields", *SURROGATES[name]]
    assert main(["solve", *fields, "--save-problem", str(file), "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "No decision is faster" not in shown
    assert "nothing is proven" in shown
    stored = json.loads(out.read_text())
    assert not stored["proven"]
    envs = sampled(1, **parse_fields(SURROGATES[name]))
    for kind in ("exact", "alternating"):
        answer = stored[kind]
        assert "lower_bound_s" not in answer
        decision = Decision(np.array(answer["cut_index"]), np.array(answer["bandwidth_share"]))
        envs.reset(seed=0)
        infos = envs.step(envs.episodes.action_encoder.encode(decision))[4]
        assert answer["latency_s"][0] == pytest.approx(infos["latency_s"][0], rel=1e-5)
    assert f"the round lasts {stored['exact']['latency_s'][0]:.12g} s" in shown
    # A problem's file alone does not tell how long the round is.
    assert main(["solve", "--problem", str(file), "--out", str(out), "--overwrite"]) == 0
    assert "the problem does not tell" in " ".join(capsys.readouterr().out.split())
    assert json.loads(out.read_text())["exact"]["latency_s"] is None


def test_the_issues_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for fields, text in (
        ("synchronised_phases=true", "the round lasts 26.178"),
        ("deadline_s=5", "Devices that are in time for it: 0 of 10"),
        ("num_devices=10", "No decision is faster than 14.5928975"),
    ):
        assert main(["solve", "--fields", fields]) == 0
        assert text in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("system", ["parallel", "sequence", "synchronised", "deadline"])
def test_many_rounds_get_a_line_each(
    system: Any, problem: RoundProblem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_problem(tmp_path / "rounds.npz", dataclasses.replace(problem, system=system))
    assert main(["solve", "--problem", str(tmp_path / "rounds.npz")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 rounds of 4 devices" in shown
    assert ("surrogate" in shown) == (system in ("synchronised", "deadline"))
    assert ("lower bound" in shown) == (system in ("parallel", "sequence"))


def test_more_rounds_than_are_shown_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_problem(tmp_path / "rounds.npz", sampled(25, num_devices=2).true_problem())
    assert main(["solve", "--problem", str(tmp_path / "rounds.npz")]) == 0
    assert "and 5 more" in capsys.readouterr().out


def test_a_file_without_rounds_has_nothing_to_solve(
    problem: RoundProblem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_problem(tmp_path / "none.npz", problem.rows(slice(0, 0)))
    assert main(["solve", "--problem", str(tmp_path / "none.npz")]) == 2
    assert "none.npz holds no rounds" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", '{"fixed_s": 1, "fixed_s": 2}', "[" * 5_000])
def test_a_broken_problem_file_is_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "round.json").write_text(content)
    assert main(["solve", "--problem", str(tmp_path / "round.json")]) == 2
    shown = capsys.readouterr().err
    assert "round.json is not valid JSON" in shown
    assert shown.count("\n") == 1


def test_names_of_cuts_are_shown_as_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = sampled().profile
    names = tuple(f"[red]{i}\x1b[2J" for i in range(profile.num_cuts))
    dataclasses.replace(profile, cut_names=names).to_json(tmp_path / "network.json")
    assert main(["solve", "--fields", f"model={tmp_path / 'network.json'}"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]0\\x1b[2J" in shown


def test_files_are_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "solution.json"
    out.write_text("precious")
    assert main(["solve", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["solve", "--out", str(out), "--overwrite"]) == 0
    assert main(["solve", "--out", str(tmp_path / "no" / "solution.json")]) == 2
    assert "does not exist" in capsys.readouterr().err
