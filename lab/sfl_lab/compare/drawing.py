"""What the figures of comparisons share: colours, the axis of logarithms, and names as they are."""

from pathlib import Path
from typing import Any, Final

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from sfl_env.storage.atomic import atomic_output
from sfl_lab.text import printable

INK, FAINT, GREY = "#222222", "#d9d9d9", "#666666"
AS_IT_IS: Final[dict[str, Any]] = {"parse_math": False}
"""For texts with names in them, whose dollar signs are no formulae."""


def name_log_ticks(axis: Axis) -> None:
    """Mark 1, 2 and 5 times the powers of ten by plain numbers."""
    axis.set_major_locator(LogLocator(10.0, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def write_titled(figure: Figure, path: Path, title: str) -> None:
    """Write a figure with its title, whole or not at all."""
    figure.suptitle(printable(title), x=0.01, ha="left", fontsize=11, color=INK, **AS_IT_IS)
    with atomic_output(path) as partial:
        figure.savefig(partial)
