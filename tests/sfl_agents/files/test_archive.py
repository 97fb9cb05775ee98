"""Agents' files hold numbers alone, come back bit for bit, and are refused where they were changed."""

import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sfl_agents
from sfl_agents.files import archive
from sfl_baselines.environments import make_batch
from sfl_env.errors import PolicyError
from tests.sfl_agents import tiny
from tests.sfl_agents.contrib import algorithms

ARRAYS = {
    "a/weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "b/0/step": np.array(3.0),
    "c": np.zeros((0, 2)),
}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    archive.write(tmp_path / "file.zip", {"format": 2, "text": "ü"}, ARRAYS)
    found = archive.read(tmp_path / "file.zip")
    assert found.header == {"format": 2, "text": "ü"}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_a_zip_that_only_a_later_version_reads_is_refused_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    archive.write(path, {"format": 2}, ARRAYS)
    later = bytearray(path.read_bytes())
    needed = later.index(b"PK\x01\x02") + 6  # in the first entry of the directory at the end
    later[needed] = 99
    path.write_bytes(later)
    with pytest.raises(NotImplementedError):
        zipfile.ZipFile(path)
    assert archive.members(path) == frozenset()
    with pytest.raises(PolicyError, match=str(path)):
        archive.read(path)


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        archive.write(tmp_path / name, {"format": 2}, ARRAYS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kind", ["U3", "V4", "M8[s]", "c16", ">f4"])
def test_what_is_no_number_is_refused(tmp_path: Path, kind: str) -> None:
    archive.write(tmp_path / "file.zip", {}, {"a": np.zeros(2, dtype=kind)})
    with pytest.raises(PolicyError, match="'a' holds"):
        archive.read(tmp_path / "file.zip")


@pytest.mark.parametrize("header", [b"[]", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_a_header_that_is_no_mapping_is_refused(tmp_path: Path, header: bytes) -> None:
    archive.write(tmp_path / "file.zip", {}, {})
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as file, file.open("header.npy", "w") as member:
        np.lib.format.write_array(member, np.frombuffer(header, np.uint8))
    with pytest.raises(PolicyError, match=r"file\.zip is not a whole agent file"):
        archive.read(tmp_path / "file.zip")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.finished(tiny.job(), tmp_path_factory.mktemp("finished") / "run")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("format", 3),
        ("format", None),
        ("job", {}),
        ("job", []),
        ("interface", {"num_devices": 3}),
        ("interface", {"num_devices": 3, "num_columns": 7, "num_cuts": True, "choices": []}),
        ("counters", None),
        ("counters", {"steps": -1, "updates": 0, "episodes": 0, "recent_episodes": []}),
        ("counters", {"steps": 1, "updates": 0, "episodes": 0, "recent_episodes": [[1.0]]}),
    ],
)
def test_a_header_with_a_wrong_entry_is_refused(finished: Path, tmp_path: Path, entry: str, value: Any) -> None:
    stored = archive.read(finished / "agent.zip")
    stored.header[entry] = value
    archive.write(tmp_path / "agent.zip", stored.header, stored.arrays)
    with pytest.raises((PolicyError, ValueError), match=r"agent\.zip"):
        sfl_agents.load(tmp_path / "agent.zip", make_batch("SFL-v0", 1, tiny.FIELDS))


@pytest.mark.parametrize("change", ["shape", "type", "nan", "missing", "unknown", "owner"])
def test_weights_that_are_not_the_agents_are_refused(finished: Path, tmp_path: Path, change: str) -> None:
    stored = archive.read(finished / "agent.zip")
    arrays = dict(stored.arrays)
    name = "policy/action_net.weight"
    array = arrays.pop(name)
    if change == "shape":
        arrays[name] = array[:, :1]
    elif change == "type":
        arrays[name] = array.astype(np.float64)
    elif change == "nan":
        arrays[name] = array * np.nan
    elif change != "missing":
        arrays |= {name: array, "policy/more" if change == "unknown" else "os/system": array}
    archive.write(tmp_path / "agent.zip", stored.header, arrays)
    with pytest.raises(PolicyError, match=r"agent\.zip is not a whole agent file: its part 'policy/|'os/system'"):
        sfl_agents.load(tmp_path / "agent.zip", make_batch("SFL-v0", 1, tiny.FIELDS))


@pytest.mark.parametrize("algo", algorithms())
@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_moments_that_are_not_whole_are_refused(tmp_path: Path, one_thread: None, algo: str, change: str) -> None:
    folder = tiny.finished(tiny.job(algo), tmp_path / "run")
    (file,) = folder.glob("checkpoints/*/model.zip")
    stored = archive.read(file)
    name = max(name for name in stored.arrays if name.endswith("/step"))
    arrays = dict(stored.arrays)
    arrays[f"{name}s"] = arrays.pop(name) if change == "missing" else arrays[name]
    archive.write(file, stored.header, arrays)
    with pytest.raises(PolicyError, match=r"model\.zip is not a whole agent file: its part '.*/\d+/steps?' is"):
        sfl_agents.load(file, tiny.job(algo).batch(1))


@pytest.mark.parametrize("algo", algorithms())
def test_a_training_that_broke_off_goes_on_to_the_same_weights_each_time(
    tmp_path: Path, one_thread: None, algo: str
) -> None:
    work = tiny.job(algo)
    for name in ("one", "two"):
        tiny.finished_later(work, tmp_path / name)
    first, second = (archive.read(tmp_path / name / "agent.zip").arrays for name in ("one", "two"))
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_loading_leaves_generators_as_they_were(finished: Path) -> None:
    import torch

    env = make_batch("SFL-v0", 1, tiny.FIELDS)
    before = torch.get_rng_state(), random.getstate()
    sfl_agents.load(finished, env)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
