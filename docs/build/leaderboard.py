"""The table of results that others can join: ``python docs/build/leaderboard.py``.

It is made of the entries in docs/data/leaderboard, which hold every episode's figure, so that no mean and no
interval in the table is anybody's word. ``--from FOLDER --policy NAME ...`` makes an entry of what
``sfl benchmark`` has written into a folder.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import sfl_baselines
from sfl_env.errors import RunError
from sfl_env.presets import PRESETS
from sfl_env.storage.json_text import read_json
from sfl_env.storage.runs import write_json
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEAN, Interval

sys.path.append(str(Path(__file__).parent))

import leaderboard_entries
from leaderboard_entries import KINDS, NAMES, Entry

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "leaderboard.md"
PROTOCOL = ROOT / "docs" / "protocol.md"
RULES = ROOT / "docs" / "data" / "protocol.json"
ENTRIES = ROOT / "docs" / "data" / "leaderboard"

_LARGEST_ENTRY = 2**20


def rules() -> dict[str, Any]:
    """Return the protocol's numbers: version, episodes, budgets, and each id's measure."""
    found: dict[str, Any] = json.loads(RULES.read_text(encoding="utf-8"))
    return found


def checked(entry: Any, where: str) -> dict[str, Any]:
    """Return an entry once it is known to be one that the protocol allows.

    Raises
    ------
    RunError
        For what is missing, unknown or out of its range, naming it and what is wanted.
    """
    return leaderboard_entries.checked(entry, where, rules())


def figures(entry: Entry) -> Any:
    """Return (S, N): the figure of each episode under each training seed."""
    return np.array([entry["episodes"][seed] for seed in sorted(entry["episodes"], key=int)], dtype=np.float64)


def _estimator(entry: Entry) -> Any:
    return GEOMETRIC_MEAN if rules()["measures"][entry["env_id"]]["measure"] == "ratio" else MEAN


def interval(entry: Entry) -> Interval:
    """Return an entry's figure with its interval, over training seeds or else over episodes."""
    found: Interval = _estimator(entry).over(list(figures(entry)))
    return found


def paired(entry: Entry, best: Entry) -> Interval:
    """Return by how much an entry is behind another one on the same episodes, with its interval over these.

    Ratios are divided by each other, returns subtracted, each in every episode after a mean over training seeds.
    """
    ours, theirs = (figures(one) for one in (entry, best))
    if _estimator(entry) is GEOMETRIC_MEAN:
        quotient = np.exp(np.log(ours).mean(axis=0) - np.log(theirs).mean(axis=0))
        return GEOMETRIC_MEAN.interval(quotient)
    return MEAN.interval(ours.mean(axis=0) - theirs.mean(axis=0))


def read() -> list[dict[str, Any]]:
    """Return all entries, checked."""
    found = []
    for path in sorted(ENTRIES.glob("*.json")):
        entry = checked(read_json(path, RunError, most_bytes=_LARGEST_ENTRY), f"docs/data/leaderboard/{path.name}")
        if path.name != file_name(entry):
            raise RunError(f"docs/data/leaderboard/{path.name} has to be called {file_name(entry)}.")
        found.append(entry)
    return found


def file_name(entry: Entry) -> str:
    """Return the name of an entry's file, which follows from what it is of."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", entry["name"]).strip("-").lower()
    return f"{entry['env_id']}--{words}.json"


def filled(text: str) -> str:
    """Return the protocol's page with its table of ids and measures."""
    law = rules()
    lines = ["| id | measure | figure | better |", "|---|---|---|---|"]
    for env_id, rule in law["measures"].items():
        if env_id in PRESETS:
            better = "lower" if rule["measure"] == "ratio" else "higher"
            lines.append(f"| `{env_id}` | {rule['about']} | {rule['heading']} | {better} |")
    numbers = (
        f"Version {law['version']}: held-out seed {law['seed']}, {law['episodes']} episodes, at least "
        f"{law['training_seeds']} training seeds, at most {law['budget_steps']:,} rounds of training for each."
    )
    for name, content in (("numbers", [numbers]), ("measures", lines)):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "\n".join([f"{before}{begin}", *content, f"{end}{after}"])
    return text


