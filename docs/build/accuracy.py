"""Measure what accuracy mode learns: ``python docs/build/accuracy.py``.

It writes docs/data/accuracy.json and the tables.

Takes a few minutes on one core. ``--tables`` writes the tables of docs/accuracy.md anew from the stored figures.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfl_env.dnn.networks import build
from sfl_env.learning import LocalTraining, SplitFederatedTraining, load_data, scheme
from sfl_env.scenario import Schedule, Server
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import MEAN

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "accuracy.json"
COMMAND = "python docs/build/accuracy.py"
NUM_DEVICES = 10
SEEDS = range(5)
ROUNDS = 100
LATE = 10
"""Rounds at the end whose accuracy is averaged: with skewed data it swings from round to round."""

TARGET, SOON = 0.97, 0.95
CONCENTRATION = 0.1
MINI_BATCH = 16
LOCAL = LocalTraining(iterations=8, batch_size=MINI_BATCH, learning_rate=0.05, momentum=0.9)
LEVELS = {
    "shallow": "the first cut for all",
    "mixed": "cuts spread over the devices",
    "deep": "only the last block on the server",
}


def curve(
    partition: str,
    cut: NDArray[np.intp],
    seed: int,
    server: Server = "replicated",
    schedule: Schedule = "parallel",
) -> list[float]:
    """Return the test accuracy after each round.

    Parameters
    ----------
    partition : str
        How the samples are spread over as many devices as there are cuts.
    cut : (K,) array of int
        Index of each device's last block, the same in all rounds.
    seed : int
        Of partition, weights and mini-batches.
    server, schedule : str
        See :class:`SplitFederatedTraining`.
    """
    skew = {"concentration": CONCENTRATION, "min_samples": MINI_BATCH} if partition == "dirichlet" else {}
    training = SplitFederatedTraining(
        lambda: build("digits-cnn"),
        load_data("digits"),
        scheme(partition, len(cut), **skew),
        replace(LOCAL, server=server),
        schedule=schedule,
        device="cpu",
    )
    training.reset(seed)
    return [training.run_round(cut).score.accuracy for _ in range(ROUNDS)]


def cuts(num_cuts: int) -> dict[str, NDArray[np.intp]]:
    """Return (K,) cuts by their name; every one leaves at least the last block to the server."""
    last = num_cuts - 2
    return {
        "shallow": np.zeros(NUM_DEVICES, dtype=np.intp),
        "mixed": np.arange(NUM_DEVICES) % (last + 1),
        "deep": np.full(NUM_DEVICES, last),
    }


def measure() -> dict[str, Any]:
    """Run everything and return it as plain values."""
    names = [name for name, _ in build("digits-cnn").named_children()]
    levels = cuts(len(names))
    whole = np.full(NUM_DEVICES, len(names) - 1)
    runs: dict[str, list[list[float]]] = {}

    def run(name: str, partition: str, cut: NDArray[np.intp], **options: Any) -> None:
        runs[name] = [curve(partition, cut, seed, **options) for seed in SEEDS]
        print(f"{name}: {np.mean([accuracy[-LATE:] for accuracy in runs[name]]):.4f}", flush=True)

    run("iid", "iid", levels["mixed"])
    run("fl", "dirichlet", whole)
    for server in ("replicated", "shared"):
        for level, cut in levels.items():
            run(f"{server}, {level}", "dirichlet", cut, server=server)
    run("sl", "dirichlet", levels["shallow"], schedule="sequence")
    return {
        "command": COMMAND,
        "versions": versions(),
        "cut_names": names,
        "cuts": {level: cut.tolist() for level, cut in levels.items()},
        "num_devices": NUM_DEVICES,
        "rounds": ROUNDS,
        "seeds": list(SEEDS),
        "local": asdict(LOCAL),
        "concentration": CONCENTRATION,
        "accuracy": {name: np.round(run, 6).tolist() for name, run in runs.items()},
    }


def iid_table(found: dict[str, Any]) -> list[str]:
    """Return what ten devices with alike data reach, as lines of Markdown."""
    lines = [
        f"| seed | first round with {TARGET:.0%} | best | after {found['rounds']} rounds |",
        "|---|---|---|---|",
    ]
    for seed, run in zip(found["seeds"], found["accuracy"]["iid"], strict=True):
        first = next((number for number, accuracy in enumerate(run, start=1) if accuracy >= TARGET), None)
        lines.append(f"| {seed} | {first or 'never'} | {max(run):.2%} | {run[-1]:.2%} |")
    return lines


def skewed_table(found: dict[str, Any]) -> list[str]:
    """Return what they reach with skewed data, as lines of Markdown."""
    rows = {"fl": "FL: the whole network on the device"}
    for server in ("replicated", "shared"):
        rows |= {f"{server}, {level}": f"SFL, `{server}`, {level}: {about}" for level, about in LEVELS.items()}
    rows["sl"] = "SL: devices in sequence, the first cut for all"
    lines = [
        f"| scheme | rounds to {SOON:.0%} | after {found['rounds']} rounds | mean of the last {LATE} rounds |",
        "|---|---|---|---|",
    ]
    for name, about in rows.items():
        accuracy = np.array(found["accuracy"][name])
        last, late = accuracy[:, -1], accuracy[:, -LATE:].mean(axis=1)
        figures = [rounds_to(accuracy, SOON), interval(last, ".1%"), interval(late, ".1%")]
        lines.append(f"| {about} | {' | '.join(figures)} |")
    return lines


def rounds_to(accuracy: NDArray[np.float64], target: float) -> str:
    """Write the mean number of rounds to an accuracy, from (seeds, rounds)."""
    reached = accuracy >= target
    if not reached.any(axis=1).all():
        return f"reached by {int(reached.any(axis=1).sum())} of {len(reached)}"
    return interval(reached.argmax(axis=1) + 1.0, ".0f")


def interval(values: NDArray[np.float64], style: str) -> str:
    """Write a mean over seeds with its interval, without what an accuracy cannot be."""
    found = MEAN.interval(values)
    if style.endswith("%"):
        found = found.within(0.0, 1.0)
    return f"{found.value:{style}} [{found.low:{style}}, {found.high:{style}}]"


def source(found: dict[str, Any]) -> list[str]:
    """Return what was run, as lines of Markdown."""
    local = found["local"]
    packages = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return [
        f"`{found['command']}`: `digits-cnn` on `digits`, {found['num_devices']} devices, {local['iterations']} "
        f"mini-batches of {local['batch_size']} a round, SGD with step size {local['learning_rate']} and momentum "
        f"{local['momentum']}, {len(found['seeds'])} seeds; mean and 95 % interval over seeds (Student's). "
        f"Versions: {packages}."
    ]


def between(page: str, name: str, lines: list[str]) -> str:
    """Put lines between a pair of markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.split(begin)
    return "\n".join([before + begin, *lines, end + rest.split(end)[1]])


def filled(page: str, found: dict[str, Any]) -> str:
    """Return the page with its tables as the figures say."""
    page = between(page, "iid", iid_table(found))
    return between(page, "skewed", [*skewed_table(found), "", *source(found)])


def write_tables() -> None:
    """Write the stored figures into docs/accuracy.md."""
    found = json.loads(FIGURES.read_text())
    path = DOCS / "accuracy.md"
    path.write_text(filled(path.read_text(), found))


def main() -> None:
    """Measure, unless stored figures are to be used, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.tables:
        write_json(FIGURES, measure())
    write_tables()


if __name__ == "__main__":
    main()
