"""Means over episodes with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from sfl_env.arrays import Array
from sfl_lab.compare.rounds.rollout import Rollout

CONFIDENCE = 0.95
RESAMPLES = 9999
BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Interval:
    """A mean over episodes and its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_interval(values: Array) -> Interval:
    """Return the mean of one number per episode, with the percentile bootstrap's 95 % interval.

    Episodes, not rounds, are drawn anew, since the rounds of an episode share their devices.

    Parameters
    ----------
    values : (N,) array
        One number for each of at least 2 episodes.

    Examples
    --------
    >>> mean_interval(np.array([1.0, 1.0, 1.0]))
    Interval(mean=1.0, low=1.0, high=1.0)
    """
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high))


@dataclass(frozen=True)
class Score:
    """How one policy did."""

    policy: str
    kind: str  # "baseline" or "agent"
    ratio: Interval  # length of a round over the reference
    ratio_95: float  # that ratio's 95th percentile over all rounds
    latency_s: Interval  # of a round
    total_s: Interval  # of an episode
    episode_return: Interval
    energy_j: Interval  # of all devices in an episode
    rounds: Interval  # of an episode
    active_devices: Interval  # in a round


def score(policy: str, kind: str, rollout: Rollout) -> Score:
    """Summarise a policy's rollout."""
    ratio = rollout.ratio
    return Score(
        policy=policy,
        kind=kind,
        ratio=mean_interval(rollout.mean(ratio)),
        ratio_95=float(np.nanpercentile(ratio, 95.0)),
        latency_s=mean_interval(rollout.mean(rollout.latency_s)),
        total_s=mean_interval(rollout.total(rollout.latency_s)),
        episode_return=mean_interval(rollout.total(rollout.reward)),
        energy_j=mean_interval(rollout.total(rollout.energy_j)),
        rounds=mean_interval(rollout.rounds.astype(np.float64)),
        active_devices=mean_interval(rollout.mean(rollout.active_devices)),
    )
