"""The results as a table, as a file, and as a verdict on the whole."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sfl_env.storage.atomic import atomic_output
from tests.networks.checks import Result
from tests.networks.names import LEAST_ACCEPTED, NAMES

_WIDEST_REASON = 70


def line(result: Result) -> str:
    """Return one line on one network."""
    title = f"{result.package}/{result.name}"
    if not result.accepted:
        return f"{title:<48}{result.verdict:<9}{result.seconds:6.1f} s  {_short(result.reason)}"
    flops = (
        f"{len(result.cut_names):>4} cuts {result.forward_flops / 1e9:8.3f} GFLOP {result.parameters:>11,} weights"
    )
    more = ", ".join(f"{count} {name}" for name, count in result.uncounted.items())
    told = f"  {more}: {result.uncounted_share:.2%} of the FLOPs" if more else ""
    wrong = f"  {result.reason}" if result.reason else ""
    step = f"  step {result.step_error:.0e}"
    return f"{title:<48}{result.verdict:<9}{result.seconds:6.1f} s {flops}{step}{told}{wrong}"


def summary(results: Sequence[Result]) -> str:
    """Return how many of each library were accepted, and each one that was not, with the reason."""
    lines = []
    for library in NAMES:
        own = [result for result in results if result.package == library]
        if own:
            verdicts = Counter(result.verdict for result in own)
            others = ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items() if verdict != "right")
            lines.append(f"{library}: {verdicts['right']} of {len(own)} right" + (f", {others}" if others else ""))
            lines += [f"  {r.name}: {r.verdict}: {r.reason}" for r in own if r.verdict != "right"]
    return "\n".join(lines)


def failures(results: Sequence[Result]) -> list[str]:
    """Return what is wrong with the whole: numbers that differ, and libraries of which too few were accepted."""
    told = [f"{r.package}/{r.name}: {r.reason}" for r in results if r.verdict == "wrong"]
    for library, least in LEAST_ACCEPTED.items():
        own = [result for result in results if result.package == library]
        accepted = sum(result.accepted for result in own)
        # Of a selection, as many as the whole may lack may be missing too.
        missing = len(NAMES[library]) - least
        if accepted < len(own) - missing:
            told.append(f"{library}: {accepted} of {len(own)} accepted; at most {missing} may be refused")
    return told


def write(results: Sequence[Result], folder: Path) -> Path:
    """Write all results to networks.json in a folder, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "networks.json"
    with atomic_output(path) as file:
        file.write_text(json.dumps([result.to_dict() for result in results], indent=1) + "\n", encoding="utf-8")
    return path


def _short(reason: str) -> str:
    return reason if len(reason) <= _WIDEST_REASON else reason[: _WIDEST_REASON - 1] + "…"
