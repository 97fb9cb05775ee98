"""Learning curves as tables: on the terminal, and as CSV files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text

from sfl_lab.compare.curves.curve import Curve, reach
from sfl_lab.compare.curves.scores import LearningScore
from sfl_lab.compare.intervals import Interval, sureness
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
    table = plain_table(title, caption(scores))
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


def caption(scores: Sequence[LearningScore]) -> str:
    """Return what the figures of the table are, and what their intervals are over."""
    several = any(entry.ratio_unit == "training seed" for entry in scores)
    ratios = ", of agents with several training seeds over these" if several else ""
    seeds = scores[0].final_accuracy.values
    return (
        f"[95 % interval over held-out seeds]. Seconds: median; their ratio: geometric mean of ratios on the same "
        f"seed{ratios}; rounds and accuracy: mean; > a bound, where not every seed reaches the target. "
        f"{sureness(seeds, 'held-out seeds')}."
    )


def seconds(entry: LearningScore) -> str:
    """Return the time to the target: with its interval if all seeds reach it, else a bound below it."""
    return NOTHING if entry.time_at_least_s is None else _bound(entry.time_s, entry.time_at_least_s, entry)


def _bound(value: Interval | None, at_least: float, entry: LearningScore) -> str:
    return in_words(value, 3) if entry.reached == entry.seeds else f"> {short(at_least, 3)}"


Followed = Mapping[str, Sequence[Sequence[Curve]]]
"""Scheme to its curves: for each training seed, or once, one for each held-out seed."""

TrainingSeeds = Mapping[str, Sequence[int | None]]
"""Scheme to its training seeds; None where nothing but the network is trained."""


def write_curves(
    path: Path, curves: Followed, timeless: Sequence[str], seeds: Sequence[int], trained: TrainingSeeds
) -> None:
    """Write one row for every scheme, training seed, held-out seed and round; round 0 is the start.

    Parameters
    ----------
    path : pathlib.Path
        Where to.
    curves : mapping
        Scheme to its curves.
    timeless : sequence of str
        Schemes without a time axis, whose times are left empty.
    seeds : sequence of int
        The held-out seeds.
    trained : mapping
        Scheme to its training seeds.
    """
    tables = []
    for scheme, training_seed, seed, curve in _one_by_one(curves, seeds, trained):
        timed = np.nan if scheme in timeless else 1.0
        columns = {
            "scheme": scheme,
            "training_seed": training_seed,
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
    curves: Followed,
    timeless: Sequence[str],
    seeds: Sequence[int],
    trained: TrainingSeeds,
    target: float,
) -> None:
    """Write for every scheme and seed when the target was reached, and how long the scheme was followed.

    Parameters as of :func:`write_curves`, and the accuracy to reach. Where it is not reached, rounds and time are
    empty.
    """
    rows = []
    for scheme, training_seed, seed, curve in _one_by_one(curves, seeds, trained):
        timed = np.nan if scheme in timeless else 1.0
        at = reach(curve, target)
        rows.append(
            {
                "scheme": scheme,
                "training_seed": training_seed,
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


def _one_by_one(
    curves: Followed, seeds: Sequence[int], trained: TrainingSeeds
) -> Iterator[tuple[str, str, int, Curve]]:
    for scheme, groups in curves.items():
        for training_seed, of_seeds in zip(trained[scheme], groups, strict=True):
            for seed, curve in zip(seeds, of_seeds, strict=True):
                yield scheme, "" if training_seed is None else str(training_seed), seed, curve
