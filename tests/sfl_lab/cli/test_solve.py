"""``sfl solve`` proves its optimum, and problems survive their way through files."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import make_batch, training_seed
from sfl_env import RoundProblem, SFLVectorEnv
from sfl_env.dnn import catalogue
from sfl_env.errors import ProblemError
from sfl_env.rounds.problem_files import read_problem, write_problem
from sfl_env.rounds.problem_values import FIELDS
from sfl_lab.cli import main


@pytest.fixture
def problem() -> RoundProblem:
    envs = make_batch("SFL-v0", 3, {"num_devices": 4})
    envs.reset(seed=0)
    sampled = envs.true_problem()
    fixed_s = sampled.fixed_s.copy()
    fixed_s[:, 0, -1] = np.inf  # a cut that does not fit
    return dataclasses.replace(sampled, fixed_s=fixed_s)


@pytest.mark.parametrize("name", ["round.json", "round.npz"])
def test_a_problem_comes_back_as_it_was(problem: RoundProblem, name: str, tmp_path: Path) -> None:
    assert np.isinf(problem.fixed_s).any()
    write_problem(tmp_path / name, problem)
    again = read_problem(tmp_path / name)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(again, field), getattr(problem, field))


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
    assert first["exact"]["latency_s"] == exact.latency_s.tolist()
    assert sum(first["exact"]["bandwidth_share"][0]) == pytest.approx(1.0)


def test_many_rounds_get_a_line_each(
    problem: RoundProblem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_problem(tmp_path / "rounds.npz", problem)
    assert main(["solve", "--problem", str(tmp_path / "rounds.npz")]) == 0
    assert "3 rounds of 4 devices" in capsys.readouterr().out


GOOD = {
    "fixed_s": [[1.0, 2.0]],
    "uplink_bits": [[1e6, 0.0]],
    "downlink_bits": [[0.0, 0.0]],
    "uplink_snr_hz": [3e6],
    "downlink_full_rate_bps": [None],
    "uplink_bandwidth_hz": 1e6,
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1, 2]", "holds no object"),
        ("{}", "lacks fixed_s, uplink_bits"),
        (json.dumps({**GOOD, "uplink_bit": 1}), "'uplink_bit' (did you mean 'uplink_bits'?)"),
        (json.dumps({**GOOD, "fixed_s": [[1.0], [2.0, 3.0]]}), "fixed_s in"),
        (json.dumps({**GOOD, "fixed_s": [["fast", 1.0]]}), "fixed_s in"),
        (json.dumps({**GOOD, "uplink_snr_hz": [-1.0]}), "uplink_snr_hz[0, 0]"),
        (json.dumps({**GOOD, "uplink_bits": [[1e6]]}), "uplink_bits has shape (1, 1, 1)"),
        (json.dumps({**GOOD, "fixed_s": [[None, None]]}), "none fits its memory"),
    ],
)
def test_a_broken_problem_file_is_explained(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "round.json"
    path.write_text(text)
    assert main(["solve", "--problem", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_broken_or_strange_files_and_names_are_refused(tmp_path: Path, problem: RoundProblem) -> None:
    for name, content in (("empty.npz", b""), ("torn.npz", b"PK\x03\x04 torn")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ProblemError, match=r"is not a whole NPZ file|cannot be read"):
            read_problem(tmp_path / name)
    with pytest.raises(ProblemError, match="cannot be read"):
        read_problem(tmp_path / "missing.json")
    for use in (lambda path: read_problem(path), lambda path: write_problem(path, problem)):
        with pytest.raises(ProblemError, match=r"has to end in \.json or \.npz"):
            use(tmp_path / "round.txt")


def test_a_file_without_rounds_has_nothing_to_solve(
    problem: RoundProblem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_problem(tmp_path / "none.npz", problem.rows(slice(0, 0)))
    assert main(["solve", "--problem", str(tmp_path / "none.npz")]) == 2
    assert "none.npz holds no rounds" in " ".join(capsys.readouterr().err.split())


def test_files_are_replaced_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "solution.json"
    out.write_text("precious")
    assert main(["solve", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["solve", "--out", str(out), "--overwrite"]) == 0
    assert main(["solve", "--out", str(tmp_path / "no" / "solution.json")]) == 2
    assert "does not exist" in capsys.readouterr().err


def sampled(**fields: Any) -> SFLVectorEnv:
    """The round that ``sfl solve`` draws."""
    envs = make_batch("SFL-v0", 1, fields)
    envs.reset(seed=training_seed(0))
    return envs


def solve(capsys: pytest.CaptureFixture[str], out: Path, *fields: str) -> tuple[str, list[float | None]]:
    """Return what is shown and the lower bounds that are stored."""
    assert main(["solve", *(["--fields", *fields] if fields else []), "--out", str(out)]) == 0
    stored = json.loads(out.read_text())
    bounds = [entry["lower_bound_s"] for entry in stored.values() if isinstance(entry, dict)]
    return " ".join(capsys.readouterr().out.split()), bounds


def test_a_round_of_devices_that_work_at_once_comes_with_its_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, bounds = solve(capsys, tmp_path / "solution.json")
    optimum = sfl_baselines.solve_exact(sampled().true_problem())
    assert f"The optimal round: {optimum.latency_s[0]:.6g} s" in shown
    assert f"No decision is faster than {optimum.lower_bound_s[0]:.12g} s" in shown
    assert None not in bounds


def test_a_round_of_devices_in_turn_comes_with_an_optimum_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown, bounds = solve(capsys, tmp_path / "solution.json", "schedule=sequence")
    in_turn = sfl_baselines.solve_in_turn(sampled(schedule="sequence").true_problem())
    assert f"The optimal round in turn: {in_turn.latency_s[0]:.6g} s" in shown
    assert "no decision is faster" in shown
    assert "No decision is faster than" not in shown
    assert None not in bounds


@pytest.mark.parametrize("system", ["barriers", "deadline_s"])
def test_of_other_rounds_nothing_is_proven_and_the_surrogates_decision_is_carried_out(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surrogate_s = sfl_baselines.solve_exact(sampled().true_problem()).latency_s[0]
    # Equalised devices are all late for half of their time.
    value = "every-phase" if system == "barriers" else 0.5 * surrogate_s
    envs = sampled(**{system: value})
    decision = sfl_baselines.solve_exact(envs.true_problem().as_parallel()).decision
    infos = envs.step(envs.episodes.action_encoder.encode(decision, envs.episodes.now.observed))[-1]
    shown, bounds = solve(capsys, tmp_path / "solution.json", f"{system}={value}")
    assert f"The surrogate's round: {surrogate_s:.6g} s" in shown
    assert f"takes {infos['latency_s'][0]:.6g} s" in shown
    assert ("of 10 devices take part" in shown) == (not infos["takes_part"].all()) == (system == "deadline_s")
    assert "Nothing is proven" in shown
    assert "No decision is faster than" not in shown
    assert all(bound is None for bound in bounds)


@pytest.mark.parametrize("system", ["sequence", "staged", "deadline"])
def test_files_of_other_systems_are_no_proofs_either(
    problem: RoundProblem, system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_problem(tmp_path / "rounds.json", dataclasses.replace(problem, system=system))  # type: ignore[arg-type]  # a name from a list
    assert main(["solve", "--problem", str(tmp_path / "rounds.json")]) == 0
    shown = capsys.readouterr().out
    assert ("lower bound" in shown) == (system == "sequence")
    assert ("surrogate" in shown) == (system != "sequence")


@pytest.mark.parametrize("system", [[], ["schedule=sequence"]], ids=["parallel", "sequence"])
def test_cut_names_of_a_model_do_nothing_in_the_table_of_a_round(
    system: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    stored = catalogue.load("lenet5").to_dict()
    stored["cut_names"] = [f"[red]{number}[/red]\x1b[2J[/x]" for number in range(len(stored["cut_names"]))]
    (tmp_path / "model.json").write_text(json.dumps(stored))
    assert main(["solve", "--fields", f"model={tmp_path / 'model.json'}", "num_devices=3", *system]) == 0
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert "[red]" in shown
    assert "\\x1b[2J[/x]" in shown
