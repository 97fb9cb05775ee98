"""Fit how many rounds learning takes to where devices cut the network: ``python docs/build/surrogate.py``.

Networks are trained to the target accuracy with one cut for all devices, with cuts drawn at random, and with
cuts that change on the way. Of each setting, constants are fitted to the first two kinds and checked against runs
of all three on other seeds. It writes the runs to docs/data/surrogate.json and the constants to
sfl_env/learning/surrogate.json.

Takes about 10 minutes on one core. ``--fit`` trains nothing and fits to the stored runs.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from sfl_env.arrays import Array
from sfl_env.dnn import catalogue
from sfl_env.learning.scenario import ScenarioLearner
from sfl_env.learning.surrogate import COMMAND, LAST_ROUND, STORED, Surrogate, circumstances
from sfl_env.presets import PRESETS
from sfl_env.scenario import Scenario
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import MEAN

DATA = Path(__file__).parents[1] / "data" / "surrogate.json"
BASE = Scenario(**PRESETS["SFL-TimeToAccuracy-v0"].fields)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"partition": "dirichlet", "partition_concentration": 0.1},
    {"partition": "dirichlet", "partition_concentration": 0.5},
    {"partition": "iid"},
)
"""What is changed in the preset's fields; add a line to measure another setting."""
COMMON, MIXED, CHANGING = 6, 40, 20
"""Runs to fit or to check: for each common cut, with random cuts, and with random cuts that change once."""
FIT_SEED, CHECK_SEED = 3000, 5000
"""Of the first run; neither meets the seeds of training or evaluation."""
MOST_ROUNDS = 80
REWEIGHTINGS = 20


class Course(NamedTuple):
    """The cuts of one run: the second come after ``change`` rounds."""

    kind: str
    seed: int
    cuts: tuple[list[int], list[int]]
    change: int

    def cut(self, rounds_over: int) -> NDArray[np.intp]:
        """Return the (K,) cuts of the round after so many."""
        return np.array(self.cuts[rounds_over >= self.change])


def courses(num_devices: int, num_cuts: int, first_seed: int, *, changing: bool) -> Iterator[Course]:
    """Yield what is to be trained, each from a seed of its own."""
    rng = np.random.default_rng(first_seed)

    def mixed() -> list[int]:
        # Frequencies that differ from run to run spread the mixes over all that there are.
        frequency = rng.dirichlet(np.ones(num_cuts))
        return [int(cut) for cut in rng.choice(num_cuts, num_devices, p=frequency)]

    kinds = ["common"] * COMMON * num_cuts + ["mixed"] * MIXED + ["changing"] * CHANGING * changing
    for number, kind in enumerate(kinds):
        before = [number % num_cuts] * num_devices if kind == "common" else mixed()
        after = mixed() if kind == "changing" else before
        yield Course(kind, first_seed + number, (before, after), int(rng.integers(3, 9)))


def trained(learner: ScenarioLearner, course: Course, target: float) -> dict[str, Any]:
    """Return a run: its course, the rounds that it took, and each device's samples."""
    everyone = np.ones(len(course.cuts[0]), dtype=np.bool_)
    learner.reset(course.seed)
    rounds, accuracy = 0, 0.0
    while accuracy < target:
        if rounds == MOST_ROUNDS:
            raise RuntimeError(f"{course} has not reached {target} in {MOST_ROUNDS} rounds: no setting to fit.")
        accuracy = learner.run_round(course.cut(rounds), everyone).accuracy
        rounds += 1
    samples = learner.training.label_histogram().sum(axis=1).tolist()
    return {**course._asdict(), "rounds": rounds, "samples": samples}


def measure() -> dict[str, Any]:
    """Train all runs of all settings."""
    found = []
    for fields in SETTINGS:
        scenario = BASE.replace(mode="accuracy", **fields)
        assert scenario.target_accuracy is not None
        learner = ScenarioLearner(scenario, torch_device="cpu")
        size = (scenario.num_devices, learner.profile.num_cuts)
        runs = {
            part: [
                trained(learner, each, scenario.target_accuracy) for each in courses(*size, seed, changing=more)
            ]
            for part, seed, more in (("fit", FIT_SEED, False), ("check", CHECK_SEED, True))
        }
        found.append({"scenario": circumstances(scenario), **runs})
        print(fields, "done", flush=True)
    return {"command": COMMAND, "versions": versions(), "measured": found}


