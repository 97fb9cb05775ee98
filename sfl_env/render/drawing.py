"""A round drawn as a timeline into a figure of matplotlib, which is imported only when one is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sfl_env.render.labels import cut_labels, device_labels, summary, time_unit
from sfl_env.render.picture import RoundPicture
from sfl_env.rounds.latency import PHASES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PHASE_COLOURS = ("#56B4E9", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
"""One colour a phase: Okabe and Ito's palette, which people of every colour vision can tell apart."""

FIGURE_SIZE_INCHES = (9.6, 5.4)
DOTS_PER_INCH = 100

_INK, _GREY, _FAINT, _MARK = "#1A1A1A", "#6B6B6B", "#EDEDED", "#B00020"
_MARGIN, _GAP = 0.15, 0.14  # inches
_HEADING, _AXIS, _LEGEND = 0.62, 0.42, 0.30  # inches
_SHARES, _PERCENT = 1.25, 0.52  # inches: the bars of the shares, and the numbers beside them
_LARGEST_FONT, _SMALLEST_FONT = 9.0, 5.5  # points
_CHARACTER = 0.0092  # inches a character is wide, for each point of its size
_WIDEST_CHARACTER = 0.014  # of the timeline's width, for a character above it
_FEWEST_ROWS = 5  # rows that the timeline has room for at least, so that a lone device is no wall of colour
_MANY = 60  # devices above which rows are too thin for gaps and outlines


def draw_round(figure: "Figure", picture: RoundPicture) -> None:
    """Draw a round into a figure, in place of what is there.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure, about :data:`FIGURE_SIZE_INCHES` large.
    picture : RoundPicture
        The round.
    """
    draw_rounds(figure, [picture])


def draw_rounds(figure: "Figure", pictures: Sequence[RoundPicture]) -> None:
    """Draw rounds below each other on one time axis, so that decisions can be compared.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure, about :data:`FIGURE_SIZE_INCHES` large for each round.
    pictures : sequence of RoundPicture
        At least one.
    """
    figure.clear()
    figure.set_facecolor("white")
    height = float(figure.get_size_inches()[1])
    panel = (height - _LEGEND) / len(pictures)
    horizon_s = max(picture.latency_s for picture in pictures)
    for index, picture in enumerate(pictures):
        top = height - index * panel
        _draw_panel(figure, picture, top, top - panel, horizon_s)
    _draw_legend(figure)


def _draw_panel(figure: "Figure", picture: RoundPicture, top: float, bottom: float, horizon_s: float) -> None:
    """Draw one round between two heights of the figure, in inches."""
    width, height = (float(inches) for inches in figure.get_size_inches())
    num_devices = len(picture.cut)
    rows_inches = top - bottom - _HEADING - _AXIS
    row_points = rows_inches / max(num_devices, _FEWEST_ROWS) * 72.0
    font = float(np.clip(0.7 * row_points, _SMALLEST_FONT, _LARGEST_FONT))
    labels = device_labels(picture), cut_labels(picture)
    device_width, cut_width = (max(0.4, max(map(len, texts)) * font * _CHARACTER) + _GAP for texts in labels)
    left = _MARGIN + device_width + cut_width
    right = width - _MARGIN - _PERCENT - _SHARES - _GAP
    fraction = (bottom + _AXIS) / height, rows_inches / height
    timeline = figure.add_axes((left / width, fraction[0], (right - left) / width, fraction[1]))
    shares = figure.add_axes(((right + _GAP) / width, fraction[0], _SHARES / width, fraction[1]))
    unit, per_second = time_unit(horizon_s)
    _draw_timeline(timeline, picture, horizon_s, per_second, font)
    if picture.stragglers:
        timeline.set_xlabel(f"time in the round ({unit})", fontsize=8, color=_GREY, labelpad=2)
    _draw_shares(shares, picture, font)
    every = max(1, int(np.ceil(num_devices * _SMALLEST_FONT * 1.25 / 72.0 / rows_inches)))
    heads_y = (top - _HEADING + 0.05) / height
    for x, texts, name in ((_MARGIN, labels[0], "device"), (left - cut_width, labels[1], "cut")):
        figure.text(x / width, heads_y, name, fontsize=8, color=_GREY)
        for row in range(0, num_devices, every):
            _draw_label(timeline, picture, row, (x - left) / (right - left), texts[row], font)
    figure.text((right + _GAP) / width, heads_y, "share of the band", fontsize=8, color=_GREY)
    title_y = (top - 0.30) / height
    figure.text(_MARGIN / width, title_y, picture.heading, fontsize=12, weight="bold", color=_INK)
    figure.text(1.0 - _MARGIN / width, title_y, summary(picture), ha="right", fontsize=10, color=_INK)


