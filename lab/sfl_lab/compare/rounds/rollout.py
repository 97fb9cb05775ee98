"""One policy on the held-out episodes, every round beside the best that was possible in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_baselines import Policy
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_lab.compare.stored import StoredArrays
from sfl_lab.compare.yardstick import Reference

IMPOSSIBLE_MARGIN = 1e-6
"""A policy that is better than the reference by more than this is no discovery but a bug."""


class ImpossibleResultError(RuntimeError):
    """An evaluation shows what cannot be: a bug in the evaluation or in the environment."""


@dataclass(frozen=True)
class Rollout(StoredArrays):
    """R rounds of N episodes under one policy; entries of rounds after an episode's end mean nothing."""

    running: NDArray[np.bool_]  # (R, N) whether the round belongs to the episode
    latency_s: Array  # (R, N)
    reference_s: Array  # (R, N) the optimum, or a bound below it
    reward: Array  # (R, N)
    energy_j: Array  # (R, N) of all devices
    active_devices: NDArray[np.int64]  # (R, N) at the start of the round

    @property
    def ratio(self) -> Array:
        """(R, N): length of the round over the reference; NaN after an episode's end."""
        ratio: Array = np.full(self.latency_s.shape, np.nan)
        return np.divide(self.latency_s, self.reference_s, out=ratio, where=self.running)

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


def roll_out(
    policy: Policy, episodes: Episodes, reference: Reference, seed: int, on_round: Callable[[], object]
) -> Rollout:
    """Let a policy act in all episodes until the last one has ended.

    Channels, devices and their free speed are drawn from one generator in an order that no action
    influences, and an episode that has ended is played on without being counted. So with equal seeds every
    policy meets the same conditions, also where batteries end episodes early.

    Parameters
    ----------
    policy : Policy
        Acts on all episodes at once, deterministically.
    episodes : Episodes
        The episodes of a batched environment.
    reference : callable
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
    rng = np.random.default_rng(seed)
    observation = episodes.reset(rng)
    running = np.ones(episodes.n, dtype=np.bool_)
    start, state = running, None
    rows = []
    while running.any():
        reference_s = reference(episodes)
        active = episodes.now.true.takes_part
        everyone = np.full(episodes.n, episodes.scenario.num_devices)
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True)
        done = episodes.step(action, rng)
        rows.append(
            (
                running,
                done.infos["latency_s"],
                reference_s,
                done.reward,
                done.infos["energy_j"].sum(axis=-1),
                everyone if active is None else active.sum(axis=-1),
            )
        )
        observation = done.observation
        start = np.zeros_like(running)
        running = running & ~(done.terminated | done.truncated)
        on_round()
    rollout = Rollout(*(np.stack(column) for column in zip(*rows, strict=True)))
    _check_possible(rollout)
    return rollout


def _check_possible(rollout: Rollout) -> None:
    ratio = rollout.ratio
    lowest = np.nanmin(ratio)
    if lowest < 1.0 - IMPOSSIBLE_MARGIN:
        at, episode = np.unravel_index(np.nanargmin(ratio), ratio.shape)
        raise ImpossibleResultError(
            f"Round {at} of episode {episode} took {rollout.latency_s[at, episode]:.9g} s, which is "
            f"{lowest:.9f} of the {rollout.reference_s[at, episode]:.9g} s that no decision can beat. Nothing is "
            "better than the optimum: the evaluation or the environment has a bug."
        )


def check_paired(rollouts: dict[str, Rollout]) -> None:
    """Raise unless all policies have met the same conditions; for systems that no decision changes.

    Raises
    ------
    ImpossibleResultError
        If the reference of some round differs between two policies.
    """
    first, *others = rollouts
    for other in others:
        if not np.array_equal(rollouts[first].reference_s, rollouts[other].reference_s):
            raise ImpossibleResultError(
                f"Policies {first!r} and {other!r} met different channels or devices with the same seed: the "
                "comparison would not be paired. The environment draws depending on actions."
            )
