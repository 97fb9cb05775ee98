"""What a scheme's learning curves come to: time to the target accuracy, with intervals over seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sfl_env.arrays import Array
from sfl_lab.compare.curves.curve import Curve, Reached, reach
from sfl_lab.compare.intervals import GEOMETRIC_MEAN, MEAN, MEDIAN, Estimator, Interval
from sfl_lab.compare.lineup import Kind, Row

T = TypeVar("T")


@dataclass(frozen=True)
class LearningScore:
    """How one scheme did.

    Intervals are over held-out seeds; only that of the ratio of times of an agent with several training seeds is
    over these. Its other figures are, for each held-out seed, means over its training seeds.

    What trainings of the network that never reach the target would have taken is not known. Their number is
    ``seeds - reached``, the intervals are over held-out seeds without such, and ``rounds_at_least`` and
    ``time_at_least_s`` count them with the rounds and the time for which they were followed, bounds below the
    figures of all.
    """

    scheme: str
    kind: Kind
    about: str  # what it does, or how it was trained
    training_seeds: tuple[int, ...]  # of an agent
    ratio_unit: str  # what the ratio's interval is over: "episode", that is a held-out seed, or "training seed"
    seeds: int  # held-out seeds, times the agent's training seeds
    reached: int
    rounds: Interval | None  # to the target, over the seeds that reach it, mean; None for less than 2
    rounds_at_least: float
    time_s: Interval | None  # likewise, median; None for centralised training, which has no time axis
    time_at_least_s: float | None
    time_ratio: Interval | None  # geometric mean over the first scheme's on the same seed, if both always reach it
    latency_s: Interval | None  # of a round, median
    final_accuracy: Interval  # mean


def score(
    row: Row, curves: Sequence[Sequence[Curve]], target: float, first: Sequence[Curve] | None = None
) -> LearningScore:
    """Summarise a scheme's curves.

    Parameters
    ----------
    row : Row
        The scheme.
    curves : sequence of sequences of Curve
        For each training seed, or once where nothing is trained, one for each of at least 2 held-out seeds.
    target : float
        The accuracy to reach.
    first : sequence of Curve, optional
        The first scheme's curves from the same held-out seeds, to compare times with.
    """
    found = [[reach(curve, target) for curve in group] for group in curves]
    # By held-out seeds from here on, each with all training seeds.
    reached = [[at for at in of_seed if at] for of_seed in zip(*found, strict=True) if all(of_seed)]
    known = [[_known(curve, target) for curve in of_seed] for of_seed in zip(*curves, strict=True)]
    together = list(zip(*curves, strict=True))
    timed = row.kind != "reference"
    return LearningScore(
        scheme=row.label,
        kind=row.kind,
        about=row.about,
        training_seeds=row.training_seeds,
        ratio_unit=row.unit,
        seeds=sum(map(len, curves)),
        reached=sum(at is not None for group in found for at in group),
        rounds=_interval(MEAN, reached, lambda at: at.rounds),
        rounds_at_least=_centre(MEAN, known, lambda at: at.rounds),
        time_s=_interval(MEDIAN, reached, lambda at: at.time_s) if timed else None,
        time_at_least_s=_centre(MEDIAN, known, lambda at: at.time_s) if timed else None,
        time_ratio=_time_ratio(found, first or curves[0], target) if timed else None,
        latency_s=_interval(MEDIAN, together, lambda curve: curve.latency_s[1:].mean()) if timed else None,
        final_accuracy=MEAN.interval(_means(together, lambda curve: curve.accuracy[-1])).within(0.0, 1.0),
    )


def _known(curve: Curve, target: float) -> Reached:
    """Return when the target was reached, or how far the curve was followed without."""
    return reach(curve, target) or Reached(curve.rounds, float(curve.elapsed_s[-1]))


def _time_ratio(
    found: Sequence[Sequence[Reached | None]], first: Sequence[Curve], target: float
) -> Interval | None:
    """Return the ratio of times, paired by held-out seeds, where all reach the target after the start."""
    theirs = [reach(curve, target) for curve in first]
    pairs = [list(zip(group, theirs, strict=True)) for group in found]
    # Over some of the seeds only, the ratio would be that of the easier ones.
    if not all(at and other and at.time_s > 0.0 and other.time_s > 0.0 for group in pairs for at, other in group):
        return None
    return GEOMETRIC_MEAN.over(
        [np.array([at.time_s / other.time_s for at, other in group if at and other]) for group in pairs]
    )


def _means(groups: Sequence[Sequence[T]], figure: Callable[[T], float]) -> Array:
    """Return for each held-out seed the mean over training seeds."""
    return np.array([np.mean([figure(entry) for entry in of_seed]) for of_seed in groups], dtype=np.float64)


def _interval(
    estimator: Estimator, groups: Sequence[Sequence[T]], figure: Callable[[T], float]
) -> Interval | None:
    """Return the interval over held-out seeds where there are enough for one."""
    return estimator.interval(_means(groups, figure)) if len(groups) > 1 else None


def _centre(estimator: Estimator, groups: Sequence[Sequence[T]], figure: Callable[[T], float]) -> float:
    return estimator.centre(_means(groups, figure))
