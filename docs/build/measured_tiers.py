"""What is measured of agents in the tiers, by ``docs/build/tier_agents.py``: costs, yardsticks, episodes."""

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sfl_agents
import sfl_baselines
from sfl_agents.training.job import Job
from sfl_agents.training.settings import load
from sfl_baselines.battery import return_bound
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.policies import Policy
from sfl_baselines.rollouts import play, play_to_the_end
from sfl_env.arrays import Array
from sfl_env.vector_env import SFLVectorEnv

sys.path.insert(0, str(Path(__file__).parent))
from barrier import policy_of as staged_or_other

SEED = 12
BOUND_EPISODES = 100


def mean_round_s(policy: Policy, envs: SFLVectorEnv, rounds: int) -> Array:
    """Return the mean length of the first rounds of each episode, (N,)."""
    played = itertools.islice(play(policy, envs.episodes, held_out_seed(SEED)), rounds)
    mean: Array = np.mean([one.done.infos["latency_s"] for one in played], axis=0)
    return mean


def cost_of_episode(policy: Policy, envs: SFLVectorEnv) -> Array:
    """Return minus the return of each whole episode, (N,)."""
    cost = np.zeros(envs.num_envs)
    for running, _, _, done in play_to_the_end(policy, envs.episodes, held_out_seed(SEED)):
        cost -= done.reward * running
    return cost


def least_cost_of_episode(envs: SFLVectorEnv) -> Array:
    """Return what no policy's :func:`cost_of_episode` is below in the battery tier, (N,)."""
    least: Array = -return_bound(envs.episodes, held_out_seed(SEED)).any_policy
    return least


@dataclass(frozen=True)
class Tier:
    """What is measured in one tier.

    Parameters
    ----------
    env_id : str
        Its id.
    cost : callable
        Of a policy and a batch: what it takes in each episode, (N,); less is better.
    unit : str
        Of the cost, for the table's head.
    episodes : int
        Held-out ones.
    best : str
        The yardstick that agents are measured against.
    yardsticks : sequence of str
        All policies that are played beside the agents.
    compared : sequence of str
        Yardsticks beside the best one that agents are compared with.
    gains : bool
        Whether the best one is about the best that can be, so that the page says which share agents reach of what
        lies between it and the others.
    seeds : int
        Agents, of training seeds from 0.
    fields : mapping
        Scenario fields other than the id's.
    algo : str
        Algorithm.
    bound : callable, optional
        Of a batch: what no policy's cost is below, (N,). It takes seconds an episode, so that it and those beside
        it have :data:`BOUND_EPISODES` of their own.
    about : str
        What the agents' policy contains from the start; where it is told, the untrained policy is played, too.
    make : callable
        Of a yardstick's name and environments, the policy.
    """

    env_id: str
    cost: Callable[[Policy, SFLVectorEnv], Array]
    unit: str
    episodes: int
    best: str
    yardsticks: Sequence[str]
    compared: Sequence[str]
    gains: bool = True
    seeds: int = 5
    fields: Mapping[str, Any] = field(default_factory=dict)
    algo: str = "ppo"
    bound: Callable[[SFLVectorEnv], Array] | None = None
    about: str = ""
    make: Callable[[str, SFLVectorEnv], Policy] = sfl_baselines.make

    def job(self, seed: int) -> Job:
        """Return a seed's training."""
        return Job(self.algo, self.env_id, load(self.algo, self.env_id), self.fields, seed)

    def batch(self, observation_mode: str, action_mode: str = "continuous") -> SFLVectorEnv:
        """Return the held-out environments."""
        modes = {"observation_mode": observation_mode, "action_mode": action_mode}
        return make_batch(self.env_id, self.episodes, self.fields, **modes)

    def yardstick_costs(self) -> dict[str, Array]:
        """Return the yardsticks' costs."""
        envs = self.batch("devices")
        return {name: self.cost(self.make(name, envs), envs) for name in self.yardsticks}

    def agent_costs(self, folders: Sequence[Path]) -> Array:
        """Return the agents' costs, (seeds, N)."""
        envs = self.batch(sfl_agents.observation_mode_of(folders[0]), self.job(0).settings.action_mode)
        return np.array([self.cost(sfl_agents.load(folder, envs), envs) for folder in folders])


STALE = Tier(
    "SFL-StaleCSI-v0",
    partial(mean_round_s, rounds=5),
    "mean round, s",
    1600,
    "sample-average",
    ("sample-average", "statistics", "exact"),
    ("statistics", "exact"),
)
"""Agents that see the channel of a round ago."""

TIERS: dict[str, Tier] = {
    "stale-csi": STALE,
    "stale-csi-uncorrelated": replace(STALE, fields={"fading_correlation": 0.0}),
    "barrier": Tier(
        "SFL-Barrier-v0",
        partial(mean_round_s, rounds=5),
        "mean round, s",
        100,
        "staged-search",
        ("staged-search", "common cut", "staged-alternating", "exact"),
        ("common cut", "exact"),
        about="What the policy contains at first: the phases' seconds at an equal share of the band, which phases "
        "make up a stage, Shannon's formula with a ceiling, that shares sum to one, and so what each cut "
        "needs of the band for given lengths of the stages and how long the round with these would last. Of "
        "eight ratios of the lengths to each other it takes the one with the shortest such round, and of the "
        "cuts those that need least. At first the eight are those of equal shares times numbers drawn around "
        "one. Learnt from reward alone: the eight ratios, from what the devices have in common, the ceiling, "
        "what the server's seconds cost beside the band, and what else speaks for a cut and a larger share. "
        "`untrained` is what is there before anything has been learnt, with the numbers of one draw.",
        make=staged_or_other,
    ),
    "battery": Tier(
        "SFL-Battery-v0",
        cost_of_episode,
        "minus the return",
        1000,
        "energy-price",
        ("energy-price", "budget-rule", "exact"),
        ("budget-rule",),
        gains=False,
        bound=least_cost_of_episode,
        about="What the policy contains at first: the round's fixed and air seconds, that shares sum to one, "
        "what each cut takes of a round's budget (the charge left over the rounds left), and the form of a price: "
        "a cut costs the share that it needs and the price times what it takes, and far more where it takes more "
        "than two budgets or all of the charge. Learnt from reward alone: the price, which at first is the same "
        "number for every device and round, and what else speaks for a cut. The band is split by the environment "
        "(`action_mode='cut'`). `untrained` is what is there before anything has been learnt. Where a link is out "
        "for long, rounds last so long that many devices leave at last. Such an episode costs ten times a usual "
        "one: a few of them decide the means, and make the intervals wide.",
    ),
}
"""What is measured, by the names of its run folders."""
