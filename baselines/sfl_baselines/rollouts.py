"""The one loop in which a policy plays episodes: for training's evaluations and for every comparison."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.policies import Policy
from sfl_env.episodes import Episodes, Transition, action_masks
from sfl_env.learning.protocol import Progress
from sfl_env.rounds.conditions import Conditions


class PlayedRound(NamedTuple):
    """One round of N episodes: what was there before it, and what came of it."""

    running: NDArray[np.bool_]  # (N,) whether the round belongs to its episode, which had not ended before
    true: Conditions  # (N, K) at the round's start
    learning: Progress | None  # (N,) at the round's start; None where no network is trained
    done: Transition


def play(policy: Policy, episodes: Episodes, seed: int) -> Iterator[PlayedRound]:
    """Let a policy act in N episodes, round after round and without end; take as many rounds as are wanted.

    Random numbers are drawn from one generator in an order that no action influences, and an episode that has
    ended is played on. So with equal seeds every policy meets the same devices and starts from the same channels,
    also where batteries end episodes early. From then on channels and free speeds move by as long as the policy's
    rounds last: with the same random numbers, but further under a slower one.

    Parameters
    ----------
    policy : Policy
        Acts on observations (N, K, F), deterministically. One that remembers rounds is given the state that it
        returned, and one whose ``predict`` takes ``action_masks``, as sb3-contrib's ``MaskablePPO``, gets them.
    episodes : Episodes
        Of a single or a batched environment, which they are taken from: what that knows of its own episode, it
        does not know any more.
    seed : int
        Of the generator, as of the environment's ``reset``.

    Examples
    --------
    >>> import itertools, gymnasium as gym, sfl_env, sfl_baselines
    >>> envs = gym.make_vec("SFL-v0", num_envs=2)
    >>> policy = sfl_baselines.make("exact", envs)
    >>> rounds = list(itertools.islice(play(policy, envs.unwrapped.episodes, seed=0), 3))
    >>> rounds[2].done.infos["latency_s"].shape
    (2,)
    """
    rng = np.random.default_rng(seed)
    observation = episodes.reset(rng)
    running = np.ones(episodes.n, dtype=np.bool_)
    start, state = running, None
    masks_actions = "action_masks" in inspect.signature(policy.predict).parameters
    while True:
        true, learning = episodes.now.true, episodes.now.learning
        masks: dict[str, Any] = {"action_masks": action_masks(episodes)} if masks_actions else {}
        action, state = policy.predict(observation, state=state, episode_start=start, deterministic=True, **masks)
        done = episodes.step(action, rng)
        yield PlayedRound(running, true, learning, done)
        observation = done.observation
        start = np.zeros_like(running)
        running = running & ~(done.terminated | done.truncated)


def play_to_the_end(policy: Policy, episodes: Episodes, seed: int) -> Iterator[PlayedRound]:
    """Let a policy act as :func:`play` does, until the last of the episodes has ended.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env, sfl_baselines
    >>> envs = gym.make_vec("SFL-v0", num_envs=2, max_rounds=5)
    >>> policy = sfl_baselines.make("exact", envs)
    >>> sum(1 for _ in play_to_the_end(policy, envs.unwrapped.episodes, seed=0))
    5
    """
    for played in play(policy, episodes, seed):
        yield played
        if not (played.running & ~(played.done.terminated | played.done.truncated)).any():
            return
