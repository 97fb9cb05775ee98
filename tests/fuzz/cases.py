"""Kinds of cases, and how one is played: from its own generator, in its own folder, warnings as errors."""

import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 2000
"""Characters of a drawn case that a failure shows."""


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
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            for package in ("tensorboard", "google"):
                warnings.filterwarnings("ignore", category=DeprecationWarning, module=package)
            kind.check(drawn, Path(folder))
    except (Exception, SystemExit):
        return Failure(kind.name, seed, case, repr(drawn), traceback.format_exc())
    return None


def require(condition: object, otherwise: str) -> None:
    """Raise with what is wrong unless a condition holds."""
    if not condition:
        raise AssertionError(otherwise)
