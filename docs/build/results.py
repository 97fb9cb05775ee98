"""Put measured results into the README: ``python docs/build/results.py``.

They are those of ``make benchmark`` and ``make benchmark-accuracy``; what has not been run before stays as it is.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from sfl_lab.compare.writing import short

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs"

POLICIES = {
    "oracle": "reads the true channel, exact optimum",
    "exact": "exact joint optimum of what is observed",
    "alternating": "alternating optimisation, the reference (Xu et al., 2024)",
    "ppo": "Stable-Baselines3 PPO, trained by `make benchmark`",
    "common-cut": "the best single cut for all, optimal band",
    "shallow": "the first cut for all, optimal band",
    "proportional": "shares in proportion to need, own best cuts",
    "equal-bandwidth": "equal shares, own best cuts",
    "federated": "the whole network on the device, optimal band",
    "random": "random actions",
}

SCHEMES = POLICIES | {
    "alternating": "SFL, alternating optimisation",
    "exact": "SFL, exact joint optimum",
    "common-cut": "SFL, the best single cut for all",
    "equal-bandwidth": "SFL, equal shares, own best cuts",
    "federated": "FL: the whole network on the device",
    "sequential": "SL: devices in sequence, own best cuts",
    "ppo": "SFL, PPO, trained on the lengths of rounds",
    "centralised": "all data at one place, nothing sent",
}

SPREAD = {
    "benchmark-accuracy": "Every device has all ten digits (IID)",
    "benchmark-accuracy-skewed": "Most devices have a few of the digits (Dirichlet, alpha = 0.1)",
    "benchmark-accuracy-slow": "The same with a fifth of the step size (`learning_rate=0.01`)",
}
"""The runs of ``make benchmark-accuracy``, and how the data is spread over the devices in each."""


def rounds_table(summary: dict[str, Any]) -> list[str]:
    """Return the lengths of rounds as lines of Markdown."""
    lines = [
        "| policy | what it does | round / optimum | seconds a round |",
        "|---|---|---|---|",
    ]
    for row in summary["policies"]:
        ratio, seconds = row["ratio"], row["latency_s"]
        figures = f"{_fixed(ratio, '.3f')} | {_fixed(seconds, '.1f')}"
        lines.append(f"| `{row['policy']}` | {POLICIES[row['policy']]} | {figures} |")
    return [
        *lines,
        "",
        f"`make benchmark`: {summary['episodes']} held-out episodes of {summary['scenario']['max_rounds']} rounds "
        f"of `{summary['env_id']}`, the same for every policy; mean and {summary['confidence']:.0%} interval over "
        f"episodes (bootstrap). Versions: {_versions(summary)}.",
    ]


def accuracy_tables(summaries: dict[str, dict[str, Any]]) -> list[str]:
    """Return the times to the target accuracy as lines of Markdown."""
    lines = []
    for run, summary in summaries.items():
        target = f"{summary['target_accuracy']:.0%}"
        lines += [
            f"{SPREAD[run]}:",
            "",
            f"| scheme | what it does | seconds to {target} | over `{summary['first']}` | rounds to {target} | "
            f"seeds that reach it | accuracy after {summary['scenario']['max_rounds']} rounds |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in summary["schemes"]:
            timed = row["time_at_least_s"] is not None
            cells = [
                f"`{row['scheme']}`",
                SCHEMES[row["scheme"]],
                _known(row, "time_s", "time_at_least_s") if timed else "",
                _interval(row["time_ratio"]) if row["time_ratio"] else "",
                _known(row, "rounds", "rounds_at_least"),
                f"{row['reached']} of {row['seeds']}",
                _fixed(row["final_accuracy"], ".1%"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    first = next(iter(summaries.values()))
    return [
        *lines,
        f"`make benchmark-accuracy`: {len(first['seeds'])} held-out seeds of `{first['env_id']}` "
        f"({first['scenario']['num_devices']} devices); for a seed every scheme has the same data, initial "
        "weights, mini-batches, devices and channels. Mean and "
        f"{first['confidence']:.0%} interval over seeds (bootstrap); `>`: not all seeds reach the target, and "
        f"those that do not count with the time for which they were followed. Versions: {_versions(first)}.",
    ]


def _known(row: dict[str, Any], exact: str, at_least: str) -> str:
    return _interval(row[exact]) if row["reached"] == row["seeds"] else f"> {short(row[at_least], 3)}"


def _interval(figure: dict[str, float]) -> str:
    return f"{short(figure['mean'], 3)} [{short(figure['low'], 3)}, {short(figure['high'], 3)}]"


def _fixed(figure: dict[str, float], form: str) -> str:
    return f"{figure['mean']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"


def _versions(summary: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in summary["versions"].items())


def _summary(run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RUNS / run / "summary.json").read_text())
    return found


def put(section: str, lines: list[str]) -> None:
    """Replace what stands between a section's marks in the README."""
    readme = ROOT / "README.md"
    begin, end = f"<!-- {section}: begin -->\n", f"<!-- {section}: end -->\n"
    before, rest = readme.read_text().split(begin)
    readme.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1])


def main() -> None:
    """Rewrite each section of the README whose runs are there."""
    images = ROOT / "docs" / "images"
    if (RUNS / "benchmark").is_dir():
        put("results", rounds_table(_summary("benchmark")))
        shutil.copyfile(RUNS / "benchmark" / "results.png", images / "results.png")
    if all((RUNS / run).is_dir() for run in SPREAD):
        put("accuracy", accuracy_tables({run: _summary(run) for run in SPREAD}))
        shutil.copyfile(RUNS / "benchmark-accuracy" / "curves.png", images / "accuracy.png")
        shutil.copyfile(RUNS / "benchmark-accuracy-skewed" / "curves.png", images / "accuracy-skewed.png")


if __name__ == "__main__":
    main()
