"""Put measured results into the README: ``python docs/build/results.py``.

They are those of ``make benchmark`` and ``make benchmark-accuracy``. The summaries of runs that are there become
docs/data/benchmark.json and docs/data/benchmark-accuracy.json first, with their pictures; what has not been run
stays as it is. No figure of the README's results was typed.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sfl_baselines
from sfl_env.storage.runs import write_json
from sfl_lab.compare.intervals import Interval, sureness
from sfl_lab.compare.writing import NOTHING, in_words, short, training_in_words

ROOT = Path(__file__).parents[2]
RUNS, DATA, IMAGES = ROOT / "runs", ROOT / "docs" / "data", ROOT / "docs" / "images"
ROUNDS, LEARNT = DATA / "benchmark.json", DATA / "benchmark-accuracy.json"

SCHEMES = {name: sfl_baselines.about(name) for name in sfl_baselines.names()} | {
    "alternating": "SFL, alternating optimisation",
    "exact": "SFL, exact joint optimum",
    "common-cut": "SFL, the best single cut for all",
    "equal-bandwidth": "SFL, equal shares, own best cuts",
    "federated": "FL: the whole network on the device",
    "splitfed-v1": "SplitFed V1, cuts and shares of `alternating`",
    "splitfed-v2": "SplitFed V2, likewise",
    "parallel-sl": "parallel split learning's server, likewise",
    "adaptsfl": "AdaptSFL's server, likewise",
    "sequential": "SL: devices in sequence, own best cuts",
}
"""Training schemes in their field's terms."""

SPREAD = {
    "benchmark-accuracy": "Every device has all ten digits (IID)",
    "benchmark-accuracy-skewed": "Most devices have a few of the digits (Dirichlet, alpha = 0.1)",
}
"""The runs of ``make benchmark-accuracy``, and how the data is spread over the devices in each."""

PICTURES = {
    "results.png": RUNS / "benchmark" / "results.png",
    "accuracy.png": RUNS / "benchmark-accuracy" / "curves.png",
    "accuracy-skewed.png": RUNS / "benchmark-accuracy-skewed" / "curves.png",
}

Summary = Mapping[str, Any]


