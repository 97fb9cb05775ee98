"""Measure agents in the tiers beside the tiers' yardsticks: ``python docs/build/tier_agents.py [TIER ...]``.

It reads the run folders of :data:`TIERS`, one for each training seed, trains those that are missing (minutes of
one core each), plays every agent and yardstick in the same held-out episodes, and writes
docs/data/tier-agents.json and docs/tiers/agents.md. With names it measures these tiers anew and keeps the other
figures. ``--page`` writes the page anew from the stored figures.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfl_agents
import sfl_baselines
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.training.build import build_to_act
from sfl_agents.training.job import Job
from sfl_agents.training.settings import load
from sfl_agents.training.train import train
from sfl_baselines.battery import return_bound
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.policies import Policy
from sfl_baselines.rollouts import play, play_to_the_end
from sfl_env.arrays import Array
from sfl_env.storage.runs import versions, write_json
from sfl_env.vector_env import SFLVectorEnv

sys.path.insert(0, str(Path(__file__).parent))
from barrier import policy_of as staged_or_other
from leaderboard_entries import WITH_PHYSICS
from stale_csi import in_percent, ratio_of_means

DOCS = Path(__file__).parents[1]
FIGURES, PAGE = DOCS / "data" / "tier-agents.json", DOCS / "tiers" / "agents.md"
RUNS = DOCS.parent / "runs" / "tiers"
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
    gains : sequence of str
        Yardsticks from which to the best one a gain is; the page says which share of it agents reach.
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
    gains: Sequence[str]
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


TIERS: dict[str, Tier] = {
    "stale-csi": Tier(
        "SFL-StaleCSI-v0",
        partial(mean_round_s, rounds=5),
        "mean round, s",
        1600,
        "sample-average",
        ("sample-average", "statistics", "exact"),
        ("statistics", "exact"),
    ),
    "stale-csi-uncorrelated": Tier(
        "SFL-StaleCSI-v0",
        partial(mean_round_s, rounds=5),
        "mean round, s",
        1600,
        "sample-average",
        ("sample-average", "statistics", "exact"),
        ("statistics", "exact"),
        fields={"fading_correlation": 0.0},
    ),
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
        ("energy-price", "budget-rule"),
        bound=least_cost_of_episode,
        about="What the policy contains at first: the round's fixed and air seconds, that shares sum to one, "
        "what each cut takes of a round's budget (the charge left over the rounds left), and the form of a price: "
        "a cut costs the share that it needs and the price times what it takes, and far more where it takes more "
        "than 1.5 budgets or all of the charge. Learnt from reward alone: the price, which at first is the same "
        "number for every device and round, and what else speaks for a cut. The band is split by the environment "
        "(`action_mode='cut'`). `untrained` is what is there before anything has been learnt.",
    ),
}
"""What is measured, by the names of its run folders."""


def folder_of(name: str, seed: int) -> Path:
    """Return the folder of a seed's agent; it is trained unless it is there already.

    Raises
    ------
    SystemExit
        If what is there was trained otherwise.
    """
    job, folder = TIERS[name].job(seed), RUNS / f"{name}-{seed}"
    if not (folder / "agent.zip").is_file():
        train(job, job.open_run(folder, resume=folder.exists()))
    if sfl_agents.describe(folder) != job:
        raise SystemExit(f"{folder} is of other settings than {name}'s; delete it, to train anew.")
    return folder


def measure(name: str) -> dict[str, Any]:
    """Play a tier's agents and yardsticks."""
    tier = TIERS[name]
    folders = [folder_of(name, seed) for seed in range(tier.seeds)]
    costs = tier.yardstick_costs()
    if tier.about:
        costs["untrained"] = untrained_cost(tier, sfl_agents.observation_mode_of(folders[0]))
    agents = tier.agent_costs(folders)
    job, best, mean = tier.job(0), costs[tier.best], agents.mean(axis=0)
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    return {
        "command": command(name, job),
        "settings": job.to_dict()["settings"],
        "fields": dict(tier.fields),
        "way": summaries[0]["way"],
        "training_s": [entry["last"]["training_s"] for entry in summaries],
        "yardsticks": {
            each: {"mean": cost.mean(), "over best": ratio_of_means(cost, best)} for each, cost in costs.items()
        },
        "agents": {
            "mean": mean.mean(),
            "over best": ratio_of_means(mean, best),
            "over": {each: ratio_of_means(mean, costs[each]) for each in tier.gains},
            "gain": {each: ratio_of_means(costs[each] - mean, costs[each] - best) for each in tier.gains},
            "each over best": [ratio_of_means(cost, best) for cost in agents],
        },
        **({} if tier.bound is None else {"bound": beside_bound(replace(tier, episodes=BOUND_EPISODES), folders)}),
    }


def beside_bound(tier: Tier, folders: Sequence[Path]) -> dict[str, Any]:
    """Return what the bound is, and by how much the yardsticks and the agents' mean exceed it."""
    assert tier.bound is not None
    bound = tier.bound(tier.batch("devices"))
    costs = {**tier.yardstick_costs(), "agents": tier.agent_costs(folders).mean(axis=0)}
    over = {name: ratio_of_means(cost, bound) for name, cost in costs.items()}
    return {"episodes": tier.episodes, "mean": bound.mean(), "over": over}


