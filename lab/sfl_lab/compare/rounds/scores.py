"""What a policy's rounds come to, with intervals over episodes."""

from dataclasses import dataclass

import numpy as np

from sfl_lab.compare.contest import Kind
from sfl_lab.compare.intervals import Interval, mean_interval
from sfl_lab.compare.rounds.rollout import Rollout


@dataclass(frozen=True)
class Score:
    """How one policy did."""

    policy: str
    kind: Kind
    ratio: Interval  # length of a round over the yardstick
    ratio_95: float  # that ratio's 95th percentile over all rounds
    latency_s: Interval  # of a round
    total_s: Interval  # of an episode
    episode_return: Interval
    energy_j: Interval  # of all devices in an episode
    rounds: Interval  # of an episode
    active_devices: Interval  # in a round


def score(policy: str, kind: Kind, rollout: Rollout) -> Score:
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
