"""Problems in files come back as they were, and anything else is one error that names the file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.errors import ProblemError
from sfl_env.rounds.curves import SHANNON
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.problem_files import read_problem, write_problem
from sfl_env.rounds.problem_values import ARRAYS
from sfl_env.scenario import System
from tests.sfl_env.rounds.test_problem import arrays


def plain() -> dict[str, Any]:
    return {name: values.tolist() for name, values in arrays().items()}


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("system", ["parallel", "sequence", "deadline"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, system: System) -> None:
    given = arrays(n=2)
    given["fixed_s"][0, 0, 2] = given["downlink_full_rate_bps"][1, 1] = np.inf
    problem = RoundProblem(**given, system=system)
    path = tmp_path / f"problem{suffix}"
    write_problem(path, problem)
    again = read_problem(path)
    assert again.system == system
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(problem, name))


def test_no_rounds_come_back_from_npz_and_have_no_json(tmp_path: Path) -> None:
    none = RoundProblem(**arrays()).rows(slice(0, 0))
    write_problem(tmp_path / "none.npz", none)
    assert read_problem(tmp_path / "none.npz").shape == none.shape
    with pytest.raises(ProblemError, match="no rounds"):
        write_problem(tmp_path / "none.json", none)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_without_a_system_are_of_devices_that_work_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"old{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **arrays())
    else:
        path.write_text(json.dumps(plain()))
    assert read_problem(path).system == "parallel"


@pytest.mark.parametrize(
    "change",
    [
        {"uplink_bits": [[[None, 1.0, 1.0], [1.0, 1.0, 1.0]]]},
        {"uplink_bits": "many"},
        {"uplink_snr_hz": [[True, 1.0]]},
        {"uplink_snr_hz": [["1.0", 1.0]]},
        {"uplink_snr_hz": [[1.0], [1.0, 2.0]]},
        {"uplink_snr_hz": {}},
        {"uplink_snr_hz": [[10**200, 1.0]]},
        {"uplink_snr_hz": [[1.0]]},
        {"fixed_s": []},
        {"fixed_s": 3.0},
        {"system": "both"},
        {"system": 3},
        {"system": None},
        {"sytem": "parallel"},
    ],
    ids=str,
)
def test_json_that_holds_no_problem(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(plain() | change))
    with pytest.raises(ProblemError, match=str(path)) as found:
        read_problem(path)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_files_without_fading_are_of_steady_links_and_shannons_bound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"steady{suffix}"
    given = arrays()
    del given["rician_k"]
    if suffix == ".npz":
        np.savez_compressed(path, **given)
    else:
        path.write_text(json.dumps({name: values.tolist() for name, values in given.items()}))
    problem = read_problem(path)
    assert np.isposinf(problem.rician_k).all()
    assert problem.rician_k.shape == problem.uplink_snr_hz.shape
    assert problem.uplink_curve == SHANNON


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "rician_k"])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    given = plain()
    del given[name]
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(given))
    with pytest.raises(ProblemError, match=f"lacks {name}"):
        read_problem(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 5_000, "[]", "3", "", '{"fixed_s": 1, "fixed_s": 2}', '{"fixed_s": NaN}', '{"fixed_s": 1e999}', "\x00"],
)
def test_texts_that_are_no_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "problem.json"
    path.write_text(text)
    with pytest.raises(ProblemError, match=str(path)):
        read_problem(path)


@pytest.mark.parametrize(
    "change",
    [
        {"uplink_snr_hz": np.array([["a", "b"]])},
        {"uplink_snr_hz": np.array([[1.0 + 1.0j, 1.0]])},
        {"uplink_snr_hz": np.array([[{}, 1.0]], dtype=object)},
        {"uplink_snr_hz": np.zeros((1, 2), dtype="datetime64[s]")},
        {"system": np.array(3.0)},
        {"system": np.array(["parallel"])},
        {"other": np.zeros(3)},
    ],
    ids=str,
)
def test_npz_files_that_hold_no_problem(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "problem.npz"
    np.savez_compressed(path, **(arrays() | change))
    with pytest.raises(ProblemError, match=str(path)):
        read_problem(path)


def test_endings_and_folders(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    for name in ("problem.txt", "nothing.json", "nothing.npz", "folder.json", "folder.npz", "cut.npz"):
        with pytest.raises(ProblemError, match=str(tmp_path / name)):
            read_problem(tmp_path / name)
    with pytest.raises(ProblemError, match=r"has to end in \.json or \.npz"):
        write_problem(tmp_path / "problem.txt", RoundProblem(**arrays()))


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_name_that_no_file_can_have_is_refused(suffix: str) -> None:
    with pytest.raises(ProblemError, match="no file is called so"):
        read_problem(Path("a\0" + suffix))


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    write_problem(tmp_path / "problem.json", RoundProblem(**arrays()))
    assert read_problem(str(tmp_path / "problem.json")).shape == (1, 2, 3)


@pytest.mark.parametrize("system", ["parallel", "sequence", "deadline"])
def test_a_single_round_may_leave_out_the_axis_of_rounds(tmp_path: Path, system: System) -> None:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps({name: values[0] for name, values in plain().items()} | {"system": system}))
    found, wanted = read_problem(path), RoundProblem(**arrays(), system=system)
    assert found.system == wanted.system
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("fixed_s", '"soon"', r'fixed_s in .* holds "soon"; it has to hold numbers or null'),
        ("fixed_s", "true", r"fixed_s in .* holds true; it has to hold numbers or null"),
        ("uplink_bits", "null", r"uplink_bits in .* holds null; it has to hold numbers\."),
    ],
)
def test_an_entry_that_is_no_number_is_named(tmp_path: Path, name: str, entry: str, said: str) -> None:
    path = tmp_path / "problem.json"
    given = plain()
    given[name][0][0][0] = json.loads(entry)
    path.write_text(json.dumps(given))
    with pytest.raises(ProblemError, match=said):
        read_problem(path)
