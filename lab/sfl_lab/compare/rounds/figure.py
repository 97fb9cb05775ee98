"""The benchmark's picture: every policy's round length over the optimum, and what else ranks it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sfl_env.arrays import Array
from sfl_lab.compare.drawing import AS_IT_IS, FAINT, GREY, INK, name_log_ticks, write_titled
from sfl_lab.compare.intervals import Interval
from sfl_lab.compare.rounds.measure import Measure, estimator_of
from sfl_lab.compare.rounds.rollout import Rollout
from sfl_lab.compare.rounds.scores import Score, episode_ratio, episode_return, episode_samples_per_s
from sfl_lab.compare.writing import name_of, short

COLOURS = {"baseline": "#3b6ea5", "agent": "#d1495b"}
_LOG_FROM = 3.0
"""Estimates that differ by more than this factor are drawn on a logarithmic axis."""


def write_figure(
    path: Path,
    scores: Sequence[Score],
    rollouts: Mapping[str, Sequence[Rollout]],
    title: str,
    yardstick: str,
    measure: Measure,
    systems: Mapping[str, Mapping[str, Any]],
) -> None:
    """Draw every policy's figure with its interval over the episodes, or training seeds, behind it.

    Parameters
    ----------
    path : pathlib.Path
        Where to write the PNG.
    scores : sequence of Score
        The best first, which is drawn at the top.
    rollouts : mapping
        Policy to its rollouts: one, or one for each training seed.
    title, yardstick : str
        What was run, and the name of what rounds are compared to.
    measure : str
        What ranks the policies; if it is not the ratio, it is drawn beside it.
    systems : mapping
        Policy to the fields that make its system another one, where there are such.
    """
    beside = _BESIDE.get(measure)
    figure = Figure(figsize=(12.0 if beside else 8.2, 1.6 + 0.4 * len(scores)), layout="constrained", dpi=160)
    panels = figure.subplots(1, 2 if beside else 1, sharey=True, squeeze=False)[0]
    by_policy = [[episode_ratio(rollout) for rollout in rollouts[entry.policy]] for entry in scores]
    ratios = [estimator_of(measure).units(groups) for groups in by_policy]
    _draw(panels[0], scores, [entry.ratio for entry in scores], ratios)
    compared, better = ("samples in time", "higher") if measure == "samples" else ("length of a round", "lower")
    panels[0].set_xlabel(f"{compared} over the {yardstick} ({better} is better)")
    panels[0].axvline(1.0, color=INK, linewidth=1.0, zorder=1)
    if beside:
        groups = [[beside.of_episode(rollout) for rollout in rollouts[entry.policy]] for entry in scores]
        _draw(panels[1], scores, [beside.of_policy(entry) for entry in scores], np.mean(groups, axis=1))
        panels[1].set_xlabel(beside.about)
    _name_rows(panels[0], scores, systems)
    legend = f"large dot: {scores[0].ratio.statistic}"
    if beside:
        legend += f" (on the right: {beside.of_policy(scores[0]).statistic})"
    legend += ", bar: its 95 % interval, small dots: episodes"
    if any(entry.ratio_unit == "training seed" for entry in scores):
        legend += " or, of ratios, training seeds"
    panels[0].set_title(legend, loc="left", fontsize=9, color=GREY)
    write_titled(figure, path, title)


@dataclass(frozen=True)
class _Beside:
    """What is drawn on the right."""

    about: str
    of_policy: Callable[[Score], Interval]
    of_episode: Callable[[Rollout], Array]


def _cost(entry: Score) -> Interval:
    value = entry.episode_return
    return replace(value, value=-value.value, low=-value.high, high=-value.low)


def _pace(entry: Score) -> Interval:
    assert entry.in_time is not None
    return entry.in_time.samples_per_s


def _to_target_s(entry: Score) -> Interval:
    assert entry.to_target is not None
    return entry.to_target.seconds


_BESIDE: Mapping[Measure, _Beside] = {
    "return": _Beside(
        "minus the return of an episode (lower is better)", _cost, lambda rollout: -episode_return(rollout)
    ),
    "samples": _Beside("samples in time a second (higher is better)", _pace, episode_samples_per_s),
    "time": _Beside(
        "seconds to the target (lower is better)", _to_target_s, lambda rollout: rollout.total(rollout.latency_s)
    ),
}


def _draw(
    axes: Axes,
    scores: Sequence[Score],
    intervals: Sequence[Interval],
    units: Sequence[Array],
) -> None:
    """Draw one row for each policy: an episode is a small dot, the estimate a large one on its interval."""
    jitter = np.random.default_rng(0)
    for row, (entry, interval, values) in enumerate(zip(scores, intervals, units, strict=True)):
        colour = COLOURS[entry.kind]
        height = row + jitter.uniform(-0.2, 0.2, len(values))
        axes.scatter(values, height, s=9, color=colour, alpha=0.3, linewidths=0, zorder=2)
        ends = [interval.low, interval.high]
        axes.plot(ends, [row, row], color=colour, linewidth=3.0, solid_capstyle="round", zorder=3)
        axes.plot(interval.value, row, "o", color=colour, markeredgecolor="white", markersize=7.5, zorder=4)
        axes.annotate(
            short(interval.value, 4),
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=colour,
        )
    lowest = min(float(values.min()) for values in units)
    centres = [interval.value for interval in intervals]
    if lowest > 0.0 and max(centres) > _LOG_FROM * min(centres):
        axes.set_xscale("log")
        name_log_ticks(axes.xaxis)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.grid(axis="x", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _name_rows(axes: Axes, scores: Sequence[Score], systems: Mapping[str, Mapping[str, Any]]) -> None:
    names = [name_of(entry.policy, systems.get(entry.policy)) for entry in scores]
    axes.set_yticks(range(len(scores)), names, **AS_IT_IS)
    for text, entry in zip(axes.get_yticklabels(), scores, strict=True):
        text.set_color(COLOURS[entry.kind])
        text.set_fontweight("bold" if entry.kind == "agent" else "normal")
