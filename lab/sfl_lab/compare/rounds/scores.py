"""What a policy's rounds come to, with intervals over episodes or over training seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sfl_env.arrays import Array
from sfl_lab.compare.intervals import MEAN, MEDIAN, Interval
from sfl_lab.compare.lineup import Kind, Row
from sfl_lab.compare.rounds.measure import Measure, estimator_of
from sfl_lab.compare.rounds.rollout import Rollout


@dataclass(frozen=True)
class Spread:
    """Where numbers lie, such as the seconds of all rounds."""

    mean: float
    median: float
    percentile_95: float


@dataclass(frozen=True)
class InTime:
    """How much is in time for a deadline."""

    samples_per_s: Interval  # samples in time over seconds, mean of episodes
    samples: float  # part of all samples
    devices: float  # in a round, mean


@dataclass(frozen=True)
class ToTarget:
    """How long episodes take to a target accuracy."""

    seconds: Interval  # mean of episodes; of one that does not get there the seconds that it was followed for
    reached: float  # part of the episodes that get there


@dataclass(frozen=True)
class Score:
    """How one policy did.

    Every episode's ratio is the mean of its rounds' ratios, each to the yardstick of the same round, so ratios and
    their intervals are paired. With a deadline they are of samples in time, and more is better. Intervals are over
    episodes; only that of the ratio of an agent with several training seeds is over these. Its other figures are,
    in each episode, means over its training seeds.
    """

    policy: str
    kind: Kind
    about: str  # what it does, or how it was trained
    training_seeds: tuple[int, ...]  # of an agent
    ratio_unit: str  # what the ratio's interval is over: "episode" or "training seed"
    ratio: Interval  # geometric mean of episodes' ratios of round over yardstick; of samples in time the mean
    ratio_95: float  # a round's ratio: 95th percentile over all rounds
    latency_s: Interval  # median of episodes' mean round
    round_s: Spread  # of all rounds
    total_s: Interval  # median of episodes
    episode_return: Interval  # median
    mean_return: float  # over episodes; what ranks policies where more than the round's length counts
    energy_j: Interval  # of all devices in an episode, median
    rounds: Interval  # of an episode, mean
    active_devices: Interval  # in a round, mean
    in_time: InTime | None = None  # with a deadline
    to_target: ToTarget | None = None  # with a surrogate of learning


def score(row: Row, rollouts: Sequence[Rollout], measure: Measure = "ratio") -> Score:
    """Summarise the rollouts of a policy, one for each training seed if it has such.

    Parameters
    ----------
    row : Row
        The policy.
    rollouts : sequence of Rollout
        Of the same episodes.
    measure : str
        What the scenario's policies are compared by.
    """

    def each(figure: Callable[[Rollout], Array]) -> Array:
        """Return an episode's figure, the mean over training seeds, for each episode."""
        return np.asarray(np.mean([figure(rollout) for rollout in rollouts], axis=0), dtype=np.float64)

    ratio = estimator_of(measure).over([episode_ratio(rollout) for rollout in rollouts])
    return Score(
        policy=row.label,
        kind=row.kind,
        about=row.about,
        training_seeds=row.training_seeds,
        ratio_unit=row.unit,
        ratio=_possible(ratio) if measure == "samples" else ratio,
        ratio_95=float(np.nanpercentile(np.concatenate([rollout.ratio for rollout in rollouts]), 95.0)),
        latency_s=MEDIAN.interval(each(lambda rollout: rollout.mean(rollout.latency_s))),
        round_s=_spread(np.concatenate([rollout.latency_s[rollout.running] for rollout in rollouts])),
        total_s=MEDIAN.interval(each(lambda rollout: rollout.total(rollout.latency_s))),
        episode_return=MEDIAN.interval(each(episode_return)),
        mean_return=float(each(episode_return).mean()),
        energy_j=MEDIAN.interval(each(lambda rollout: rollout.total(rollout.energy_j))),
        rounds=MEAN.interval(each(lambda rollout: rollout.rounds.astype(np.float64))),
        active_devices=MEAN.interval(each(lambda rollout: rollout.mean(rollout.active_devices))),
        in_time=_in_time(rollouts) if measure == "samples" else None,
        to_target=_to_target(rollouts) if measure == "time" else None,
    )


def _possible(part: Interval) -> Interval:
    """Return the interval of a part of what is possible, from 0 to 1 but where another system has more."""
    return part.within(0.0, 1.0 if part.value <= 1.0 else np.inf)


def _in_time(rollouts: Sequence[Rollout]) -> InTime:
    paces = [episode_samples_per_s(rollout) for rollout in rollouts]
    in_time, samples = (
        sum(float(rollout.total(getattr(rollout, name)).sum()) for rollout in rollouts)
        for name in ("samples_in_time", "samples")
    )
    devices = np.mean([rollout.mean(rollout.in_average) for rollout in rollouts])
    return InTime(MEAN.interval(np.mean(paces, axis=0)).within(0.0, np.inf), in_time / samples, float(devices))


def _to_target(rollouts: Sequence[Rollout]) -> ToTarget:
    seconds = np.mean([rollout.total(rollout.latency_s) for rollout in rollouts], axis=0)
    return ToTarget(MEAN.interval(seconds), float(np.mean([rollout.reached for rollout in rollouts])))


def episode_samples_per_s(rollout: Rollout) -> Array:
    """(N,): samples in time of each episode's rounds over their seconds."""
    return rollout.total(rollout.samples_in_time) / rollout.total(rollout.latency_s)


def episode_ratio(rollout: Rollout) -> Array:
    """(N,): for each episode the mean over its rounds of the round's length over the same round's yardstick."""
    return rollout.mean(rollout.ratio)


def episode_return(rollout: Rollout) -> Array:
    """(N,): sum of each episode's rewards."""
    return rollout.total(rollout.reward)


def _spread(values: Array) -> Spread:
    median, percentile_95 = np.percentile(values, [50.0, 95.0])
    return Spread(float(values.mean()), float(median), float(percentile_95))
