"""What comparisons write: numbers and names in words, tables as CSV files, and records as NPZ files."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from sfl_env.errors import RunError
from sfl_env.storage.atomic import atomic_output
from sfl_lab.compare.intervals import Interval
from sfl_lab.text import printable

_DIGITS = "%.9g"
"""Format of numbers in CSV files."""
HEADER_BYTES, ENTRY_BYTES = 4096, 8
"""Of an array in a record's file, at most."""
LONGEST = 1e6
"""Numbers from here on are written by their powers of ten."""
NOTHING, STAR = "-", "*"


def short(value: float, digits: int) -> str:
    """Return a number to some significant digits.

    Examples
    --------
    >>> short(1.0, 4), short(194.94, 3), short(194.94, 2), short(1.2345e9, 3)
    ('1.000', '195', '195', '1.23e+09')
    """
    if abs(value) >= LONGEST:
        return f"{value:.{digits - 1}e}"
    # The alternate form keeps trailing zeros, so that 1.000 is told from 1.
    return f"{value:.0f}" if abs(value) >= 10.0 ** (digits - 1) else f"{value:#.{digits}g}"


def in_words(value: Interval | None, digits: int) -> str:
    """Return an estimate and its interval to a number of significant digits; a dash for none.

    Examples
    --------
    >>> in_words(Interval("mean", 1.23456, 1.2, 1.25, 0.95, 20), 4)
    '1.235 [1.200, 1.250]'
    >>> in_words(None, 4)
    '-'
    """
    if value is None:
        return NOTHING
    return f"{short(value.value, digits)} [{short(value.low, digits)}, {short(value.high, digits)}]"


def name_of(label: str, system: Mapping[str, Any] | None) -> str:
    """Return a contestant's name for a figure, with the fields that make its system another one, if it has such.

    Examples
    --------
    >>> name_of("sequential", {"schedule": "sequence"}), name_of("lr[red]1", None)
    ("sequential (schedule='sequence')", 'lr[red]1')
    """
    return printable(f"{label} ({_fields(system)})" if system else label)


def name_cell(label: str, systems: Mapping[str, Mapping[str, Any]]) -> Text:
    """Return a contestant's name for a table, with a star if its system is another one; it is no markup.

    Examples
    --------
    >>> name_cell("sequential", {"sequential": {"schedule": "sequence"}}).plain, name_cell("lr[red]1", {}).plain
    ('sequential*', 'lr[red]1')
    """
    return Text(printable(f"{label}{STAR}" if label in systems else label))


def star_notes(systems: Mapping[str, Mapping[str, Any]], what_it_means: str) -> list[str]:
    """Return what the stars in a table stand for.

    Examples
    --------
    >>> star_notes({"sequential": {"schedule": "sequence"}}, "Its times are its own.")
    ["* sequential plays with schedule='sequence', another system, on the same episodes. Its times are its own."]
    """
    return [
        f"{STAR} {printable(label)} plays with {_fields(system)}, another system, on the same episodes. "
        f"{what_it_means}"
        for label, system in systems.items()
    ]


class Trained(Protocol):
    """A row's score, as far as it tells of training."""

    @property
    def kind(self) -> str:
        """``"agent"`` for what is trained."""
        ...

    @property
    def about(self) -> str:
        """How it was trained."""
        ...

    @property
    def training_seeds(self) -> tuple[int, ...]:
        """Of an agent; none for what is not trained, or was without one."""
        ...


def training_in_words(about: str, training_seeds: Sequence[int], episodes: str = "episodes") -> str:
    """Return how an agent was trained, with how many seeds, and what its intervals are over.

    Examples
    --------
    >>> training_in_words("PPO", [0, 1, 2, 3, 4])
    'PPO; 5 training seeds, interval of the ratio over these'
    >>> training_in_words("PPO", [0])
    'PPO; 1 training seed, intervals over episodes'
    >>> training_in_words("PPO", [])
    'PPO; trained without a seed, intervals over episodes'
    """
    number = len(training_seeds)
    seeds = f"{number} training seed{'' if number == 1 else 's'}" if number else "trained without a seed"
    return (
        f"{about}; {seeds}, {'interval of the ratio over these' if number > 1 else f'intervals over {episodes}'}"
    )


def agent_notes(scores: Sequence[Trained], labels: Sequence[str], episodes: str = "episodes") -> list[str]:
    """Return a sentence on every agent of a table: what it is made of, and how many training seeds there are."""
    return [
        f"{printable(label)}: {printable(training_in_words(entry.about, entry.training_seeds, episodes))}."
        for label, entry in zip(labels, scores, strict=True)
        if entry.kind == "agent"
    ]


def _fields(system: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in system.items())


def plain_table(title: str, caption: str) -> Table:
    """Return an empty table whose title and caption are shown as they are: names in them are no markup."""
    above, below = Text(printable(title), style="table.title"), Text(caption, style="table.caption")
    return Table(title=above, caption=below, title_justify="left")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all."""
    with atomic_output(path) as partial:
        table.to_csv(partial, index=False, float_format=_DIGITS)


class StoredArrays:
    """Base of dataclasses whose fields are arrays, which are written to NPZ files whole or not at all."""

    def save(self, path: Path) -> None:
        """Write to an NPZ file."""
        assert is_dataclass(self)
        with atomic_output(path) as partial:
            np.savez_compressed(partial, **{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, path: Path, entries: int) -> Self:
        """Read back what :meth:`save` wrote.

        Parameters
        ----------
        path : pathlib.Path
            Of the file.
        entries : int
            That an array has at most; of a file that claims more, nothing is read.

        Raises
        ------
        RunError
            If the file holds anything else.
        """
        assert is_dataclass(cls)
        try:
            with zipfile.ZipFile(path) as archive:
                return cls(**{item.name: _read_array(archive, item.name, entries) for item in fields(cls)})
        # What damaged bytes make of zip and NumPy is not told beforehand.
        except Exception as error:
            raise RunError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error


def _read_array(archive: zipfile.ZipFile, name: str, entries: int) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    if member.file_size > HEADER_BYTES + entries * ENTRY_BYTES:
        raise ValueError(f"{name} claims {member.file_size} bytes")
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)
    return array
