"""Learning curves as a picture: accuracy against rounds, and against simulated time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sfl_env.arrays import Array
from sfl_lab.compare.curves.curve import Curve
from sfl_lab.compare.curves.scores import LearningScore
from sfl_lab.compare.drawing import AS_IT_IS, FAINT, GREY, INK, name_log_ticks, write_titled
from sfl_lab.compare.writing import STAR, name_cell, short

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#8C6D1F", "#5B5B9E")
"""Told apart by colour-blind eyes too (the first six are Okabe and Ito's); taken in turn."""
_LINES = ("-", (0, (5, 2)))
"""Taken in turn, the dashed one on top, so that curves that lie on each other are both seen."""
_SMALLEST_ERROR = 1e-3
"""Accuracy is drawn by the logarithm of the error, which has to end somewhere."""
_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_TIMES = 400
CURVES_IN, ROW_IN, AROUND_IN = 3.1, 0.22, 1.0
"""Inches of the picture's height: for the curves, for each row of labels, and for titles and the axis below."""
BELOW, BETWEEN, ABOVE = 0.02, 0.06, 0.03
"""Margins as fractions of the axes' height: under the curves, under the rows of labels, and over them."""


@dataclass(frozen=True)
class _Line:
    """One scheme in one panel."""

    label: str
    colour: str
    number: int
    x: Array  # (T,)
    accuracy: Array  # (seeds, T)
    target_x: float  # where it reaches the target: mean of rounds, median of seconds
    all_reach: bool  # otherwise that is a lower bound
    unit: str


class _Layout(NamedTuple):
    """How high the picture is, and where things are in a panel, as fractions of its height."""

    height_in: float
    curves_upto: float
    rows_from: float
    row: float


def _layout_for(rows: int) -> _Layout:
    """Make room for so many rows of labels above the curves.

    Examples
    --------
    >>> for rows in (2, 20):
    ...     layout = _layout_for(rows)
    ...     top = layout.rows_from + layout.row * (rows - 1)
    ...     print(layout.curves_upto > 0.35, layout.curves_upto < layout.rows_from < top < 1.0)
    True True
    True True
    """
    axes_in = CURVES_IN + ROW_IN * rows
    row = ROW_IN / axes_in
    rows_from = 1.0 - ABOVE - row * (rows - 1)
    return _Layout(axes_in + AROUND_IN, rows_from - BETWEEN, rows_from, row)


def write_figure(
    path: Path,
    scores: Sequence[LearningScore],
    curves: Mapping[str, Sequence[Curve]],
    target: float,
    title: str,
    systems: Mapping[str, Mapping[str, Any]],
) -> None:
    """Draw every scheme's mean accuracy over seeds in a band from its lowest to its highest.

    Parameters
    ----------
    path : pathlib.Path
        Where to write the PNG.
    scores : sequence of LearningScore
        The schemes, the first at the target first.
    curves : mapping
        Scheme to its curves, one for each held-out and training seed.
    target : float
        The accuracy to reach, drawn as a line.
    title : str
        What was run.
    systems : mapping
        Scheme to the fields that make its system another one, where there are such.
    """
    layout = _layout_for(len(scores))
    figure = Figure(figsize=(13.0, layout.height_in), layout="constrained", dpi=160)
    by_round, by_time = figure.subplots(1, 2, sharey=True)
    names = list(curves)
    lines_by_round, lines_by_time = [], []
    for entry in scores:
        of_seeds = curves[entry.scheme]
        about = (name_cell(entry.scheme, systems).plain, names.index(entry.scheme))
        lines_by_round.append(_line(entry, *about, *_over_rounds(of_seeds), entry.rounds_at_least, "rounds"))
        if entry.time_at_least_s is not None:
            lines_by_time.append(_line(entry, *about, *_over_time(of_seeds), entry.time_at_least_s, "s"))
    by_time.set_xscale("log")
    for axes, lines in ((by_round, lines_by_round), (by_time, lines_by_time)):
        _draw(axes, lines, target, layout)
    name_log_ticks(by_time.xaxis)
    by_round.set_ylabel("test accuracy (logarithm of the error)")
    by_round.set_xlabel("round")
    by_round.set_xlim(0.0, None)
    by_time.set_xlabel("simulated seconds")
    for axes, lines in ((by_round, lines_by_round), (by_time, lines_by_time)):
        _label(axes, lines, target, layout)
    legend = "line: mean over seeds, band: lowest to highest, "
    legend += f"dot: {target:.0%} reached (rounds: mean, seconds: median)"
    if any(entry.reached < entry.seeds for entry in scores):
        legend += " (triangle: later, not by all seeds)"
    if systems:
        legend += f"; {STAR} another system"
    by_round.set_title(legend, loc="left", fontsize=9, color=GREY)
    write_titled(figure, path, title)


def _line(
    entry: LearningScore, label: str, number: int, x: Array, accuracy: Array, target_x: float, unit: str
) -> _Line:
    colour = GREY if entry.kind == "reference" else COLOURS[number % len(COLOURS)]
    return _Line(label, colour, number, x, accuracy, target_x, entry.reached == entry.seeds, unit)


def _over_rounds(curves: Sequence[Curve]) -> tuple[Array, Array]:
    """Return the numbers of rounds (R + 1,) and each curve's accuracy (seeds, R + 1) after these."""
    accuracy = np.stack([curve.accuracy for curve in curves])
    return np.arange(accuracy.shape[1], dtype=np.float64), accuracy


def _over_time(curves: Sequence[Curve]) -> tuple[Array, Array]:
    """Return seconds (T,) and each curve's accuracy (seeds, T) at these, straight from round to round.

    The seconds go from the latest end of a first round up to the earliest end of a last one, so that all curves
    are there, evenly in their logarithm.

    Examples
    --------
    >>> one = Curve(np.array([0.1, 0.5, 0.9]), np.zeros(3), np.array([0.0, 1.0, 3.0]), np.zeros(2, dtype=int))
    >>> seconds, accuracy = _over_time([one, one])
    >>> seconds[[0, -1]].round(9), accuracy[0, [0, -1]].round(9)
    (array([1., 4.]), array([0.5, 0.9]))
    """
    ends = [curve.elapsed_s for curve in curves]
    first, last = max(end[1] for end in ends), min(end[-1] for end in ends)
    seconds = np.geomspace(min(first, last), last, _TIMES)
    return seconds, np.stack([np.interp(seconds, curve.elapsed_s, curve.accuracy) for curve in curves])


def _draw(axes: Axes, lines: Sequence[_Line], target: float, layout: _Layout) -> None:
    axes.set_yscale("function", functions=(_height, _accuracy))
    for line in lines:
        low, high = line.accuracy.min(axis=0), line.accuracy.max(axis=0)
        axes.fill_between(line.x, low, high, color=line.colour, alpha=0.10, linewidth=0)
        # Another one on the second lap of colours, so that no two curves look alike.
        dash = (line.number + line.number // len(COLOURS)) % len(_LINES)
        style = ":" if line.colour == GREY else _LINES[dash]
        mean = line.accuracy.mean(axis=0)
        axes.plot(line.x, mean, color=line.colour, linewidth=1.8, linestyle=style, zorder=2.0 + 0.1 * dash)
    lowest = min(float(line.accuracy.min()) for line in lines)
    highest = max([target, *(float(line.accuracy.max()) for line in lines)])
    low, high = _height(np.array([lowest, highest]))
    top = low + (high - low) / layout.curves_upto
    axes.set_ylim(*_accuracy(np.array([low - BELOW * (top - low), top])).tolist())
    ticks = [tick for tick in _TICKS if tick <= highest]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * 100:g} %"))
    axes.axhline(target, color=INK, linewidth=0.9, zorder=1.5)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _height(accuracy: Array) -> Array:
    height: Array = -np.log10(np.maximum(1.0 - np.asarray(accuracy), _SMALLEST_ERROR))
    return height


def _accuracy(height: Array) -> Array:
    return 1.0 - np.power(10.0, -np.asarray(height))


def _label(axes: Axes, lines: Sequence[_Line], target: float, layout: _Layout) -> None:
    """Name the curves in rows above them, each row's end straight above where its scheme reaches the target.

    Rows go towards the side with more room, and the nearer a scheme is to that side, the lower its row: no label
    crosses another's line.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    # A target that is met before the first round has no place on an axis of logarithms.
    shown_x = [max(line.target_x, float(line.x[0])) for line in lines]
    places = [float(to_axes.transform((x, target))[0]) for x in shown_x]
    to_the_left = min(places) > 1.0 - max(places)
    order = np.argsort(places, kind="stable")
    base = float(to_axes.transform((shown_x[0], target))[1])
    for row, index in enumerate(order if to_the_left else order[::-1]):
        line, x = lines[index], places[index]
        up = layout.rows_from + layout.row * row
        axes.plot([x, x], [base, up], color=line.colour, linewidth=0.8, alpha=0.7, transform=axes.transAxes)
        (marker,) = axes.plot(
            x, base, "o", color=line.colour, markersize=5.5, transform=axes.transAxes, zorder=3.0
        )
        if not line.all_reach:
            marker.set(marker=">", markerfacecolor="white")
        axes.annotate(
            f"{line.label}  {'' if line.all_reach else '> '}{short(line.target_x, 3)} {line.unit}",
            (x, up),
            (-3 if to_the_left else 3, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="center",
            color=line.colour,
            fontsize=9,
            **AS_IT_IS,
        )
