"""How far one scheme's training comes, round by round, from one seed."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines import Policy
from sfl_baselines.rollouts import play
from sfl_env import Scenario
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_lab.compare.records import Record, checksum


@dataclass(frozen=True)
class Curve(Record):
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

    def fits(self, scenario: Scenario, episodes: int) -> bool:
        """Whether the arrays can be those of one of the episodes."""
        rounds = scenario.max_rounds
        model = (self.accuracy, self.loss, self.latency_s)
        return (
            self.conditions.shape == (rounds,)
            and self.conditions.dtype.kind in "iu"
            and all(values.shape == (rounds + 1,) and values.dtype.kind == "f" for values in model)
            and all(bool(np.isfinite(values).all()) for values in model)
        )

    def unlike(self, other: Record) -> str | None:
        """Say in which way two schemes were not treated alike, if they were not."""
        assert isinstance(other, Curve)
        if (self.accuracy[0], self.loss[0]) != (other.accuracy[0], other.loss[0]):
            return "started from different weights"
        return super().unlike(other)


class Reached(NamedTuple):
    """When the target accuracy was first reached."""

    rounds: int
    time_s: float


def follow(policy: Policy, episodes: Episodes, seed: int, on_round: Callable[[], object]) -> Curve:
    """Train for all rounds of an episode, past the target accuracy, since the whole curve is wanted.

    Parameters
    ----------
    policy : Policy
        Acts deterministically.
    episodes : Episodes
        The one episode of an environment in accuracy mode.
    seed : int
        Of the episode, as in ``env.reset(seed=seed)``.
    on_round : callable
        Called after every round, for a progress bar.
    """
    model: list[tuple[float, float, float]] = []
    conditions = []
    for played in islice(play(policy, episodes, seed), episodes.scenario.max_rounds):
        infos = played.done.infos
        if not model:
            assert played.learning is not None
            model.append((played.learning.accuracy[0], played.learning.loss[0], 0.0))
        model.append((infos["accuracy"][0], infos["loss"][0], infos["latency_s"][0]))
        conditions.append(checksum(played.true))
        on_round()
    accuracy, loss, latency_s = np.array(model).T
    return Curve(accuracy, loss, latency_s, np.array(conditions))


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
