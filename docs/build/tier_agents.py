"""Measure agents in the tiers beside the tiers' yardsticks: ``python docs/build/tier_agents.py [TIER ...]``.

It reads the run folders of :data:`TIERS`, one for each training seed, trains those that are missing (minutes of
one core each), plays every agent and yardstick in the same held-out episodes, and writes
docs/data/tier-agents.json and docs/tiers/agents.md. With names it measures these tiers anew and keeps the other
figures. ``--page`` writes the page anew from the stored figures.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import sfl_agents
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.training.build import build_to_act
from sfl_agents.training.job import Job
from sfl_agents.training.train import train
from sfl_baselines.environments import held_out_seed
from sfl_baselines.policies import Policy
from sfl_env.arrays import Array
from sfl_env.storage.runs import versions, write_json

sys.path.insert(0, str(Path(__file__).parent))
from leaderboard_entries import WITH_PHYSICS
from measured_tiers import BOUND_EPISODES, SEED, TIERS, Tier
from stale_csi import in_percent, ratio_of_means

DOCS = Path(__file__).parents[1]
FIGURES, PAGE = DOCS / "data" / "tier-agents.json", DOCS / "tiers" / "agents.md"
RUNS = DOCS.parent / "runs" / "tiers"


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
    gained = tier.compared if tier.gains else ()
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
            "over": {each: ratio_of_means(mean, costs[each]) for each in tier.compared},
            "gain": {each: ratio_of_means(costs[each] - mean, costs[each] - best) for each in gained},
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
    compared = [
        f"* over `{other}`: {in_percent(over, 1)}"
        + (f"; of the gain, {in_part(agents['gain'][other])}" if other in agents["gain"] else "")
        for other, over in agents["over"].items()
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
            *compared,
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
        found = {name: measure(name) for name in asked.tiers or TIERS}
        # Read afterwards: another tier may have been measured meanwhile.
        stored = json.loads(FIGURES.read_text())["tiers"] if asked.tiers and FIGURES.exists() else {}
        write_json(FIGURES, {"versions": versions(), "tiers": stored | found})
    PAGE.write_text(page(json.loads(FIGURES.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