def _draw_label(axes: "Axes", picture: RoundPicture, row: int, x: float, text: str, font: float) -> None:
    straggles = picture.stragglers == (row,)
    axes.text(
        x,
        row,
        text,
        transform=axes.get_yaxis_transform(),
        va="center_baseline",
        fontsize=font,
        color=_MARK if straggles else _INK if picture.takes_part[row] or picture.note else _GREY,
        weight="bold" if straggles else "normal",
    )


def _draw_timeline(axes: "Axes", picture: RoundPicture, horizon_s: float, per_second: float, font: float) -> None:
    num_devices = len(picture.cut)
    rows = np.arange(num_devices)
    _bare(axes, num_devices)
    # Room to the right of the longest round for the mark of its end.
    axes.set_xlim(0.0, (horizon_s or 1.0) * per_second * 1.02)
    if picture.stragglers:
        axes.spines["bottom"].set(visible=True, color=_GREY)
        axes.tick_params(axis="x", bottom=True, labelbottom=True, labelsize=8, colors=_GREY, length=3)
        axes.grid(axis="x", color=_FAINT, linewidth=0.8)
    outline: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.3} if num_devices <= _MANY else {}
    for phase, colour in enumerate(PHASE_COLOURS):
        axes.barh(
            rows,
            picture.duration_s[:, phase] * per_second,
            left=picture.start_s[:, phase] * per_second,
            height=_bar_height(num_devices),
            color=colour,
            **outline,
        )
    if picture.note:
        axes.text(
            0.5, 0.5, picture.note, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=_GREY
        )
    else:
        _name_absent(axes, picture, font)
    _mark_end(axes, picture, per_second)


def _name_absent(axes: "Axes", picture: RoundPicture, font: float) -> None:
    """Say of devices that take no part that they take none."""
    for row in np.flatnonzero(~picture.takes_part)[:_MANY]:
        axes.text(
            0.005,
            row,
            "takes no part",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=min(font, 8.0),
            color=_GREY,
            style="italic",
        )


def _mark_end(axes: "Axes", picture: RoundPicture, per_second: float) -> None:
    """Mark the round's end, who caused it, and when the optimum would have ended."""
    stragglers = picture.stragglers
    if not stragglers:
        return
    limit = axes.get_xlim()[1]
    end = picture.latency_s * per_second
    axes.axvline(end, color=_MARK, linewidth=1.4)
    if len(stragglers) == 1:
        axes.plot([end], stragglers, marker="<", color=_MARK, markersize=7, clip_on=False)
        text = f"round ends (straggler: {stragglers[0]})"
    else:
        text = f"round ends ({len(stragglers)} devices together)"
    above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "fontsize": 8, "va": "bottom"}
    to_the_left = end > 0.5 * limit
    axes.text(end, 1.015, text, ha="right" if to_the_left else "left", color=_MARK, **above)
    if picture.optimal_latency_s is not None and picture.optimum_is_earlier:
        optimum = picture.optimal_latency_s * per_second
        axes.axvline(optimum, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
        # Left of its line, where it does not run into the other text.
        taken = end - (_WIDEST_CHARACTER * len(text) * limit if to_the_left else 0.0)
        if optimum < taken:
            side = "right" if optimum > _WIDEST_CHARACTER * len("optimum") * limit else "left"
            axes.text(optimum, 1.015, "optimum", ha=side, color=_INK, **above)


def _draw_shares(axes: "Axes", picture: RoundPicture, font: float) -> None:
    num_devices = len(picture.cut)
    share = picture.bandwidth_share
    largest = float(share.max(initial=0.0)) or 1.0
    _bare(axes, num_devices)
    axes.set_xlim(0.0, largest)
    rows, height = np.arange(num_devices), _bar_height(num_devices)
    axes.barh(rows, np.full(num_devices, largest), height=height, color=_FAINT)
    axes.barh(rows, share, height=height, color="#8A8A8A")
    if num_devices <= 45 and not picture.note:
        for row in range(num_devices):
            text = f"{share[row] * 100.0:.1f} %" if share[row] > 0.0 else "-"
            axes.text(largest * 1.04, row, text, va="center_baseline", fontsize=font, color=_INK, clip_on=False)


def _bar_height(num_devices: int) -> float:
    return 0.74 if num_devices <= _MANY else 1.0


def _bare(axes: "Axes", num_devices: int) -> None:
    axes.set_axisbelow(True)
    axes.set_ylim(max(num_devices, _FEWEST_ROWS) - 0.4, -0.6)
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_legend(figure: "Figure") -> None:
    from matplotlib.patches import Patch

    figure.legend(
        handles=[
            Patch(facecolor=colour, label=name.replace("_", " "))
            for name, colour in zip(PHASES, PHASE_COLOURS, strict=True)
        ],
        loc="lower center",
        ncols=len(PHASES),
        frameon=False,
        fontsize=8,
        labelcolor=_INK,
        handlelength=1.1,
        handleheight=0.9,
        handletextpad=0.45,
        columnspacing=1.3,
        borderaxespad=0.25,
    )
