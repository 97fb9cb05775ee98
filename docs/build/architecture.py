"""Draw images/layers.png and images/step.png: ``python docs/build/architecture.py``.

The layers are those of the import contract in pyproject.toml, so that the picture cannot say anything else.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
DOTS_PER_INCH = 150

ABOUT = {
    "presets": "the registered ids",
    "env": "one environment for Gymnasium",
    "vector_env": "a batch of them",
    "render": "a round as a picture",
    "episodes": "observation, action and reward around the simulator",
    "spaces": "what an agent sees, does, is paid",
    "simulation": "state over rounds",
    "optimum": "the best cuts and shares",
    "learning": "training the devices' network",
    "rounds": "one round's arithmetic",
    "channel": "gain of the radio links",
    "devices": "who takes part",
    "dnn": "networks and their costs",
    "scenario": "all fields, checked",
    "storage": "files, whole or not at all",
    "checks": "names, ranges, own parts",
    "arrays": "NumPy idioms",
    "errors": "what users are told",
}
PACKAGES = {
    "sfl_lab": "command line and comparisons",
    "sfl_agents": "learned policies and their training",
    "sfl_baselines": "solvers and heuristics as policies",
}
AT_THE_RIM = ("presets", "env", "vector_env", "render", "episodes", "spaces")
AT_THE_BASE = ("storage", "checks", "arrays", "errors")
ABOVE, RIM, MIDDLE, BASE = "#fde8c8", "#d7e8f7", "#dcefdc", "#ececec"

STEP = (
    ("agent", "predict(observation)", ABOVE),
    ("spaces", "action to decision:\ncuts and shares of the band", RIM),
    ("rounds", "seconds of seven phases,\nenergy: the outcome", MIDDLE),
    ("learning", "in accuracy mode only:\ntrain for a round", MIDDLE),
    ("spaces", "outcome to reward", RIM),
    ("simulation", "batteries, devices, channel:\nthe next state", MIDDLE),
    ("spaces", "state to observation", RIM),
)


def layers() -> list[list[str]]:
    """Return the layers inside sfl_env, the highest first, as the import contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (inside,) = (c for c in contracts["contracts"] if c["type"] == "layers" and "containers" in c)
    return [layer.split(" | ") for layer in inside["layers"]]


def colour(name: str) -> str:
    """Return a box's colour: the rim, the middle, or what all lean on."""
    if name in AT_THE_RIM:
        return RIM
    return BASE if name in AT_THE_BASE else MIDDLE


def box(axes: Axes, at: tuple[float, float, float, float], text: tuple[str, str], fill: str) -> None:
    """Draw a box (left, bottom, width, height) with a name and what it is, on one line or two."""
    left, bottom, width, height = at
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=fill,
            edgecolor="#555555",
            linewidth=0.8,
        )
    )
    name, about = text
    middle, top = left + width / 2, 0.77 if "\n" in about else 0.68
    axes.text(middle, bottom + top * height, name, ha="center", va="center", family="monospace", size=10)
    axes.text(middle, bottom + (top - 0.41) * height, about, ha="center", va="center", size=8, color="#333333")


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty picture whose unit is an inch."""
    figure = Figure((width, height))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, width)
    axes.set_ylim(0.0, height)
    axes.set_axis_off()
    return figure, axes


def row_of(axes: Axes, names: Sequence[str], about: dict[str, str], bottom: float, fills: Sequence[str]) -> None:
    """Draw boxes side by side over the whole width."""
    gap, left, right, height = 0.12, 0.35, 8.65, 0.52
    width = (right - left - gap * (len(names) - 1)) / len(names)
    for index, (name, fill) in enumerate(zip(names, fills, strict=True)):
        box(axes, (left + index * (width + gap), bottom, width, height), (name, about[name]), fill)


def draw_layers() -> Figure:
    """Draw the packages and the layers inside the environment, each leaning on those below."""
    found, pitch, margin = layers(), 0.64, 0.3
    inside = len(found) * pitch + 0.42
    above = len(PACKAGES) * pitch
    figure, axes = canvas(9.0, margin + inside + 0.2 + above + 0.1)
    axes.add_patch(
        FancyBboxPatch(
            (0.15, margin - 0.1),
            8.7,
            inside + 0.05,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor="none",
            edgecolor="#2b5c8a",
            linewidth=1.4,
        )
    )
    axes.text(0.35, margin + inside - 0.24, "sfl_env", family="monospace", size=11, color="#2b5c8a", weight="bold")
    for index, names in enumerate(found):
        bottom = margin + (len(found) - 1 - index) * pitch + 0.02
        row_of(axes, names, ABOUT, bottom, [colour(name) for name in names])
    for index, name in enumerate(PACKAGES):
        row_of(axes, [name], PACKAGES, margin + inside + 0.2 + (len(PACKAGES) - 1 - index) * pitch, [ABOVE])
    return figure


def draw_step() -> Figure:
    """Draw what one step goes through, from the agent's observation to the next."""
    width, height, gap, left, per_row = 1.95, 0.86, 0.3, 0.15, 4
    figure, axes = canvas(9.0, 2.75)
    centres = []
    for index, (name, about, fill) in enumerate(STEP):
        row, place = divmod(index, per_row)
        column = place if row == 0 else per_row - 1 - place
        at = (left + column * (width + gap), 1.6 - row * 1.3, width, height)
        centres.append((at[0] + width / 2, at[1] + height / 2))
        box(axes, at, (name, about), fill)
    for (x0, y0), (x1, y1) in zip(centres, [*centres[1:], centres[0]], strict=True):
        arrow(axes, (x0, y0), (x1, y1), (width / 2, height / 2))
    last = centres[-1][1]
    axes.text(left + width / 2, last, "the next step", ha="center", va="center", size=9, color="#333333")
    arrow(axes, centres[-1], (left + width / 2, last), (width / 2, height / 2), short_of=0.5)
    return figure


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    half: tuple[float, float],
    short_of: float | None = None,
) -> None:
    """Draw an arrow from the edge of one box to that of the next, along the row or to the other row."""
    (x0, y0), (x1, y1) = start, end
    if abs(y1 - y0) < 0.01:
        way = 1.0 if x1 > x0 else -1.0
        ends = (x0 + way * half[0], y0), (x1 - way * (half[0] if short_of is None else short_of), y1)
    else:
        way = 1.0 if y1 > y0 else -1.0
        ends = (x1, y0 + way * (half[1] if x0 == x1 else 0.24)), (x1, y1 - way * half[1])
    axes.annotate("", ends[1], ends[0], arrowprops={"arrowstyle": "-|>", "color": "#333333", "lw": 1.2})


def main() -> None:
    """Write the pictures."""
    for name, figure in (("layers", draw_layers()), ("step", draw_step())):
        figure.savefig(IMAGES / f"{name}.png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
