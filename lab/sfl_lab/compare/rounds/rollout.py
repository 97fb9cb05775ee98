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
from sfl_lab.compare.rounds.yardstick import Yardstick

_IMPOSSIBLE_MARGIN = 1e-6
"""A policy that is better than the yardstick by more than this is no discovery but a bug."""


@dataclass(frozen=True)
class Rollout(Record):
    """R rounds of N episodes under one policy; entries of rounds after an episode's end mean nothing."""

    running: NDArray[np.bool_]  # (R, N) whether the round belongs to the episode
    latency_s: Array  # (R, N)
    yardstick_s: Array  # (R, N) the optimum, or a bound below it
    reward: Array  # (R, N)
    energy_j: Array  # (R, N) of all devices
    active_devices: NDArray[np.int64]  # (R, N) at the start of the round
    conditions: NDArray[np.int64]  # (R,)

    @property
    def ratio(self) -> Array:
        """(R, N): length of the round over the yardstick; NaN after an episode's end."""
        ratio: Array = np.full(self.latency_s.shape, np.nan)
        return np.divide(self.latency_s, self.yardstick_s, out=ratio, where=self.running)

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
        fewest = scenario.max_rounds if scenario.battery_share is None else 1  # empty batteries end episodes early
        return (
            fewest <= rounds <= scenario.max_rounds
            and self.conditions.shape == (rounds,)
            and all(values.shape == (rounds, episodes) for values in arrays[:-1])
            and all(values.dtype.kind in "fiu" for values in arrays[1:])
            and self.running.dtype == np.bool_
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
        What each round's length is compared to.
    seed : int
        Of the generator.
    on_round : callable
        Called after every round, for a progress bar.

    Raises
    ------
    ImpossibleResultError
        If a round is shorter than what is proven to be the shortest.
    """
    rows = []
    for played in play_to_the_end(policy, episodes, seed):
        rows.append((*_figures(played, yardstick), checksum(played.true)))
        on_round()
    rollout = Rollout(*(np.stack(column) for column in zip(*rows, strict=True)))
    if yardstick.bounds:
        _check_possible(rollout)
    return rollout


def _figures(played: PlayedRound, yardstick: Yardstick) -> tuple[NDArray[np.generic], ...]:
    """Return what is kept of a round, each (N,), in a rollout's order."""
    infos, active = played.done.infos, played.true.takes_part
    everyone = np.full(len(played.running), infos["energy_j"].shape[-1])
    return (
        played.running,
        infos["latency_s"],
        yardstick.least_s(played.true),
        played.done.reward,
        infos["energy_j"].sum(axis=-1),
        everyone if active is None else active.sum(axis=-1),
    )


def _check_possible(rollout: Rollout) -> None:
    ratio = rollout.ratio
    lowest = np.nanmin(ratio)
    if lowest < 1.0 - _IMPOSSIBLE_MARGIN:
        at, episode = np.unravel_index(np.nanargmin(ratio), ratio.shape)
        raise ImpossibleResultError(
            f"Round {at} of episode {episode} took {rollout.latency_s[at, episode]:.9g} s, which is "
            f"{lowest:.9f} of the {rollout.yardstick_s[at, episode]:.9g} s that no decision can beat. Nothing is "
            "better than the optimum: the evaluation or the environment has a bug."
        )
