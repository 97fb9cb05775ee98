"""The benchmark's results as tables: on the terminal, and as CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from sfl_lab.compare.intervals import caution
from sfl_lab.compare.rounds.rollout import Rollout
from sfl_lab.compare.rounds.scores import Score
from sfl_lab.compare.writing import in_words, name_cell, plain_table, short, write_csv


def terminal_table(
    scores: Sequence[Score],
    episodes: int,
    title: str,
    yardstick: str,
    by_return: bool,
    systems: Mapping[str, Mapping[str, Any]],
) -> Table:
    """Return the table that ``sfl benchmark`` prints, in the order of the scores.

    Parameters
    ----------
    scores : sequence of Score
        In the order of the rows.
    episodes : int
        That the means are over.
    title, yardstick : str
        What was run, and the name of what rounds are compared to.
    by_return : bool
        Whether the round's length is not all that counts: then return, rounds and devices are shown too.
    systems : mapping
        Policy to the fields that make its system another one, where there are such.
    """
    table = plain_table(title, f"mean [95 % interval over episodes{caution(episodes, 'episodes')}]")
    table.add_column("policy", no_wrap=True)
    headings = [f"round / {yardstick}", "95th pct.", "seconds a round"]
    for heading in [*headings, *(("return", "rounds", "devices") if by_return else ())]:
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in scores:
        cells = [in_words(entry.ratio, 4), short(entry.ratio_95, 4), in_words(entry.latency_s, 3)]
        if by_return:
            cells += [in_words(entry.episode_return, 4), f"{entry.rounds.mean:.1f}"]
            cells.append(f"{entry.active_devices.mean:.1f}")
        name = name_cell(entry.policy, systems)
        table.add_row(name, *cells, style="bold" if entry.kind == "agent" else None)
    return table


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
                    "reference_s": rollout.yardstick_s[at, episode],
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
