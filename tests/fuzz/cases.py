"""Kinds of cases, and how one is played: from its own generator, in its own folder, warnings as errors."""

import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

LONGEST = 2000
"""Characters of a drawn case that a failure shows."""


LONGEST_S = 120
"""What a case may take before it has failed; the slowest take seconds."""


@dataclass(frozen=True)
class Kind:
    """One kind of cases.

    Parameters
    ----------
    name : str
        What they are called.
    count : int
        How many make the whole of it.
    draw : callable
        From a generator to the case, a value whose ``repr`` tells what it is.
    check : callable
        Plays a case in an empty folder; raises whatever is wrong.
    """

    name: str
    count: int
    draw: Callable[[np.random.Generator], Any]
    check: Callable[[Any, Path], None]


@dataclass(frozen=True)
class Failure:
    """A case that went wrong."""

    kind: str
    seed: int
    case: int
    drawn: str
    trace: str

    def __str__(self) -> str:
        again = f"python -m tests.fuzz --kind {self.kind} --seed {self.seed} --case {self.case}"
        return f"{again}\n  {self.drawn[:LONGEST]}\n{self.trace}"


def play(kind: Kind, seed: int, case: int) -> Failure | None:
    """Play one case; the same seed and number give the same case whatever was played before."""
    rng = np.random.default_rng([seed, sum(kind.name.encode()), case])
    drawn: object = "(not drawn)"
    try:
        drawn = kind.draw(rng)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), in_time(LONGEST_S):
            warnings.simplefilter("error")
            for package in ("tensorboard", "google"):
                warnings.filterwarnings("ignore", category=DeprecationWarning, module=package)
            kind.check(drawn, Path(folder))
    except (Exception, SystemExit):
        return Failure(kind.name, seed, case, repr(drawn), traceback.format_exc())
    return None


@contextmanager
def in_time(most_s: int) -> Iterator[None]:
    """Raise in the middle of what takes longer; nothing but the main thread may be given a time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {most_s} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(most_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def require(condition: object, otherwise: str) -> None:
    """Raise with what is wrong unless a condition holds."""
    if not condition:
        raise AssertionError(otherwise)
