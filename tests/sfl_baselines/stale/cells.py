"""Cells whose channel is known late, for the tests of their yardsticks."""

from typing import Any

import numpy as np

from sfl_baselines.environments import make_batch
from sfl_baselines.stale.draws import spread_normals
from sfl_baselines.stale.knowledge import Known, known_of, sampled_rounds
from sfl_baselines.stale.sampled import SampledRounds
from sfl_env import Decision
from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.rounds.conditions import Conditions

ID = "SFL-StaleCSI-v0"


def episodes_at(n: int, seed: int = 0, rounds: int = 0, **fields: Any) -> tuple[Episodes, Conditions]:
    """Return n episodes after some rounds, and what their observations tell."""
    episodes = make_batch(ID, n, fields).episodes
    rng = np.random.default_rng(seed)
    observation = episodes.reset(rng)
    for _ in range(rounds):
        observation = episodes.step(equal_actions(episodes), rng).observation
    return episodes, episodes.conditions_of(observation)


def equal_actions(episodes: Episodes) -> Any:
    """Return actions of the first cut and equal shares."""
    shape = (episodes.n, episodes.scenario.num_devices)
    decision = Decision(np.zeros(shape, np.intp), np.full(shape, 1.0 / shape[1]))
    return episodes.action_encoder.encode(decision, episodes.now.observed)


def known(episodes: Episodes, seen: Conditions) -> Known:
    """Return what is known of the present channel."""
    return known_of(episodes, seen)


def sampled(n: int, draws: int, seed: int = 0, **fields: Any) -> tuple[Episodes, Conditions, SampledRounds]:
    """Return n rounds with draws of their channels."""
    episodes, seen = episodes_at(n, seed, **fields)
    normals = spread_normals(np.random.default_rng(seed), draws, episodes.scenario.num_devices)
    return episodes, seen, sampled_rounds(episodes, known(episodes, seen), normals)


def random_shares(rng: np.random.Generator, n: int, k: int) -> Array:
    """Return shares that sum to 1, none of them small."""
    weight = rng.uniform(0.2, 1.0, (n, k))
    shares: Array = weight / weight.sum(axis=1, keepdims=True)
    return shares
