"""Interleaved timing: everything that is compared takes turns, so that a busy machine slows all of it alike.

What is timed is the processor time of the process, which runs one thread: time slices that other programs take
do not count. Only what runs several threads is timed by the clock on the wall.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

SHORTEST_SAMPLE_S = 0.01
"""A sample repeats its call until it takes about this long, so that the clock's grain does not matter."""

LONGEST_S = 60.0
"""Where all turns of a comparison would take longer, there are fewer of them."""

FEWEST_TURNS = 3


@dataclass(frozen=True)
class Row:
    """One line of a table of ratios."""

    measure: str
    unit: str
    """What one call processes, such as "problem" or "environment step"."""

    median_s: float
    """Seconds per unit, the median over rounds."""

    quartile_1_s: float
    quartile_3_s: float
    reference: str
    ratio: float
    """Median over rounds of this measure's time over the reference's in the same round."""

    ratio_quartile_1: float
    ratio_quartile_3: float

    def to_dict(self) -> dict[str, str | float]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """Something to time."""

    call: Callable[[], object]
    units: int = 1
    """How many units one call processes."""

    unit: str = "call"
    clock: Callable[[], float] = time.process_time
    """Seconds that its calls are timed by."""


Samples = dict[str, list[float]]
"""Seconds per unit of each case, one for each turn."""


def measure(cases: Mapping[str, Case], reference: str, rounds: int = 15) -> list[Row]:
    """Time all cases in turns and compare them with one of them.

    Parameters
    ----------
    cases : mapping
        What to time, by name.
    reference : str
        The case that the ratios are taken to.
    rounds : int
        How often each gets its turn; less often where that would take more than :data:`LONGEST_S`.

    Returns
    -------
    list of Row
        In the order given.
    """
    return compare(take_turns(cases, rounds), {name: case.unit for name, case in cases.items()}, reference)


def take_turns(cases: Mapping[str, Case], rounds: int, longest_s: float = LONGEST_S) -> Samples:
    """Time all cases in turns: as many as asked for, or as take so long, but at least :data:`FEWEST_TURNS`."""
    once_s = {name: _once_s(case) for name, case in cases.items()}
    repeats = {name: max(1, int(SHORTEST_SAMPLE_S / max(seconds, 1e-9))) for name, seconds in once_s.items()}
    turn_s = sum(repeats[name] * seconds for name, seconds in once_s.items())
    samples: Samples = {name: [] for name in cases}
    for _ in range(min(rounds, max(FEWEST_TURNS, int(longest_s / turn_s)))):
        for name, case in cases.items():
            begin = case.clock()
            for _ in range(repeats[name]):
                case.call()
            samples[name].append((case.clock() - begin) / (repeats[name] * case.units))
    return samples


def compare(samples: Samples, units: Mapping[str, str], reference: str) -> list[Row]:
    """Compare cases with one of them, turn by turn.

    Parameters
    ----------
    samples : mapping
        Of :func:`take_turns`.
    units : mapping
        What each case's seconds are for one of.
    reference : str
        The case that the ratios are taken to.
    """
    base = np.array(samples[reference])
    rows = []
    for name, unit in units.items():
        seconds = np.array(samples[name])
        quartiles = np.percentile(seconds, [25, 50, 75])
        ratios = np.percentile(seconds / base, [25, 50, 75])
        rows.append(
            Row(
                measure=name,
                unit=unit,
                median_s=float(quartiles[1]),
                quartile_1_s=float(quartiles[0]),
                quartile_3_s=float(quartiles[2]),
                reference=reference,
                ratio=float(ratios[1]),
                ratio_quartile_1=float(ratios[0]),
                ratio_quartile_3=float(ratios[2]),
            )
        )
    return rows


def _once_s(case: Case) -> float:
    case.call()  # what is built on the first call is no part of the time
    begin = case.clock()
    case.call()
    return case.clock() - begin


def as_text(rows: list[Row]) -> str:
    """Lay rows out as a table for the terminal."""
    width = max(len(row.measure) for row in rows)
    lines = [f"{'measure':{width}}  {'time (quartiles)':>34}  ratio (quartiles)"]
    for row in rows:
        spread = f"({_seconds(row.quartile_1_s)} - {_seconds(row.quartile_3_s)})"
        ratio = f"{row.ratio:.4g} ({row.ratio_quartile_1:.4g} - {row.ratio_quartile_3:.4g})"
        lines.append(f"{row.measure:{width}}  {_seconds(row.median_s):>10} {spread:>23}  {ratio}")
    lines.append(f"Times are per unit; ratios are to {rows[0].reference!r}, taken round by round.")
    return "\n".join(lines)


def _seconds(value: float) -> str:
    for scale, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{value / scale:.3g} {name}"
    return f"{value / 1e-9:.3g} ns"