def terms_of(cut: NDArray[np.intp], num_cuts: int, weight: NDArray[np.float64] | None = None) -> Array:
    """Return for (M, K) cuts the terms that rounds are linear in, (M, C).

    Parameters
    ----------
    cut : (M, K) integer array
        Of each run, the cuts of all devices.
    num_cuts : int
        C.
    weight : (M, K) array, optional
        How much each device counts; all alike, if left out.

    Returns
    -------
    (M, C) array
        1, then the share of devices that hold each block after the first.
    """
    weight = np.ones(cut.shape) if weight is None else weight
    share = weight / weight.sum(axis=1, keepdims=True)
    held = [(share * (cut >= block)).sum(axis=1) for block in range(1, num_cuts)]
    return np.stack([np.ones(len(cut)), *held], axis=1)


def fitted(terms: Array, rounds: Array) -> Array:
    """Fit rounds (M,) to their terms (M, C) by weighted least squares with no constant below 0, and return these.

    The scatter of rounds grows with their number, so that residuals are relative: each row is divided by what the
    fit before predicts.
    """
    predicted = np.full(len(rounds), rounds.mean())
    for _ in range(REWEIGHTINGS):
        constants: Array = nnls(terms / predicted[:, None], rounds / predicted)[0]
        predicted = terms @ constants
    return constants


def predicted_rounds(surrogate: Surrogate, run: dict[str, Any]) -> float:
    """Return how many rounds the surrogate expects of a run."""
    before, after = surrogate.rounds(np.array(run["cuts"]))
    left = 1.0 - run["change"] / before
    crossing = before if left <= 0.0 else run["change"] + left * after
    return float(crossing + LAST_ROUND)


def checked(surrogate: Surrogate, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return by how much runs that nothing was fitted to differ from what is predicted of them."""
    told: dict[str, Any] = {}
    for kind in dict.fromkeys(run["kind"] for run in runs):
        own = [run for run in runs if run["kind"] == kind]
        ratio = np.array([run["rounds"] / predicted_rounds(surrogate, run) for run in own])
        told[kind] = {"ratio": MEAN.interval(ratio), "spread": float(np.log(ratio).std(ddof=1))}
    return told


def fit_of(each: dict[str, Any]) -> dict[str, Any]:
    """Return the constants of one setting, with what the check came to.

    ``off`` tells how far single runs with random cuts are from the fit (root mean square of the logarithm): where
    devices count alike, where they count by their samples, and where cuts are taken not to matter.
    """
    num_cuts = catalogue.load(each["scenario"]["network"]).num_cuts
    parts = [each["fit"], [run for run in each["check"] if run["kind"] == "mixed"]]
    cut = [np.array([run["cuts"][0] for run in runs]) for runs in parts]
    rounds = [np.array([run["rounds"] for run in runs]) - LAST_ROUND for runs in parts]
    samples = [np.array([run["samples"] for run in runs], dtype=np.float64) for runs in parts]
    alike = [terms_of(own, num_cuts) for own in cut]
    by_samples = [terms_of(own, num_cuts, weight) for own, weight in zip(cut, samples, strict=True)]
    nothing = [terms[:, :1] for terms in alike]
    first, *more = map(float, fitted(alike[0], rounds[0]))
    logarithms = np.log(rounds[0] / (alike[0] @ np.array([first, *more])))
    off = {}
    for name, terms in (("alike", alike), ("by samples", by_samples), ("cuts left out", nothing)):
        predicted = terms[1] @ fitted(terms[0], rounds[0])
        off[name] = float(np.sqrt(np.mean(np.log(rounds[1] / predicted) ** 2)))
    constants = {
        "least_rounds": first,
        "rounds_per_block": [0.0, *more],
        "spread": float(logarithms.std(ddof=num_cuts)),
    }
    told = {"check": checked(Surrogate.of(constants), each["check"]), "off": off}
    return {"scenario": each["scenario"], **constants, "runs": len(parts[0]), **told}


def fit(found: dict[str, Any]) -> dict[str, Any]:
    """Return the constants of all settings, with what the checks came to."""
    return {
        "source": found["command"],
        "versions": found["versions"],
        "measured": [fit_of(each) for each in found["measured"]],
    }


def main() -> None:
    """Measure, unless stored runs are to be used, and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="train nothing, fit to the stored runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.fit:
        write_json(DATA, measure())
    write_json(STORED, fit(json.loads(DATA.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
