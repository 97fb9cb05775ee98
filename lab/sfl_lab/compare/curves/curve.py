"""How far one scheme's training comes, round by round, from one seed."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines import Policy
from sfl_env import SFLEnv
from sfl_env.arrays import Array
from sfl_env.rounds.conditions import Conditions
from sfl_lab.compare.rounds.rollout import ImpossibleResultError
from sfl_lab.compare.stored import StoredArrays


@dataclass(frozen=True)
class Curve(StoredArrays):
    """The global model before the first and after each of R rounds."""

    accuracy: Array  # (R + 1,) on the test set
    loss: Array  # (R + 1,)
    latency_s: Array  # (R + 1,) of the round; 0 for the start
    conditions: NDArray[np.int64]  # (R,) checksum of channels and devices at the start of each round

    @property
    def elapsed_s(self) -> Array:
        """(R + 1,): simulated time since the start."""
        return np.cumsum(self.latency_s)

    @property
    def rounds(self) -> int:
        """R."""
        return len(self.latency_s) - 1


class Reached(NamedTuple):
    """When the target accuracy was first reached."""

    rounds: int
    time_s: float


def follow(env: SFLEnv, policy: Policy, seed: int, on_round: Callable[[], object]) -> Curve:
    """Train for all rounds of an episode, past the target accuracy, since the whole curve is wanted.

    Parameters
    ----------
    env : SFLEnv
        In accuracy mode.
    policy : Policy
        Acts deterministically.
    seed : int
        Of the episode, as in ``env.reset(seed=seed)``.
    on_round : callable
        Called after every round, for a progress bar.
    """
    observation, info = env.reset(seed=seed)
    model = [(info["accuracy"], info["loss"], 0.0)]
    conditions = []
    start, state = np.ones(1, dtype=np.bool_), None
    for _ in range(env.scenario.max_rounds):
        conditions.append(_checksum(env.episodes.now.true))
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
        observation, _, _, _, info = env.step(action)
        model.append((info["accuracy"], info["loss"], info["latency_s"]))
        start = np.zeros_like(start)
        on_round()
    accuracy, loss, latency_s = np.array(model).T
    return Curve(accuracy, loss, latency_s, np.array(conditions))


def _checksum(now: Conditions) -> int:
    return zlib.crc32(np.stack([now.uplink_snr_hz, now.compute_flops_per_s, now.samples]).tobytes())


def reach(curve: Curve, target: float) -> Reached | None:
    """Return when a curve first comes to the target accuracy; None if it never does.

    Examples
    --------
    >>> rising = Curve(
    ...     accuracy=np.array([0.1, 0.6, 0.9]), loss=np.zeros(3), latency_s=np.array([0.0, 2.0, 3.0]),
    ...     conditions=np.zeros(2, dtype=int),
    ... )
    >>> reach(rising, 0.8)
    Reached(rounds=2, time_s=5.0)
    >>> reach(rising, 0.95) is None
    True
    """
    there = curve.accuracy >= target
    if not there.any():
        return None
    rounds = int(there.argmax())
    return Reached(rounds, float(curve.elapsed_s[rounds]))


def check_paired(curves: Mapping[str, Curve]) -> None:
    """Raise unless all schemes of one seed started alike and met the same channels and devices.

    Raises
    ------
    ImpossibleResultError
        If they did not.
    """
    first, *others = curves
    for other in others:
        ours, theirs = curves[first], curves[other]
        if not np.array_equal(ours.conditions, theirs.conditions):
            raise ImpossibleResultError(
                f"{first!r} and {other!r} met different channels or devices with the same seed: the comparison "
                "would not be paired. The environment draws depending on actions."
            )
        if (ours.accuracy[0], ours.loss[0]) != (theirs.accuracy[0], theirs.loss[0]):
            raise ImpossibleResultError(
                f"{first!r} and {other!r} started from different weights with the same seed: the comparison would "
                "not be paired."
            )
