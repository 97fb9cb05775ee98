"""One policy on the held-out episodes, every round beside the best that was possible in it."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from sfl_baselines import Policy
from sfl_baselines.rollouts import PlayedRound, play_to_the_end
from sfl_env import Scenario
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_lab.compare.records import ImpossibleResultError, Record, checksum
from sfl_lab.compare.rounds.yardstick import Yardstick, samples_in_time

_IMPOSSIBLE_MARGIN = 1e-6
"""A policy that is better than the yardstick by more than this is no discovery but a bug."""


@dataclass(frozen=True)
class Rollout(Record):
    """R rounds of N episodes under one policy; entries of rounds after an episode's end mean nothing."""

    running: NDArray[np.bool_]  # (R, N) whether the round belongs to the episode
    latency_s: Array  # (R, N)
    yardstick: Array  # (R, N) the best or a bound on it: seconds or, with a deadline, samples in time
    over_yardstick: Array  # (R, N) the round's seconds, or samples in time, over that
    reward: Array  # (R, N)
    energy_j: Array  # (R, N) of all devices
    active_devices: NDArray[np.int64]  # (R, N) at the start of the round
    in_average: NDArray[np.int64]  # (R, N) devices that are reached, and in time for the deadline
    samples: Array  # (R, N) of all devices
    samples_in_time: Array  # (R, N) of those in the average
    at_target: NDArray[np.bool_]  # (R, N) whether the target accuracy is reached with the round
    conditions: NDArray[np.int64]  # (R,)

    @property
    def ratio(self) -> Array:
        """(R, N): the round's length, or its samples in time, over the yardstick; NaN after an episode's end."""
        return np.where(self.running, self.over_yardstick, np.nan)

    @property
    def reached(self) -> NDArray[np.bool_]:
        """(N,): whether each episode got to the target accuracy."""
        return np.asarray((self.at_target & self.running).any(axis=0), dtype=np.bool_)

    @property
    def rounds(self) -> NDArray[np.int64]:
        """(N,): rounds of each episode."""
        return np.asarray(self.running.sum(axis=0), dtype=np.int64)

    def total(self, values: Array) -> Array:
        """(N,): sum of an (R, N) array over each episode's rounds."""
        return np.asarray(values.sum(axis=0, where=self.running), dtype=np.float64)

    def mean(self, values: Array | NDArray[np.int64]) -> Array:
        """(N,): mean of an (R, N) array over each episode's rounds."""
        return np.asarray(values.mean(axis=0, where=self.running), dtype=np.float64)

    def fits(self, scenario: Scenario, episodes: int) -> bool:
        """Whether the arrays can be those of so many episodes."""
        arrays = [getattr(self, item.name) for item in fields(self)]
        rounds = len(self.running) if self.running.ndim else 0
        # Empty batteries and a target accuracy end episodes early.
        may_end = scenario.battery_share is not None or scenario.learning_surrogate
        fewest = 1 if may_end else scenario.max_rounds
        return (
            fewest <= rounds <= scenario.max_rounds
            and self.conditions.shape == (rounds,)
            and all(values.shape == (rounds, episodes) for values in arrays[:-1])
            and all(values.dtype.kind in "fiub" for values in arrays)
            and self.running.dtype == self.at_target.dtype == np.bool_
            and bool(self.running[0].all())
            and all(bool(np.isfinite(values).all()) for values in arrays)
        )


def roll_out(
    policy: Policy, episodes: Episodes, yardstick: Yardstick, seed: int, on_round: Callable[[], object]
) -> Rollout:
    """Let a policy act in all episodes until the last one has ended.

    Parameters
    ----------
    policy : Policy
        Acts on all episodes at once, deterministically.
    episodes : Episodes
        The episodes of a batched environment.
    yardstick : Yardstick
        What each round is compared to.
    seed : int
        Of the generator.
    on_round : callable
        Called after every round, for a progress bar.

    Raises
    ------
    ImpossibleResultError
        If a round is better than what is proven to be the best.
    """
    rows = []
    for played in play_to_the_end(policy, episodes, seed):
        rows.append((*_figures(played, yardstick, episodes.reached), checksum(played.true)))
        on_round()
    rollout = Rollout(*(np.stack(column) for column in zip(*rows, strict=True)))
    if yardstick.bounds:
        _check_possible(rollout, yardstick)
    return rollout


def _figures(
    played: PlayedRound, yardstick: Yardstick, reached: NDArray[np.bool_]
) -> tuple[NDArray[np.generic], ...]:
    """Return what is kept of a round, each (N,), in a rollout's order."""
    infos, active = played.done.infos, played.true.takes_part
    everyone = np.full(len(played.running), infos["energy_j"].shape[-1])
    best = yardstick.best(played.true)
    return (
        played.running,
        infos["latency_s"],
        best,
        yardstick.ratio(played, best),
        played.done.reward,
        infos["energy_j"].sum(axis=-1),
        everyone if active is None else active.sum(axis=-1),
        infos["takes_part"].sum(axis=-1),
        played.true.samples.sum(axis=-1),
        samples_in_time(played),
        reached,
    )


def _check_possible(rollout: Rollout, yardstick: Yardstick) -> None:
    # With a deadline more is better, and the worst that a ratio tells of is beyond 1 instead of below.
    beyond = rollout.ratio - 1.0 if yardstick.of_samples else 1.0 - rollout.ratio
    if np.nanmax(beyond) <= _IMPOSSIBLE_MARGIN:
        return
    at = np.unravel_index(np.nanargmax(beyond), beyond.shape)
    best, ratio = rollout.yardstick[at], rollout.ratio[at]
    if yardstick.of_samples:
        told = (
            f"had {rollout.samples_in_time[at]:.9g} samples in time, which is {ratio:.9f} of the {best:.9g} that"
        )
    else:
        told = f"took {rollout.latency_s[at]:.9g} s, which is {ratio:.9f} of the {best:.9g} s that"
    raise ImpossibleResultError(
        f"Round {at[0]} of episode {at[1]} {told} no decision can beat. Nothing is better than the optimum: the "
        "evaluation or the environment has a bug."
    )
