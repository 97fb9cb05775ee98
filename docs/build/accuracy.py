"""Measure what accuracy mode learns: ``python docs/build/accuracy.py``.

Step size and momentum are tuned for every scheme on validation seeds; then each trains at its best setting from
test seeds. It writes docs/data/accuracy.json, the tables of docs/accuracy.md, and the settings that
``sfl benchmark --mode accuracy`` takes.

Takes about 20 minutes on one core. ``--tables`` measures nothing and writes all that from the stored figures.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sfl_env.dnn.networks import build
from sfl_env.errors import TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, load_data, scheme
from sfl_env.scenario import Schedule, Server
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.curves.tuned import FIELDS
from sfl_lab.compare.intervals import MEAN

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "accuracy.json"
SETTINGS = DOCS.parent / "lab" / "sfl_lab" / "compare" / "curves" / "tuned.json"
COMMAND = "python docs/build/accuracy.py"
NUM_DEVICES = 10
VALIDATION, TEST = range(100, 103), range(5)
ROUNDS = 60
TARGET = 0.95
STEPS = {0.0: (0.01, 0.03, 0.1, 0.3, 1.0), 0.9: (0.003, 0.01, 0.03, 0.1, 0.3)}
"""By momentum: with it, a round's steps go several times as far."""
MINI_BATCH = 16
LOCAL = LocalTraining(iterations=4, batch_size=MINI_BATCH)
"""As in ``SFL-Accuracy-v0``, but for what is tuned."""
CHANCE, PATIENCE = 0.15, 15
"""Tuning gives a run up that stays at chance (0.1) or hardly above for so many rounds in a row."""
SPREADS: dict[str, dict[str, Any]] = {"iid": {}, "dirichlet": {"concentration": 0.1, "min_samples": MINI_BATCH}}
LEVELS = {
    "shallow": "the first cut for all",
    "mixed": "cuts spread over the devices",
    "deep": "only the last block on the server",
}


class Scheme(NamedTuple):
    """One row of the tables."""

    about: str
    server: Server
    level: str  # of the cuts
    schedule: Schedule = "parallel"


def _schemes() -> dict[str, Scheme]:
    """Return the schemes that differ: those with equal cuts for all are AdaptSFL's, too."""
    names: dict[str, Server] = {"SplitFed V2": "splitfed-v2", "parallel SL": "parallel-sl"}
    found = {"federated": Scheme("FL, and SplitFed V1 with any cuts", "splitfed-v1", "whole")}
    for name, server in names.items():
        for level, about in LEVELS.items():
            also = " (and AdaptSFL)" if server == "parallel-sl" and level != "mixed" else ""
            found[f"{server}, {level}"] = Scheme(f"{name}{also}, {level}: {about}", server, level)
    found["adaptsfl, mixed"] = Scheme(f"AdaptSFL, mixed: {LEVELS['mixed']}", "adaptsfl", "mixed")
    found["sequential"] = Scheme("SL: devices in sequence, any cuts", "splitfed-v1", "shallow", "sequence")
    return found


SCHEMES = _schemes()


def cuts(num_cuts: int) -> dict[str, NDArray[np.intp]]:
    """Return (K,) cuts by their name; but for the whole network on the device, the server has the last block."""
    last = num_cuts - 2
    return {
        "shallow": np.zeros(NUM_DEVICES, dtype=np.intp),
        "mixed": np.arange(NUM_DEVICES) % (last + 1),
        "deep": np.full(NUM_DEVICES, last),
        "whole": np.full(NUM_DEVICES, last + 1),
    }