def untrained_cost(tier: Tier, observation_mode: str) -> Array:
    """Return the cost of the agents' policy with its first weights, (N,)."""
    job = tier.job(0)
    envs = tier.batch(observation_mode, job.settings.action_mode)
    torch.manual_seed(0)
    policy: Policy = build_to_act(job, *spaces_of(envs), Interface.of(envs))
    return tier.cost(policy, envs)


def command(name: str, job: Job) -> str:
    """Return the command that trains a tier's agents."""
    fields = "".join(f" {key}={value}" for key, value in job.fields.items())
    told = f" --fields{fields}" if fields else ""
    return f"sfl train --algo {job.algo} --env-id {job.env_id}{told} --seed S --out runs/tiers/{name}-S"


ABOUT = f"""# Agents in the tiers

<!-- Written by docs/build/tier_agents.py from docs/data/tier-agents.json: no figure of a table was typed. -->

What agents learn in the tiers, beside the yardsticks of the tiers' own pages. Each tier's agents are of several
training seeds, and each is the best of its training's checkpoints in validation episodes. All are played in the
same held-out episodes (seed {held_out_seed(SEED)}), which nothing was chosen by. *Over the best* is by how much
the total exceeds that of the tier's yardstick, with its 95 % interval over episodes, paired; for agents, of the
mean over training seeds, and then the least and the largest of single seeds. *Of the gain*: which share of what
lies between a yardstick and the tier's best one agents make up for.

`python docs/build/tier_agents.py` trains what is not there, plays and writes this page.
"""


def page(found: Mapping[str, Any]) -> str:
    """Return the whole page."""
    parts = [section(name, found["tiers"][name]) for name in TIERS if name in found["tiers"]]
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([ABOUT, *parts, f"Versions: {told}.", ""])


def section(name: str, found: Mapping[str, Any]) -> str:
    """Return one tier's table."""
    tier, agents = TIERS[name], found["agents"]
    fields = "".join(f", `{key}={value!r}`" for key, value in found["fields"].items())
    each = [100.0 * (ratio[0] - 1.0) for ratio in agents["each over best"]]
    structured = WITH_PHYSICS.search(found["settings"]["policy"])
    way = found["way"] + (", physics in the policy class" if structured else "")
    rows = [
        f"| `{other}` | {row['mean']:.4g} | {'-' if other == tier.best else in_percent(row['over best'], 1)} | |"
        for other, row in found["yardsticks"].items()
    ]
    agent = (
        f"| {tier.algo}, {way}, {len(each)} seeds | {agents['mean']:.4g} | "
        f"{in_percent(agents['over best'], 1)} | {min(each):+.1f} % to {max(each):+.1f} % |"
    )
    gains = [
        f"* over `{other}`: {in_percent(agents['over'][other], 1)}; of the gain, {in_part(agents['gain'][other])}"
        for other in tier.gains
    ]
    seconds = found["training_s"]
    return "\n".join(
        [
            f"## `{tier.env_id}`{fields}",
            "",
            f"{tier.episodes} episodes. `{found['command']}`: {found['settings']['total_steps']:,} rounds and "
            f"{min(seconds):.0f} to {max(seconds):.0f} s of one shared core for each of the seeds.",
            "",
            f"| policy | {tier.unit} | over the best | single seeds |",
            "|---|---|---|---|",
            *rows,
            agent,
            "",
            "The agents' mean",
            "",
            *gains,
            "",
            *bound_told(tier, found.get("bound")),
            *([tier.about, ""] if tier.about else []),
        ]
    )


def bound_told(tier: Tier, found: Mapping[str, Any] | None) -> list[str]:
    """Return what is said of a tier's bound, where there is one."""
    if found is None:
        return []
    over = [
        f"the agents' mean {in_percent(found['over']['agents'], 1)}",
        *(f"`{name}` {in_percent(found['over'][name], 1)}" for name in tier.yardsticks),
    ]
    return [
        f"Over the bound, which was computed for {found['episodes']} held-out episodes and is {found['mean']:.4g} "
        f"in the mean: {', '.join(over)}.",
        "",
    ]


def in_part(share: Sequence[float]) -> str:
    """Return a share in per cent with its interval."""
    value, low, high = (100.0 * each for each in share)
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiers", nargs="*", help=f"of {', '.join(TIERS)}; all by default")
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    asked = parser.parse_args()
    if unknown := set(asked.tiers) - set(TIERS):
        parser.error(f"unknown tiers {', '.join(sorted(unknown))}; known are {', '.join(TIERS)}")
    if not asked.page:
        torch.set_num_threads(1)
        stored = json.loads(FIGURES.read_text())["tiers"] if asked.tiers and FIGURES.exists() else {}
        found = stored | {name: measure(name) for name in asked.tiers or TIERS}
        write_json(FIGURES, {"versions": versions(), "tiers": found})
    PAGE.write_text(page(json.loads(FIGURES.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
