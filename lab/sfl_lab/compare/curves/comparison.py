"""Every scheme trained from the same seeds, and what comes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfl_env import Scenario
from sfl_env.storage import runs
from sfl_env.storage.runs import Run
from sfl_lab.compare.curves import figure, tables
from sfl_lab.compare.curves.curve import Curve, check_paired, follow
from sfl_lab.compare.curves.schemes import LearningComparison, Scheme
from sfl_lab.compare.curves.scores import LearningScore, score
from sfl_lab.compare.statistics import CONFIDENCE

CURVES = "curves"
"""Folder of the curves that are done, which an interrupted benchmark goes on from."""


@dataclass(frozen=True)
class LearningResults:
    """What came out, with the scheme that is first at the target first in ``scores``."""

    comparison: LearningComparison
    scenario: Scenario
    target: float
    curves: Mapping[str, tuple[Curve, ...]]  # scheme to its curves, one for each seed
    scores: tuple[LearningScore, ...]

    @property
    def first(self) -> str:
        """The scheme that times are compared with."""
        return next(iter(self.curves))

    @property
    def title(self) -> str:
        """Say what was run."""
        comparison = self.comparison
        said = {"mode", "max_rounds"}
        fields = "".join(f", {name}={value}" for name, value in comparison.fields.items() if name not in said)
        rounds = f"{self.scenario.max_rounds} rounds"
        return f"{comparison.env_id}{fields}: {comparison.episodes} held-out seeds, {rounds} each"


def compare(
    comparison: LearningComparison,
    lineup: Sequence[Scheme],
    *,
    store: Path | None = None,
    on_policy: Callable[[str, int], object] = lambda label, number: None,
    on_round: Callable[[], object] = lambda: None,
) -> LearningResults:
    """Train under every scheme from the same seeds.

    Parameters
    ----------
    comparison : LearningComparison
        What to compare.
    lineup : sequence of Scheme
        What :func:`.schemes.prepare` made of it.
    store : pathlib.Path, optional
        Folder for the curves that are done; what is in it already is not done again.
    on_policy, on_round : callable
        Told of progress: each scheme's name and the number of the curve; and every round.

    Raises
    ------
    ImpossibleResultError
        If schemes started differently or met different conditions with the same seed.
    """
    if store is not None:
        store.mkdir(exist_ok=True)
    curves: dict[str, list[Curve]] = {scheme.label: [] for scheme in lineup}
    for row, seed in enumerate(comparison.seeds):
        for column, scheme in enumerate(lineup):
            on_policy(scheme.label, row * len(lineup) + column)
            done = None if store is None else store / f"{column}-{seed}.npz"
            if done is not None and done.is_file():
                curves[scheme.label].append(Curve.load(done))
                continue
            curve = follow(scheme.env, scheme.policy(), seed, on_round)
            curves[scheme.label].append(curve)
            if done is not None:
                curve.save(done)
        check_paired({label: found[row] for label, found in curves.items()})
    scenario = lineup[0].env.scenario
    target = scenario.target_accuracy
    assert target is not None
    whole = {label: tuple(found) for label, found in curves.items()}
    first = whole[lineup[0].label]
    scores = [score(scheme.label, scheme.kind, whole[scheme.label], target, first) for scheme in lineup]
    # Rounded, so that schemes that are equal but for rounding keep the order in which they were named.
    scores.sort(key=lambda entry: np.inf if entry.time_at_least_s is None else round(entry.time_at_least_s, 6))
    return LearningResults(comparison, scenario, target, whole, tuple(scores))


def write_results(run: Run, results: LearningResults) -> None:
    """Write tables, picture and, last, the summary into a run's folder."""
    comparison = results.comparison
    timeless = [entry.scheme for entry in results.scores if entry.kind == "reference"]
    tables.write_curves(run.file("curves.csv"), results.curves, timeless, comparison.seeds)
    tables.write_times(run.file("time_to_target.csv"), results.curves, timeless, comparison.seeds, results.target)
    figure.write_figure(run.file("curves.png"), results.scores, results.curves, results.target, results.title)
    run.finish(
        {
            "env_id": comparison.env_id,
            "scenario": results.scenario.to_dict(),
            "seeds": comparison.seeds,
            "target_accuracy": results.target,
            "first": results.first,
            "confidence": CONFIDENCE,
            "command": runs.command(),
            "versions": runs.versions(),
            "schemes": results.scores,
        }
    )
