"""NPZ files from anybody: arrays, or one error that says what is wrong, and no memory for what is only claimed."""

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.errors import ProblemError
from sfl_env.storage.npz import read_npz


def header(shape: str, descr: str = "<f8") -> bytes:
    file = io.BytesIO()
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
    return file.getvalue()


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "scalar": np.array(3.5),
        "none": np.zeros((0, 4)),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz", ProblemError)
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    "shape", ["(10000000000000,)", "(100000, 100000, 100)", "(-1,)", "(99999999999999999999,)"]
)
def test_a_claim_takes_no_memory(tmp_path: Path, shape: str) -> None:
    path = npz(tmp_path / "a.npz", a=header(shape) + b"\0" * 100)
    tracemalloc.start()
    with pytest.raises(ProblemError, match="claims the shape"):
        read_npz(path, ProblemError)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", a=header("(4,)") + b"\0" * 100_000_000)
    tracemalloc.start()
    with pytest.raises(ProblemError, match="do not go together"):
        read_npz(path, ProblemError)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_arrays_share_what_they_may_take(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(100), b=np.zeros(100))
    read_npz(tmp_path / "a.npz", ProblemError, most_bytes=1_600)
    with pytest.raises(ProblemError, match="b in "):
        read_npz(tmp_path / "a.npz", ProblemError, most_bytes=1_599)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        header("(4,)", "|O"),
        header("__import__('os')"),
        header("(" * 3_000),
        header("(4,)")[:-3],
        header("(4,)"),
    ],
)
def test_garbage_is_one_error_of_ours(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ProblemError, match="a in "):
        read_npz(npz(tmp_path / "a.npz", a=content), ProblemError)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    np.savez(tmp_path / "cut.npz", a=np.arange(1_000))
    (tmp_path / "cut").write_bytes((tmp_path / "cut.npz").read_bytes()[:500])
    for name in ("nothing", "text", "cut", "."):
        with pytest.raises(ProblemError, match=str(tmp_path / name)):
            read_npz(tmp_path / name, ProblemError)


def test_other_names_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(1))
    with pytest.raises(ProblemError, match="has to hold b"):
        read_npz(tmp_path / "a.npz", ProblemError, wanted=("b",))