def page(entries: Sequence[Entry]) -> str:
    """Return the page."""
    law = rules()
    lines = [
        "# Leaderboard",
        "",
        f"Results by [protocol v{law['version']}](protocol.md), which says how to join. Every figure is computed "
        "from the",
        "episodes in [docs/data/leaderboard](data/leaderboard) by `python docs/build/leaderboard.py`.",
        "",
    ]
    for env_id, rule in law["measures"].items():
        own = [entry for entry in entries if entry["env_id"] == env_id]
        if own:
            lines += [f"## `{env_id}`", "", *_table(own, rule, law), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(own: Sequence[Entry], rule: Mapping[str, Any], law: Mapping[str, Any]) -> list[str]:
    best_first = sorted(own, key=lambda entry: _rank(entry, rule))
    behind = "times the first" if rule["measure"] == "ratio" else "behind the first"
    lines = [
        f"{rule['about']} 95 % intervals over training seeds or, where nothing is trained, over {law['episodes']} "
        f"held-out episodes; *{behind}*: paired, over episodes.",
        "",
        f"| policy | made from | {rule['heading']} | {behind} | training | by |",
        "|---|---|---|---|---|---|",
    ]
    for entry in best_first:
        seeds = len(entry["episodes"])
        trained = "none" if not entry["steps"] else f"{entry['steps']:,} rounds, {seeds} seeds"
        cells = [
            f"`{entry['name']}`: {_escaped(entry['about'])}",
            KINDS[entry["kind"]],
            _written(interval(entry), rule),
            "" if entry is best_first[0] else _behind(paired(entry, best_first[0]), rule),
            trained,
            f"{_escaped(entry['authors'])}, {entry['date']}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _rank(entry: Entry, rule: Mapping[str, Any]) -> tuple[float, str]:
    # Rounded, so that entries that are equal but for rounding are in the order of their names everywhere.
    value = round(interval(entry).value, 6)
    return (value if rule["measure"] == "ratio" else -value, entry["name"])


def _written(found: Interval, rule: Mapping[str, Any]) -> str:
    if rule["measure"] == "ratio":
        ends = [f"{100.0 * (value - 1.0):.2f}" for value in (found.value, found.low, found.high)]
        return f"{ends[0]} % [{ends[1]}, {ends[2]}]"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _behind(found: Interval, rule: Mapping[str, Any]) -> str:
    digits = 4 if rule["measure"] == "ratio" else 2
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _escaped(text: str) -> str:
    return re.sub(r"([|<>\[\]\\])", r"\\\1", text)


def entry_of(folder: Path, policy: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of one policy of a benchmark's folder.

    Parameters
    ----------
    folder : pathlib.Path
        What ``sfl benchmark`` has written.
    policy : str
        Label of its row.
    told : mapping
        ``kind``, ``authors``, ``date``, ``steps`` and, if it is to be another than the row's, ``name``.
    """
    law, summary = rules(), read_json(folder / "summary.json", RunError)
    rows = {row["policy"]: row for row in summary["policies"]}
    if policy not in rows:
        raise RunError(f"{folder} has no policy {policy!r}; it has {', '.join(rows)}.")
    _check_row(rows[policy], told, str(folder))
    if (summary["seed"], summary["episodes"]) != (law["seed"], law["episodes"]):
        raise RunError(f"{folder} is not of {law['episodes']} episodes with seed {law['seed']}.")
    config = read_json(folder / "config.json", RunError)["settings"]
    if config["fields"]:
        raise RunError(f"{folder} is of an environment with other fields than the id's: {config['fields']}.")
    measure = law["measures"][summary["env_id"]]["measure"]
    episodes: dict[str, list[float]] = {}
    with (folder / "episodes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["policy"] == policy:
                value = float(row["mean_ratio" if measure == "ratio" else "return"])
                episodes.setdefault(row["training_seed"] or "0", []).append(round(value, 8))
    entry = {
        "protocol": law["version"],
        "name": policy,
        "about": rows[policy]["about"],
        "env_id": summary["env_id"],
        "command": summary["command"],
        "versions": summary["versions"],
        "episodes": episodes,
        **told,
    }
    return checked({name: entry[name] for name in NAMES}, str(folder))


def _check_row(row: Mapping[str, Any], told: Mapping[str, Any], where: str) -> None:
    """Refuse what a benchmark's own row contradicts."""
    name, is_baseline = row["policy"], row["policy"] in sfl_baselines.names()
    if name == "oracle":
        raise RunError(f"{name!r} in {where} reads the true state, so it has no entry.")
    if is_baseline != (told["kind"] == "baseline"):
        what = "a baseline, which learns nothing" if is_baseline else "trained"
        raise RunError(f"{name!r} in {where} is {what}, and kind is {told['kind']!r}.")


def main() -> None:
    """Make an entry, if one is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, help="folder that `sfl benchmark` has written")
    parser.add_argument("--policy", help="label of the row")
    parser.add_argument("--name", help="another name for it")
    parser.add_argument("--kind", choices=list(KINDS), help="what it was made from")
    parser.add_argument("--steps", type=int, default=0, help="rounds of training")
    parser.add_argument("--authors", help="whose it is")
    parser.add_argument("--date", help="as 2026-01-31")
    given = parser.parse_args()
    if given.folder is not None:
        told = {name: getattr(given, name) for name in ("kind", "steps", "authors", "date")}
        told |= {"name": given.name} if given.name else {}
        entry = entry_of(given.folder, given.policy, told)
        ENTRIES.mkdir(exist_ok=True)
        write_json(ENTRIES / file_name(entry), entry)
    PAGE.write_text(page(read()), encoding="utf-8")
    PROTOCOL.write_text(filled(PROTOCOL.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