class Bench:
    """Trains one scheme on one kind of data at one setting."""

    def __init__(self, spread: str, way: Scheme, learning_rate: float, momentum: float) -> None:
        self._training = SplitFederatedTraining(
            lambda: build("digits-cnn"),
            load_data("digits"),
            scheme(spread, NUM_DEVICES, **SPREADS[spread]),
            replace(LOCAL, server=way.server, learning_rate=learning_rate, momentum=momentum),
            schedule=way.schedule,
            device="cpu",
        )
        self._cut = cuts(self._training.num_cuts)[way.level]

    def curve(self, seed: int) -> list[float]:
        """Return the test accuracy after each round.

        A training that stops being finite keeps the weights that it had.
        """
        self._training.reset(seed)
        found = [round(self._training.evaluate().accuracy, 6)]
        while len(found) <= ROUNDS:
            try:
                found.append(round(self._training.run_round(self._cut).score.accuracy, 6))
            except TrainingError:
                found += [found[-1]] * (ROUNDS + 1 - len(found))
        return found[1:]

    def trial(self, seed: int) -> list[float]:
        """Return the test accuracy after each round until it reaches the target or the run is given up."""
        self._training.reset(seed)
        found: list[float] = []
        while len(found) < ROUNDS and not (found and found[-1] >= TARGET):
            if len(found) >= PATIENCE and max(found[-PATIENCE:]) <= CHANCE:
                break
            try:
                found.append(round(self._training.run_round(self._cut).score.accuracy, 6))
            except TrainingError:
                break
        return found


def tuned(spread: str, way: Scheme) -> list[dict[str, Any]]:
    """Return how long each setting takes on the validation seeds."""
    grid = []
    for momentum, step in [(momentum, step) for momentum, steps in STEPS.items() for step in steps]:
        bench = Bench(spread, way, step, momentum)
        curves = [bench.trial(seed) for seed in VALIDATION]
        grid.append(
            {
                "learning_rate": step,
                "momentum": momentum,
                "rounds": [first(each) for each in curves],
                "accuracy": [each[-1] if each else 0.0 for each in curves],
            }
        )
    return grid


def first(curve: list[float]) -> int | None:
    """Return the first round with the target accuracy, counted from 1."""
    return next((number for number, accuracy in enumerate(curve, start=1) if accuracy >= TARGET), None)


