"""The benchmark's results as tables: on the terminal, and as CSV files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from sfl_lab.compare.intervals import sureness
from sfl_lab.compare.rounds.measure import Measure
from sfl_lab.compare.rounds.rollout import Rollout
from sfl_lab.compare.rounds.scores import InTime, Score, episode_ratio, episode_return, episode_samples_per_s
from sfl_lab.compare.writing import in_words, name_cell, plain_table, short, write_csv


@dataclass(frozen=True)
class Column:
    """A column of the table on the terminal."""

    heading: str
    cell: Callable[[Score], str]


def columns(measure: Measure, yardstick: str) -> tuple[Column, ...]:
    """Return what is shown of every policy beside its name: what ranks it, and the rest.

    Parameters
    ----------
    measure : str
        What ranks the policies.
    yardstick : str
        The name of what rounds are compared to.
    """
    if measure == "samples":
        return (*_samples(yardstick), _MEAN_ROUND, *_RETURN)
    lengths = (
        Column(f"round / {yardstick}", lambda entry: in_words(entry.ratio, 4)),
        Column("95th pct.", lambda entry: short(entry.ratio_95, 4)),
        Column("seconds a round", lambda entry: in_words(entry.latency_s, 3)),
        _MEAN_ROUND,
        Column("median", lambda entry: short(entry.round_s.median, 3)),
        Column("95th pct.", lambda entry: short(entry.round_s.percentile_95, 3)),
    )
    if measure == "time":
        return (*_TO_TARGET, _ROUNDS, *lengths, *_RETURN)
    return (*lengths, *_RETURN, _ROUNDS, _DEVICES) if measure == "return" else lengths


_MEAN_ROUND = Column("all rounds: mean", lambda entry: short(entry.round_s.mean, 3))
_ROUNDS = Column("rounds", lambda entry: f"{entry.rounds.value:.1f}")
_DEVICES = Column("devices", lambda entry: f"{entry.active_devices.value:.1f}")
_RETURN = (
    Column("return", lambda entry: in_words(entry.episode_return, 4)),
    Column("mean", lambda entry: short(entry.mean_return, 4)),
)


def _samples(yardstick: str) -> tuple[Column, ...]:
    def figures(entry: Score) -> InTime:
        assert entry.in_time is not None
        return entry.in_time

    return (
        Column("samples in time a second", lambda entry: in_words(figures(entry).samples_per_s, 4)),
        Column(f"in time / {yardstick}", lambda entry: in_words(entry.ratio, 4)),
        Column("in time / all", lambda entry: f"{figures(entry).samples:.1%}"),
        Column("devices in time", lambda entry: f"{figures(entry).devices:.1f}"),
    )


def _seconds_to_target(entry: Score) -> str:
    assert entry.to_target is not None
    at_least = "" if entry.to_target.reached == 1.0 else ">= "
    return at_least + in_words(entry.to_target.seconds, 4)


def _reached(entry: Score) -> str:
    assert entry.to_target is not None
    return f"{entry.to_target.reached:.0%}"


_TO_TARGET = (Column("seconds to the target", _seconds_to_target), Column("reached", _reached))


def terminal_table(
    scores: Sequence[Score],
    episodes: int,
    title: str,
    yardstick: str,
    measure: Measure,
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
    measure : str
        What ranks the policies, see :func:`columns`.
    systems : mapping
        Policy to the fields that make its system another one, where there are such.
    """
    table = plain_table(title, caption(scores, episodes, measure))
    table.add_column("policy", no_wrap=True)
    shown = columns(measure, yardstick)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for entry in scores:
        cells = [column.cell(entry) for column in shown]
        name = name_cell(entry.policy, systems)
        table.add_row(name, *cells, style="bold" if entry.kind == "agent" else None)
    return table


_RANKED: Mapping[Measure, str] = {
    "ratio": "",
    "return": " Return: median of episodes, then their mean, which ranks the policies.",
    "samples": " Return: median of episodes, then their mean.",
    "time": " Return: median of episodes, then their mean, which ranks the policies, minus the time to it.",
}
_SECONDS = "seconds: median of episodes' mean rounds, then mean, median and 95th percentile of all rounds."
_FIGURES: Mapping[Measure, str] = {
    "samples": "Samples in time a second, which rank the policies: mean of episodes; over the most that can be in "
    "time: mean of episodes' mean parts{several}; over all samples and devices in a round: of all rounds.",
    "time": "Seconds to the target: mean of episodes, those that do not get there as far as they were played. "
    f"Ratio: geometric mean of episodes' mean ratios{{several}}; {_SECONDS}",
}


def caption(scores: Sequence[Score], episodes: int, measure: Measure) -> str:
    """Return what the figures of the table are, and what their intervals are over."""
    several = any(entry.ratio_unit == "training seed" for entry in scores)
    usual = f"Ratio: geometric mean of episodes' mean ratios{{several}}; {_SECONDS}"
    figures = _FIGURES.get(measure, usual).format(
        several=", of agents with several training seeds over these" if several else ""
    )
    return f"[95 % interval over episodes]. {figures}{_RANKED[measure]} {sureness(episodes, 'episodes')}."


Played = Mapping[str, Sequence[Rollout]]
"""Policy to its rollouts: one, or one for each training seed."""

Seeds = Mapping[str, Sequence[int | None]]
"""Policy to the training seeds of its rollouts; None where nothing is trained."""


def write_rounds(path: Path, played: Played, seeds: Seeds, measure: Measure = "ratio") -> None:
    """Write one row for every policy, training seed, episode and round."""
    reference = "most_samples" if measure == "samples" else "reference_s"
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
                    reference: rollout.yardstick[at, episode],
                    "ratio": rollout.ratio[at, episode],
                    "reward": rollout.reward[at, episode],
                    "energy_j": rollout.energy_j[at, episode],
                    "active_devices": rollout.active_devices[at, episode],
                    "devices_in_average": rollout.in_average[at, episode],
                    "samples_in_time": rollout.samples_in_time[at, episode],
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
                    "samples_in_time_per_s": episode_samples_per_s(rollout),
                    "reached": rollout.reached,
                }
            )
        )
    write_csv(path, pd.concat(tables))


def _one_by_one(played: Played, seeds: Seeds) -> Iterator[tuple[str, str, Rollout]]:
    for policy, rollouts in played.items():
        for seed, rollout in zip(seeds[policy], rollouts, strict=True):
            yield policy, "" if seed is None else str(seed), rollout
