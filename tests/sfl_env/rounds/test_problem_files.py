"""Problems in files: they come back as they were, and whatever is in other files is one error that says it."""

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_baselines.environments import make_batch
from sfl_env import ProblemError, RoundProblem
from sfl_env.rounds.problem import ARRAYS
from sfl_env.rounds.problem_files import FIELDS, read_problem, write_problem
from sfl_env.rounds.system import SYSTEMS


@pytest.fixture
def problem() -> RoundProblem:
    envs = make_batch("SFL-v0", 3, {"num_devices": 4})
    envs.reset(seed=0)
    sampled = envs.true_problem()
    fixed_s = sampled.fixed_s.copy()
    fixed_s[:, 0, -1] = np.inf  # a cut that does not fit
    return dataclasses.replace(sampled, fixed_s=fixed_s)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["round.json", "round.npz"])
def test_a_problem_comes_back_as_it_was(problem: RoundProblem, name: str, system: Any, tmp_path: Path) -> None:
    assert np.isinf(problem.fixed_s).any()
    written = dataclasses.replace(problem, system=system)
    write_problem(tmp_path / name, written)
    again = read_problem(tmp_path / name)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(again, field), getattr(written, field))


def test_files_of_version_0_1_have_no_system_and_are_parallel(problem: RoundProblem, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {name: getattr(problem, name) for name in ARRAYS}
    np.savez_compressed(tmp_path / "old.npz", **arrays)
    finite = {name: array.astype(object) for name, array in arrays.items()}
    for array in finite.values():
        array[np.isinf(array.astype(float))] = None
    lists = {name: array.tolist() for name, array in finite.items()}
    (tmp_path / "old.json").write_text(json.dumps(lists))
    for name in ("old.npz", "old.json"):
        again = read_problem(tmp_path / name)
        assert again.system == "parallel"
        np.testing.assert_array_equal(again.fixed_s, problem.fixed_s)


def test_no_rounds_come_back_from_npz_and_have_no_json(problem: RoundProblem, tmp_path: Path) -> None:
    write_problem(tmp_path / "none.npz", problem.rows(slice(0, 0)))
    assert read_problem(tmp_path / "none.npz").shape == (0, *problem.shape[1:])
    with pytest.raises(ProblemError, match="no rounds"):
        write_problem(tmp_path / "none.json", problem.rows(slice(0, 0)))


GOOD: dict[str, Any] = {
    "fixed_s": [[1.0, 2.0]],
    "uplink_bits": [[1e6, 0.0]],
    "downlink_bits": [[0.0, 0.0]],
    "uplink_snr_hz": [3e6],
    "downlink_full_rate_bps": [None],
    "uplink_bandwidth_hz": 1e6,
}


def changed(**fields: Any) -> str:
    return json.dumps({**GOOD, **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[" * 5_000, "deeper than"),
        (changed(fixed_s=json.loads("[" * 60 + "1" + "]" * 60)), "fixed_s"),
        (changed()[:-1] + ', "fixed_s": [[3.0, 4.0]]}', "names 'fixed_s' twice"),
        (changed().replace("1000000.0", "NaN", 1), "NaN"),
        (changed().replace("null", "Infinity"), "Infinity"),
        (changed().replace("3000000.0", "1e999"), "1e999"),
        (changed().replace("3000000.0", "9" * 1_000), "whole number"),
        (changed(uplink_snr_hz=[10**200]), r"uplink_snr_hz\[0, 0\]"),
        ("[1, 2]", "holds no object"),
        ("3", "holds no object"),
        ("{}", "lacks fixed_s, uplink_bits"),
        (changed(uplink_bit=1), r"unknown field 'uplink_bit' \(did you mean 'uplink_bits'\?\)"),
        (changed(fixed_s=[[1.0], [2.0, 3.0]]), "fixed_s in"),
        (changed(fixed_s=[["fast", 1.0]]), "fixed_s in .*fast"),
        (changed(fixed_s=[["1.0", 1.0]]), "fixed_s in"),
        (changed(fixed_s=[[True, 1.0]]), "fixed_s in"),
        (changed(fixed_s={"a": 1}), "fixed_s in"),
        (changed(fixed_s=None), "fixed_s"),
        (changed(fixed_s=[]), "fixed_s has shape"),
        (changed(uplink_snr_hz=[-1.0]), r"uplink_snr_hz\[0, 0\]"),
        (changed(uplink_bits=[[1e6]]), r"uplink_bits has shape \(1, 1, 1\)"),
        (changed(fixed_s=[[None, None]]), "none fits its memory"),
        (changed(system="serial"), "system is 'serial'"),
        (changed(system=["parallel"]), "it has to be one name"),
        (changed(system=None), "it has to be one name"),
    ],
)
def test_a_broken_json_is_one_error_that_says_what(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "round.json").write_text(text)
    with pytest.raises(ProblemError, match=message) as found:
        read_problem(tmp_path / "round.json")
    assert "\n" not in str(found.value)


def claimed(shape: str) -> bytes:
    """The header of an array, without the array."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fixed_s", claimed("(10000000000000, 1, 1)"), "claims the shape"),
        ("fixed_s", claimed("(1, 1, 2)"), "do not go together"),
        ("fixed_s", np.array([[1.0, None]], dtype=object), "Python objects"),
        ("fixed_s", np.array([[1.0, 2.0]]) + 1j, "complex128"),
        ("fixed_s", np.array([["1", "2"]]), "it has to hold real numbers"),
        ("fixed_s", np.array([[True, True]]), "of type bool"),
        ("fixed_s", np.zeros((1, 0, 2)), "fixed_s has shape"),
        ("system", np.array(["parallel"]), "it has to be one name"),
        ("system", np.array(3), "it has to be one name"),
        ("system", np.array("serial"), "system is 'serial'"),
        ("speed", np.array(3), "unknown field 'speed'"),
    ],
)
def test_a_broken_npz_is_one_error_that_says_what(
    name: str, content: bytes | np.ndarray[Any, Any], message: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "round.npz", "w") as archive:
        good = {field: np.asarray(value, dtype=float) for field, value in GOOD.items() if field != name}
        good["downlink_full_rate_bps"] = np.array([np.inf])
        for field, value in {**good, name: content}.items():
            if isinstance(value, bytes):
                archive.writestr(f"{field}.npy", value)
                continue
            file = io.BytesIO()
            np.save(file, value)
            archive.writestr(f"{field}.npy", file.getvalue())
    with pytest.raises(ProblemError, match=message):
        read_problem(tmp_path / "round.npz")


def test_files_that_are_none(tmp_path: Path, problem: RoundProblem) -> None:
    write_problem(tmp_path / "whole.npz", problem)
    for name, content in (
        ("empty.npz", b""),
        ("torn.npz", b"PK\x03\x04 torn"),
        ("cut.npz", (tmp_path / "whole.npz").read_bytes()[:500]),
        ("latin.json", b'{"\xe4": 1}'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ProblemError, match=r"is not (a whole NPZ file|valid JSON)"):
            read_problem(tmp_path / name)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "folder.npz").mkdir()
    for name in ("missing.json", "missing.npz", "folder.json", "folder.npz"):
        with pytest.raises(ProblemError, match=f"{name} cannot be read"):
            read_problem(tmp_path / name)
    for use in (read_problem, lambda path: write_problem(path, problem)):
        with pytest.raises(ProblemError, match=r"has to end in \.json or \.npz"):
            use(tmp_path / "round.txt")
