"""What a scheme's learning curves come to: time to the target accuracy, with intervals over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sfl_lab.compare.contest import Kind
from sfl_lab.compare.curves.curve import Curve, Reached, reach
from sfl_lab.compare.intervals import Interval, mean_interval


@dataclass(frozen=True)
class LearningScore:
    """How one scheme did.

    What seeds that never reach the target would have taken is not known. Their number is ``seeds - reached``, the
    intervals are over the others, and ``rounds_at_least`` and ``time_at_least_s`` count them with the rounds and
    the time for which they were followed, bounds below the means of all.
    """

    scheme: str
    kind: Kind
    seeds: int
    reached: int
    rounds: Interval | None  # to the target, over the seeds that reach it; None for less than 2
    rounds_at_least: float
    time_s: Interval | None  # likewise; None for centralised training, which has no time axis
    time_at_least_s: float | None
    time_ratio: Interval | None  # over the first scheme's on the same seed, if both reach it on every seed
    latency_s: Interval | None  # of a round
    final_accuracy: Interval


def score(
    scheme: str, kind: Kind, curves: Sequence[Curve], target: float, first: Sequence[Curve] | None = None
) -> LearningScore:
    """Summarise a scheme's curves.

    Parameters
    ----------
    scheme, kind
        As in :class:`LearningScore`.
    curves : sequence of Curve
        One for each of at least 2 seeds.
    target : float
        The accuracy to reach.
    first : sequence of Curve, optional
        The first scheme's curves from the same seeds, to compare times with.
    """
    found = [reach(curve, target) for curve in curves]
    reached = [at for at in found if at is not None]
    # Of seeds that never reach the target it is known that they take longer than they were followed.
    known = [
        at or Reached(curve.rounds, float(curve.elapsed_s[-1])) for at, curve in zip(found, curves, strict=True)
    ]
    timed = kind != "reference"
    theirs = [reach(curve, target) for curve in first or curves]
    pairs = [(at.time_s, other.time_s) for at, other in zip(found, theirs, strict=True) if at and other]
    # Over some of the seeds only, the ratio would be that of the easier ones.
    all_paired = timed and len(pairs) == len(curves) and all(first_s > 0.0 for _, first_s in pairs)
    return LearningScore(
        scheme=scheme,
        kind=kind,
        seeds=len(curves),
        reached=len(reached),
        rounds=_interval([at.rounds for at in reached]),
        rounds_at_least=float(np.mean([at.rounds for at in known])),
        time_s=_interval([at.time_s for at in reached]) if timed else None,
        time_at_least_s=float(np.mean([at.time_s for at in known])) if timed else None,
        time_ratio=_interval([ours_s / first_s for ours_s, first_s in pairs]) if all_paired else None,
        latency_s=_interval([float(curve.latency_s[1:].mean()) for curve in curves]) if timed else None,
        final_accuracy=mean_interval(np.array([curve.accuracy[-1] for curve in curves])),
    )


def _interval(values: Sequence[float]) -> Interval | None:
    return mean_interval(np.array(values, dtype=np.float64)) if len(values) > 1 else None
