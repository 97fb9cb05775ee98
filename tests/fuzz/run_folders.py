"""Run folders as they come out of crashed disks, other versions, text editors and unfriendly hands."""

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz import crafted

Mutation = Callable[[Path], None]
"""Changes a run's folder in place."""

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, "", "\x1b[2J[red]", "os:SFL-v0", [], [1, 2], {}, {"a": [{}]},
    [[[[[[]]]]]], "x" * 5000,
)  # fmt: skip
"""What takes the place of entries of JSON files."""

TEXTS: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"3", b"NaN", b'{"kind": "train"}', b"\xff\xfe\x00", b"[" * 5000 + b"]" * 5000,
    b'{"a": 1, "a": 2}', b'{"a": 1e999}', b'{"a": ' + b"9" * 10_000 + b"}", b" " * (3 * 2**20) + b"{}",
)  # fmt: skip
"""What takes the place of whole JSON files."""


def mutations(run: Path, seed: int, touched: Path) -> list[tuple[str, Mutation]]:
    """Return named changes of a training run's folder, drawn anew from a seed where there are many.

    Parameters
    ----------
    run : path
        A run's folder, finished or not.
    seed : int
        Of what is drawn.
    touched : path
        What crafted files would make if they ran.
    """
    draw = random.Random(seed)
    found: list[tuple[str, Mutation]] = []
    for file in sorted(path.relative_to(run) for path in run.rglob("*.json")):
        found += _of_json(run, file, draw)
    for file in sorted(path.relative_to(run) for path in run.rglob("*.zip")):
        found += _of_agent(run, file, draw, touched)
    found += _of_folder(run)
    return found


def mutated(
    run: Path, into: Path, seed: int, touched: Path, at_most: int | None = None
) -> Iterator[tuple[str, Path]]:
    """Yield changes' names and the folder of a copy of the run that has it, one at a time."""
    found = mutations(run, seed, touched)
    if at_most is not None and at_most < len(found):
        found = random.Random(seed).sample(found, at_most)
    for number, (name, mutate) in enumerate(found):
        folder = into / f"{number:03d}"
        shutil.copytree(run, folder)
        mutate(folder)
        yield name, folder
        shutil.rmtree(folder)


def _of_json(run: Path, file: Path, draw: random.Random) -> Iterator[tuple[str, Mutation]]:
    content = json.loads((run / file).read_text())
    for number, text in enumerate(TEXTS):
        yield f"{file} is text {number}", _write(file, text)
    for where in _entries(content):
        value = draw.choice(VALUES)
        yield (
            f"{file} {where} is {value!r:.20}",
            _write(file, json.dumps(_changed(content, where, value)).encode()),
        )
        if isinstance(where[-1], str) and draw.random() < 0.5:
            yield f"{file} without {where}", _write(file, json.dumps(_changed(content, where, _GONE)).encode())


_GONE = object()


def _entries(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = (
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    for name, value in items:
        yield from _entries(value, (*path, name))


def _changed(content: Any, where: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    holder = copy
    for name in where[:-1]:
        holder = holder[name]
    if value is _GONE:
        del holder[where[-1]]
    else:
        holder[where[-1]] = value
    return copy


def _of_agent(run: Path, file: Path, draw: random.Random, touched: Path) -> Iterator[tuple[str, Mutation]]:
    whole = (run / file).read_bytes()
    for _ in range(3):
        end = draw.randrange(len(whole))
        yield f"{file} ends at {end}", _write(file, whole[:end])
    for _ in range(6):
        place = draw.randrange(len(whole))
        flipped = whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]
        yield f"{file} with a bit flipped at {place}", _write(file, flipped)
    yield f"{file} is a pickle", _write(file, crafted.pickled(touched))
    yield f"{file} is another library's", lambda folder: crafted.foreign_agent(folder / file, touched)
    yield f"{file} unfolds", lambda folder: _unfold(folder / file)
    with zipfile.ZipFile(run / file) as archive:
        names = archive.namelist()
    for name in draw.sample(names, min(4, len(names))):
        yield f"{file} without {name}", _member(file, name, None)
        yield f"{file} with a pickle as {name}", _member(file, name, crafted.pickled_array(touched))
        other = draw.choice(names)
        yield f"{file} with {other} as {name}", _copied(file, other, name)
    yield f"{file} with more", _member(file, "policy/more.npy", b"\x93NUMPY")


def _of_folder(run: Path) -> Iterator[tuple[str, Mutation]]:
    for name in sorted(path.relative_to(run) for path in run.rglob("*")):
        if "tensorboard" in name.parts:
            continue
        yield f"{name} is gone", _replaced(name, lambda path: None)
        yield f"{name} is a folder", _replaced(name, lambda path: path.mkdir())
        yield f"{name} is a link to itself", _replaced(name, lambda path: path.symlink_to(path.name))
        yield f"{name} is an empty file", _replaced(name, lambda path: path.touch())
    for odd in ("999999999999", "²", "partial-7", ".hidden", "12 "):
        yield f"checkpoints/{odd!r} is an empty folder", _checkpoint(odd)


def _write(file: Path, content: bytes) -> Mutation:
    def mutate(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return mutate


def _replaced(name: Path, put: Callable[[Path], object]) -> Mutation:
    def mutate(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        put(path)

    return mutate


def _checkpoint(name: str) -> Mutation:
    def mutate(folder: Path) -> None:
        (folder / "checkpoints" / name).mkdir(parents=True, exist_ok=True)

    return mutate


def _member(file: Path, name: str, content: bytes | None) -> Mutation:
    def mutate(folder: Path) -> None:
        members = _members(folder / file)
        if content is None:
            del members[name]
        else:
            members[name] = content
        _zip(folder / file, members)

    return mutate


def _copied(file: Path, source: str, name: str) -> Mutation:
    def mutate(folder: Path) -> None:
        members = _members(folder / file)
        members[name] = members[source]
        _zip(folder / file, members)

    return mutate


def _unfold(file: Path) -> None:
    crafted.bomb(file, _members(file), 64 * 2**20)


def _members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip(file: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
