"""An interrupted contest goes on from what it has left, unless that is damaged."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfl_env.errors import PolicyError
from sfl_lab.compare.agents import labels_of
from sfl_lab.compare.contest import Contest, compare
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.rounds.contest import RoundContest
from tests.sfl_lab.compare.watchers import Recorder

LEARNING = {"num_devices": 2, "max_rounds": 2, "local_iterations": 1, "target_accuracy": 0.2}
CONTESTS: dict[str, Contest[Any, Any]] = {
    "rounds": RoundContest(policies=("exact",), episodes=2, fields={"num_devices": 2, "max_rounds": 2}),
    "curves": CurveContest(policies=("exact",), episodes=2, fields=LEARNING),
}


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with np.load(path) as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(path, **arrays)

    return damage


def bomb(path: Path) -> None:
    """Claim a hundred million zeros where a few numbers belong."""
    with np.load(path) as stored:
        arrays = dict(stored)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in arrays:
            file = io.BytesIO()
            np.save(file, np.zeros(100_000_000, dtype=np.int8))
            archive.writestr(f"{name}.npy", file.getvalue())


def endless(path: Path) -> None:
    """Claim 10^13 numbers, and hold none."""
    with np.load(path) as stored:
        names = list(stored)
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            file = io.BytesIO()
            header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
            np.lib.format.write_array_header_1_0(file, header)
            archive.writestr(f"{name}.npy", file.getvalue())


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[70] ^= 0xFF  # in the first array
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"no archive" * 100),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-30]),
    "a flipped byte": flipped,
    "half as long": rewritten(lambda arrays: arrays.update({name: arrays[name][:1] for name in arrays})),
    "no conditions": rewritten(lambda arrays: arrays.pop("conditions")),
    "text": rewritten(lambda arrays: arrays.update(latency_s=np.array(["a", "b"]))),
    "objects": rewritten(lambda arrays: arrays.update(latency_s=np.array([{}, None], dtype=object))),
    "a number": rewritten(lambda arrays: arrays.update(latency_s=np.array(1.0))),
    "not finite": rewritten(lambda arrays: arrays.update(latency_s=arrays["latency_s"] * np.nan)),
    "bomb": bomb,
    "endless": endless,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    for kind, contest in CONTESTS.items():
        compare(contest, contest.lineup(), store=folder / kind)
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", CONTESTS)
def test_a_damaged_record_is_made_again_and_said_so(
    kind: str, damage: str, stored: Path, tmp_path: Path, one_thread: None
) -> None:
    shutil.copytree(stored / kind, tmp_path / "records")
    first = sorted((tmp_path / "records").iterdir())[0]
    DAMAGE[damage](first)
    contest, watcher = CONTESTS[kind], Recorder()
    results = compare(contest, contest.lineup(), store=tmp_path / "records", watcher=watcher)
    (problem,) = watcher.problems
    assert str(first) in problem
    assert problem.endswith("It is made again.")
    assert watcher.rounds == 2
    whole = compare(contest, contest.lineup(), store=stored / kind)
    assert results.scores == whole.scores


def test_every_contestant_has_a_name_of_its_own() -> None:
    agents = [("exact", "runs/exact"), ("b", "runs/b")]
    assert labels_of(["exact"], agents) == ("exact", "runs/exact", "b")
    with pytest.raises(PolicyError, match="'exact' is named twice"):
        labels_of(["exact", "exact"], [])
    with pytest.raises(PolicyError, match="named twice"):
        labels_of([], [("a", "runs/a"), ("a", "runs/a")])