def rounds_table(summary: Summary) -> list[str]:
    """Return the lengths of rounds as lines of Markdown."""
    lines = [
        "| policy | what it does | round / optimum | seconds a round | mean | median | 95th percentile |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in summary["policies"]:
        rounds = [f"{row['round_s'][name]:.1f}" for name in ("mean", "median", "percentile_95")]
        figures = [_fixed(row["ratio"], ".3f"), _fixed(row["latency_s"], ".1f"), *rounds]
        lines.append(f"| `{row['policy']}` | {_about(row)} | {' | '.join(figures)} |")
    return [
        *lines,
        "",
        f"`make benchmark`: {summary['episodes']} held-out episodes of {summary['scenario']['max_rounds']} rounds "
        f"of `{summary['env_id']}`, the same for every policy. Ratio: geometric mean over episodes of the mean of "
        "an episode's ratios, round by round; seconds a round: median over episodes of an episode's mean round; "
        "then mean, median and 95th percentile of all rounds. "
        f"{_unit(summary['policies'], summary['episodes'], 'episodes')} Versions: {_versions(summary)}.",
    ]


def accuracy_tables(summaries: Mapping[str, Summary]) -> list[str]:
    """Return the times to the target accuracy as lines of Markdown."""
    lines = []
    for run, summary in summaries.items():
        lines += [f"{SPREAD[run]}:", "", *_accuracy_table(summary), ""]
    first = next(iter(summaries.values()))
    return [
        *lines,
        f"`make benchmark-accuracy`: {len(first['seeds'])} held-out seeds of `{first['env_id']}` "
        f"({first['scenario']['num_devices']} devices); for a seed every scheme has the same data, initial "
        "weights, mini-batches, devices and channels. Seconds: median; their ratio: geometric mean of ratios on "
        "the same seed; rounds and accuracy: mean. "
        f"{_unit(first['schemes'], len(first['seeds']), 'held-out seeds')} `>`: not all seeds reach the target, "
        f"and those that do not count with the time for which they were followed. Versions: {_versions(first)}.",
    ]


def _accuracy_table(summary: Summary) -> list[str]:
    target = f"{summary['target_accuracy']:.0%}"
    lines = [
        f"| scheme | what it does | step, momentum | seconds to {target} | over `{summary['first']}` | "
        f"rounds to {target} | seeds that reach it | accuracy after {summary['scenario']['max_rounds']} rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in summary["schemes"]:
        setting = summary["settings"][row["scheme"]]
        cells = [
            f"`{row['scheme']}`",
            SCHEMES.get(row["scheme"]) or _about(row, "held-out seeds"),
            f"{setting['learning_rate']:g}, {setting['momentum']:g}",
            "" if row["time_at_least_s"] is None else _known(row, "time_s", "time_at_least_s"),
            _interval(row["time_ratio"]) if row["time_ratio"] else "",
            _known(row, "rounds", "rounds_at_least"),
            f"{row['reached']} of {row['seeds']}",
            _fixed(row["final_accuracy"], ".1%"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _about(row: Summary, episodes: str = "episodes") -> str:
    """Say what a policy does or how it was trained, as its run told."""
    seeds = row["training_seeds"]
    return training_in_words(row["about"], seeds, episodes) if seeds else row["about"]


def _unit(rows: Sequence[Summary], number: int, episodes: str) -> str:
    several = any(row["ratio_unit"] == "training seed" for row in rows)
    ratios = ", of ratios over training seeds where there are several" if several else ""
    return (
        f"In brackets: 95 % interval over {episodes}{ratios}; {sureness(number, episodes)} "
        "([how it is done](docs/statistics.md))."
    )


def accuracy_in_words(summaries: Mapping[str, Summary]) -> list[str]:
    """Return what the tables show in sentences, whose figures come from them."""
    alike, skewed = (_rows(summaries[run]) for run in SPREAD)
    names = ("federated", "sequential", "common-cut", "ppo")
    times, harder = ({name: _over(rows, name) for name in names} for rows in (alike, skewed))
    return [
        f"On IID data FL takes {times['federated']} times as long as `alternating`, whose rounds are the "
        "shortest; split learning in sequence, with longer rounds and fewer of them "
        f"({_rounds(alike, 'sequential')} instead of {_rounds(alike, 'alternating')}), "
        f"{times['sequential']} times. On skewed data one cut for all needs "
        f"{_rounds(skewed, 'common-cut')} rounds and `alternating` {_rounds(skewed, 'alternating')}, in "
        f"{harder['common-cut']} times the time. How many rounds a scheme needs depends on its step size and "
        "momentum: [docs/accuracy.md](docs/accuracy.md#what-it-reaches) has the grid. "
        "Agents train on the lengths of rounds (`sfl train --env-id SFL-Accuracy-v0 --fields mode=latency "
        "model=digits-cnn`) and join the comparison with `--agents`, as `ppo` does above, at "
        f"{times['ppo']} and {harder['ppo']} times the time of `alternating`.",
    ]


def _rows(summary: Summary) -> dict[str, Any]:
    return {row["scheme"]: row for row in summary["schemes"]}


def _over(rows: Mapping[str, Any], scheme: str) -> str:
    ratio = rows[scheme]["time_ratio"] if scheme in rows else None
    return short(ratio["value"], 3) if ratio else NOTHING


def _rounds(rows: Mapping[str, Any], scheme: str) -> str:
    row = rows[scheme]
    return f"{'' if row['reached'] == row['seeds'] else 'over '}{short(row['rounds_at_least'], 3)}"


def _known(row: Summary, exact: str, at_least: str) -> str:
    return _interval(row[exact]) if row["reached"] == row["seeds"] else f"> {short(row[at_least], 3)}"


def _interval(figure: Mapping[str, Any]) -> str:
    return in_words(Interval(**figure), 3)


def _fixed(figure: Mapping[str, float], form: str) -> str:
    return f"{figure['value']:{form}} [{figure['low']:{form}}, {figure['high']:{form}}]"


def _versions(summary: Summary) -> str:
    return ", ".join(f"{name} {version}" for name, version in summary["versions"].items())


def sections() -> dict[str, list[str]]:
    """Return what the stored figures say, by the section of the README."""
    learnt = json.loads(LEARNT.read_text(encoding="utf-8"))
    return {
        "results": rounds_table(json.loads(ROUNDS.read_text(encoding="utf-8"))),
        "accuracy": accuracy_tables(learnt),
        "accuracy in words": accuracy_in_words(learnt),
    }


def filled(page: str) -> str:
    """Return the README with its sections as the stored figures say."""
    for section, lines in sections().items():
        begin, end = f"<!-- {section}: begin -->\n", f"<!-- {section}: end -->\n"
        before, rest = page.split(begin)
        page = before + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1]
    return page


def collect() -> None:
    """Store the figures and pictures of the runs that are there."""
    if (RUNS / "benchmark" / "summary.json").is_file():
        shutil.copyfile(RUNS / "benchmark" / "summary.json", ROUNDS)
    learnt = {run: RUNS / run / "summary.json" for run in SPREAD}
    if all(path.is_file() for path in learnt.values()):
        found = {run: json.loads(path.read_text(encoding="utf-8")) for run, path in learnt.items()}
        write_json(LEARNT, found)
    for name, picture in PICTURES.items():
        if picture.is_file():
            shutil.copyfile(picture, IMAGES / name)


def main() -> None:
    """Store what has been run, and rewrite the README's sections."""
    collect()
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
