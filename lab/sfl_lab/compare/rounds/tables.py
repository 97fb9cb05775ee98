"""The benchmark's results as tables: on the terminal, and as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.table import Table

from sfl_env.storage.atomic import atomic_output
from sfl_lab.compare.rounds.rollout import Rollout
from sfl_lab.compare.statistics import Interval, Score

DIGITS = "%.9g"
"""Format of numbers in CSV files."""


def terminal_table(scores: Sequence[Score], title: str, reference: str, by_return: bool) -> Table:
    """Return the table that ``sfl benchmark`` prints, in the order of the scores.

    Parameters
    ----------
    scores : sequence of Score
        In the order of the rows.
    title, reference : str
        What was run, and the name of what rounds are compared to.
    by_return : bool
        Whether the round's length is not all that counts: then return, rounds and devices are shown too.
    """
    table = Table(title=title, caption="mean [95 % interval over episodes]", title_justify="left")
    table.add_column("policy", no_wrap=True)
    table.add_column(f"round / {reference}", justify="right", no_wrap=True)
    table.add_column("95th pct.", justify="right", no_wrap=True)
    table.add_column("seconds a round", justify="right", no_wrap=True)
    if by_return:
        table.add_column("return", justify="right", no_wrap=True)
        table.add_column("rounds", justify="right", no_wrap=True)
        table.add_column("devices", justify="right", no_wrap=True)
    for entry in scores:
        cells = [
            entry.policy,
            in_words(entry.ratio, 4),
            short(entry.ratio_95, 4),
            in_words(entry.latency_s, 3),
        ]
        if by_return:
            cells += [in_words(entry.episode_return, 4), f"{entry.rounds.mean:.1f}"]
            cells.append(f"{entry.active_devices.mean:.1f}")
        table.add_row(*cells, style="bold" if entry.kind == "agent" else None)
    return table


def in_words(value: Interval, digits: int) -> str:
    """Return a mean and its interval to a number of significant digits.

    Examples
    --------
    >>> in_words(Interval(1.23456, 1.2, 1.25), 4)
    '1.235 [1.200, 1.250]'
    """
    return f"{short(value.mean, digits)} [{short(value.low, digits)}, {short(value.high, digits)}]"


def short(value: float, digits: int) -> str:
    """Return a number to some significant digits."""
    # The alternate form keeps trailing zeros, so that 1.000 is told from 1.
    return f"{value:.0f}" if abs(value) >= 10.0 ** (digits - 1) else f"{value:#.{digits}g}"


def write_rounds(path: Path, rollouts: Mapping[str, Rollout]) -> None:
    """Write one row for every policy, episode and round."""
    tables = []
    for policy, rollout in rollouts.items():
        episode, at = np.nonzero(rollout.running.T)
        tables.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "episode": episode,
                    "round": at,
                    "latency_s": rollout.latency_s[at, episode],
                    "reference_s": rollout.reference_s[at, episode],
                    "ratio": rollout.ratio[at, episode],
                    "reward": rollout.reward[at, episode],
                    "energy_j": rollout.energy_j[at, episode],
                    "active_devices": rollout.active_devices[at, episode],
                }
            )
        )
    write_csv(path, pd.concat(tables))


def write_episodes(path: Path, rollouts: Mapping[str, Rollout]) -> None:
    """Write one row for every policy and episode."""
    tables = []
    for policy, rollout in rollouts.items():
        tables.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "episode": np.arange(len(rollout.rounds)),
                    "rounds": rollout.rounds,
                    "mean_ratio": rollout.mean(rollout.ratio),
                    "total_s": rollout.total(rollout.latency_s),
                    "return": rollout.total(rollout.reward),
                    "energy_j": rollout.total(rollout.energy_j),
                }
            )
        )
    write_csv(path, pd.concat(tables))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all."""
    with atomic_output(path) as partial:
        table.to_csv(partial, index=False, float_format=DIGITS)