def best(grid: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the setting that most validation seeds reach the target with, in the fewest rounds."""

    def order(tried: dict[str, Any]) -> tuple[float, ...]:
        known = [rounds or ROUNDS + 1 for rounds in tried["rounds"]]
        missed = tried["rounds"].count(None)
        return missed, median(known), sum(known), -sum(tried["accuracy"]), tried["learning_rate"]

    return min(grid, key=order)


def measure() -> dict[str, Any]:
    """Run everything and return it as plain values."""
    names = [name for name, _ in build("digits-cnn").named_children()]
    grids: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[str, Any]] = {}
    for spread in SPREADS:
        grids[spread], curves[spread] = {}, {}
        for name, way in SCHEMES.items():
            grid = grids[spread][name] = tuned(spread, way)
            chosen = best(grid)
            bench = Bench(spread, way, chosen["learning_rate"], chosen["momentum"])
            curves[spread][name] = [bench.curve(seed) for seed in TEST]
            reached = [first(each) for each in curves[spread][name]]
            print(f"{spread}, {name}: {chosen['learning_rate']}, {chosen['momentum']}: {reached}", flush=True)
    return {
        "command": COMMAND,
        "versions": versions(),
        "cut_names": names,
        "cuts": {level: cut.tolist() for level, cut in cuts(len(names)).items()},
        "num_devices": NUM_DEVICES,
        "rounds": ROUNDS,
        "target": TARGET,
        "validation_seeds": list(VALIDATION),
        "test_seeds": list(TEST),
        "local": {name: value for name, value in asdict(LOCAL).items() if name in ("iterations", "batch_size")},
        "validation": grids,
        "test": curves,
    }


def grid_table(found: dict[str, Any], spread: str) -> list[str]:
    """Return how long each scheme takes at each setting, as lines of Markdown."""
    grids = found["validation"][spread]
    settings = [(each["momentum"], each["learning_rate"]) for each in grids["federated"]]
    heads = [f"{step:g}" + (f", m. {momentum:g}" if momentum else "") for momentum, step in settings]
    lines = [f"| scheme | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, grid in grids.items():
        chosen = best(grid)
        cells = [f"**{_cell(each)}**" if each is chosen else _cell(each) for each in grid]
        lines.append(f"| {SCHEMES[name].about} | {' | '.join(cells)} |")
    return lines


def _cell(tried: dict[str, Any]) -> str:
    rounds = tried["rounds"]
    reached = len(rounds) - rounds.count(None)
    middle = median(each or ROUNDS + 1 for each in rounds)
    told = f"{middle:.0f}" if middle <= ROUNDS else "-"
    return told if reached == len(rounds) else f"{told} ({reached})"


def test_table(found: dict[str, Any], spread: str) -> list[str]:
    """Return what each scheme reaches at its best setting from the test seeds, as lines of Markdown."""
    lines = [
        f"| scheme | step, momentum | rounds to {found['target']:.0%} | accuracy after {found['rounds']} rounds |",
        "|---|---|---|---|",
    ]
    for name, curves in found["test"][spread].items():
        chosen = best(found["validation"][spread][name])
        setting = f"{chosen['learning_rate']:g}, {chosen['momentum']:g}"
        last = interval(np.array([curve[-1] for curve in curves]), ".1%")
        lines.append(f"| {SCHEMES[name].about} | {setting} | {rounds_to(curves)} | {last} |")
    return lines


def rounds_to(curves: list[list[float]]) -> str:
    """Write the mean number of rounds to the target accuracy."""
    reached = [rounds for curve in curves if (rounds := first(curve)) is not None]
    if len(reached) < len(curves):
        return f"reached by {len(reached)} of {len(curves)}"
    return interval(np.array(reached, dtype=np.float64), ".1f")


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
        f"mini-batches of {local['batch_size']} a round, SGD; {len(found['validation_seeds'])} validation seeds, "
        f"then {len(found['test_seeds'])} test seeds, at most {found['rounds']} rounds each; mean and 95 % "
        f"interval over seeds (Student's). Versions: {packages}."
    ]


def settings(found: dict[str, Any]) -> dict[str, Any]:
    """Return each scheme's best setting, by how the data is spread; those with cuts of their own at mixed cuts."""
    names = {name.removesuffix(", mixed"): name for name in SCHEMES if name.endswith(", mixed")}
    names |= {"federated": "federated", "splitfed-v1": "federated", "sequential": "sequential"}
    alike = {"dataset": "digits", "network": "digits-cnn", "num_devices": NUM_DEVICES}
    alike |= {"optimizer": LOCAL.optimizer, "local_iterations": LOCAL.iterations, "batch_size": LOCAL.batch_size}
    tuned = []
    for spread, grids in found["validation"].items():
        skew = SPREADS[spread].get("concentration")
        own = {"partition": spread} | ({} if skew is None else {"partition_concentration": skew})
        chosen = {name: best(grids[row]) for name, row in sorted(names.items())}
        pairs = {name: {field: each[field] for field in FIELDS} for name, each in chosen.items()}
        tuned.append({"scenario": {**alike, **own}, "settings": pairs})
    return {"source": f"{found['command']}: best of a grid on validation seeds, docs/accuracy.md", "tuned": tuned}


def between(page: str, name: str, lines: list[str]) -> str:
    """Put lines between a pair of markers."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.split(begin)
    return "\n".join([before + begin, *lines, end + rest.split(end)[1]])


def filled(page: str, found: dict[str, Any]) -> str:
    """Return the page with its tables as the figures say."""
    for spread in SPREADS:
        page = between(page, f"grid {spread}", grid_table(found, spread))
        page = between(page, f"test {spread}", test_table(found, spread))
    return between(page, "source", source(found))


def write_tables() -> None:
    """Write the stored figures into docs/accuracy.md, and the best settings into the lab."""
    found = json.loads(FIGURES.read_text())
    write_json(SETTINGS, settings(found))
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
