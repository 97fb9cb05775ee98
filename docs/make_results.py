"""Put the results of ``make benchmark`` into the README: ``python docs/make_results.py``."""

import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RUN = ROOT / "runs" / "benchmark"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->\n"

ABOUT = {
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


def table(summary: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| policy | what it does | round / optimum | seconds a round |",
        "|---|---|---|---|",
    ]
    for row in summary["policies"]:
        ratio, seconds = row["ratio"], row["latency_s"]
        figures = f"{_interval(ratio, '.3f')} | {_interval(seconds, '.1f')}"
        lines.append(f"| `{row['policy']}` | {ABOUT[row['policy']]} | {figures} |")
    lines.append("")
    versions = ", ".join(f"{name} {version}" for name, version in summary["versions"].items())
    lines.append(
        f"`make benchmark`: {summary['episodes']} held-out episodes of {summary['scenario']['max_rounds']} rounds "
        f"of `{summary['env_id']}`, the same for every policy; mean and {summary['confidence']:.0%} interval over "
        f"episodes (bootstrap). Versions: {versions}."
    )
    return "\n".join(lines) + "\n"


def _interval(figure: dict[str, float], form: str) -> str:
    return f"{figure['mean']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text(before + BEGIN + table(json.loads((RUN / "summary.json").read_text())) + END + after)
    shutil.copyfile(RUN / "results.png", ROOT / "docs" / "images" / "results.png")
