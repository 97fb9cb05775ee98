"""Learning curves as tables: on the terminal, and as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from sfl_lab.compare.curves.curve import Curve, reach
from sfl_lab.compare.curves.scores import LearningScore
from sfl_lab.compare.intervals import Interval, caution
from sfl_lab.compare.writing import NOTHING, in_words, name_cell, plain_table, short, write_csv
from sfl_lab.text import printable


def terminal_table(
    scores: Sequence[LearningScore],
    target: float,
    first: str,
    title: str,
    systems: Mapping[str, Mapping[str, Any]],
) -> Table:
    """Return the table that ``sfl benchmark --mode accuracy`` prints, in the order of the scores.

    Parameters
    ----------
    scores : sequence of LearningScore
        In the order of the rows.
    target : float
        The accuracy to reach.
    first, title : str
        The scheme that times are compared with, and what was run.
    systems : mapping
        Scheme to the fields that make its system another one, where there are such.
    """
    rough = caution(scores[0].seeds, "seeds")
    bound = "; > a bound, where not every seed reaches the target"
    table = plain_table(title, f"mean [95 % interval over seeds{rough}]{bound}")
    table.add_column("scheme", no_wrap=True)
    for heading in (f"seconds to {target:.0%}", f"over {first}", "rounds", "seeds", "final accuracy"):
        table.add_column(Text(printable(heading)), justify="right", no_wrap=True)
    for entry in scores:
        table.add_row(
            name_cell(entry.scheme, systems),
            seconds(entry),
            in_words(entry.time_ratio, 3),
            _bound(entry.rounds, entry.rounds_at_least, entry),
            f"{entry.reached}/{entry.seeds}",
            in_words(entry.final_accuracy, 3),
            style="bold" if entry.kind == "agent" else None,
        )
    return table


def seconds(entry: LearningScore) -> str:
    """Return the time to the target: with its interval if all seeds reach it, else a bound below the mean."""
    return NOTHING if entry.time_at_least_s is None else _bound(entry.time_s, entry.time_at_least_s, entry)


def _bound(value: Interval | None, at_least: float, entry: LearningScore) -> str:
    return in_words(value, 3) if entry.reached == entry.seeds else f"> {short(at_least, 3)}"


def write_curves(
    path: Path, curves: Mapping[str, Sequence[Curve]], timeless: Sequence[str], seeds: Sequence[int]
) -> None:
    """Write one row for every scheme, seed and round; round 0 is the start.

    Parameters
    ----------
    path : pathlib.Path
        Where to.
    curves : mapping
        Scheme to its curves, one for each seed.
    timeless : sequence of str
        Schemes without a time axis, whose times are left empty.
    seeds : sequence of int
        The seeds.
    """
    tables = []
    for scheme, of_seeds in curves.items():
        for seed, curve in zip(seeds, of_seeds, strict=True):
            timed = np.nan if scheme in timeless else 1.0
            columns = {
                "scheme": scheme,
                "seed": seed,
                "round": np.arange(curve.rounds + 1),
                "elapsed_s": timed * curve.elapsed_s,
                "accuracy": curve.accuracy,
                "loss": curve.loss,
                "latency_s": timed * curve.latency_s,
            }
            tables.append(pd.DataFrame(columns))
    write_csv(path, pd.concat(tables))


def write_times(
    path: Path,
    curves: Mapping[str, Sequence[Curve]],
    timeless: Sequence[str],
    seeds: Sequence[int],
    target: float,
) -> None:
    """Write one row for every scheme and seed: when the target was reached, and how long the scheme was followed.

    Parameters as of :func:`write_curves`, and the accuracy to reach. Where it is not reached, rounds and time are
    empty.
    """
    rows = []
    for scheme, of_seeds in curves.items():
        timed = np.nan if scheme in timeless else 1.0
        for seed, curve in zip(seeds, of_seeds, strict=True):
            at = reach(curve, target)
            rows.append(
                {
                    "scheme": scheme,
                    "seed": seed,
                    "target_accuracy": target,
                    "reached": at is not None,
                    "rounds": np.nan if at is None else at.rounds,
                    "time_s": np.nan if at is None else timed * at.time_s,
                    "followed_rounds": curve.rounds,
                    "followed_s": timed * curve.elapsed_s[-1],
                }
            )
    write_csv(path, pd.DataFrame(rows))
