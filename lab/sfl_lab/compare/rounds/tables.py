"""The benchmark's results as tables: on the terminal, and as CSV files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from sfl_lab.compare.intervals import sureness
from sfl_lab.compare.rounds.rollout import Rollout
from sfl_lab.compare.rounds.scores import Score, episode_ratio, episode_return
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
    table = plain_table(title, caption(scores, episodes, by_return))
    table.add_column("policy", no_wrap=True)
    headings = [f"round / {yardstick}", "95th pct.", "seconds a round", "all rounds: mean", "median", "95th pct."]
    for heading in [*headings, *(("return", "mean", "rounds", "devices") if by_return else ())]:
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in scores:
        cells = [in_words(entry.ratio, 4), short(entry.ratio_95, 4), in_words(entry.latency_s, 3)]
        cells += [short(s, 3) for s in (entry.round_s.mean, entry.round_s.median, entry.round_s.percentile_95)]
        if by_return:
            cells += [in_words(entry.episode_return, 4), short(entry.mean_return, 4)]
            cells += [f"{entry.rounds.value:.1f}", f"{entry.active_devices.value:.1f}"]
        name = name_cell(entry.policy, systems)
        table.add_row(name, *cells, style="bold" if entry.kind == "agent" else None)
    return table


def caption(scores: Sequence[Score], episodes: int, by_return: bool) -> str:
    """Return what the figures of the table are, and what their intervals are over."""
    several = any(entry.ratio_unit == "training seed" for entry in scores)
    ratios = ", of agents with several training seeds over these" if several else ""
    returns = " Return: median of episodes, then their mean, which ranks the policies." if by_return else ""
    return (
        f"[95 % interval over episodes]. Ratio: geometric mean of episodes' mean ratios{ratios}; seconds: median "
        "of episodes' mean rounds, then mean, median and 95th percentile of all rounds."
        f"{returns} {sureness(episodes, 'episodes')}."
    )


Played = Mapping[str, Sequence[Rollout]]
"""Policy to its rollouts: one, or one for each training seed."""

Seeds = Mapping[str, Sequence[int | None]]
"""Policy to the training seeds of its rollouts; None where nothing is trained."""


def write_rounds(path: Path, played: Played, seeds: Seeds) -> None:
    """Write one row for every policy, training seed, episode and round."""
    tables = []
    for policy, training_seed, rollout in _one_by_one(played, seeds):
        episode, at = np.nonzero(rollout.running.T)
        tables.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "training_seed": training_seed,
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


def write_episodes(path: Path, played: Played, seeds: Seeds) -> None:
    """Write one row for every policy, training seed and episode: what the intervals are made of."""
    tables = []
    for policy, training_seed, rollout in _one_by_one(played, seeds):
        tables.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "training_seed": training_seed,
                    "episode": np.arange(len(rollout.rounds)),
                    "rounds": rollout.rounds,
                    "mean_ratio": episode_ratio(rollout),
                    "mean_s": rollout.mean(rollout.latency_s),
                    "total_s": rollout.total(rollout.latency_s),
                    "return": episode_return(rollout),
                    "energy_j": rollout.total(rollout.energy_j),
                }
            )
        )
    write_csv(path, pd.concat(tables))


def _one_by_one(played: Played, seeds: Seeds) -> Iterator[tuple[str, str, Rollout]]:
    for policy, rollouts in played.items():
        for seed, rollout in zip(seeds[policy], rollouts, strict=True):
            yield policy, "" if seed is None else str(seed), rollout
