"""Measure how agents do where they were not trained: ``python docs/build/carry_over.py``.

It trains the agents of :data:`JOBS` into ``runs/carry-over``, each once, plays each in every scenario of
:data:`SCENARIOS` on held-out episodes, and writes docs/data/carry-over.json and docs/agents.md; some ten minutes
of one core. ``--page`` writes the page anew from the stored figures.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import sfl_agents
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.training.build import build_to_act
from sfl_agents.training.evaluation import evaluate
from sfl_agents.training.job import Job
from sfl_agents.training.settings import load
from sfl_agents.training.train import train
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_env import SFLVectorEnv
from sfl_env.storage.runs import versions, write_json

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "carry-over.json"
RUNS = DOCS.parent / "runs" / "carry-over"
EPISODES = 64
ROUNDS = 20
SEED = 0
CLOSE = 1.05
"""Rounds this much of the optimum are called close to it."""

JOBS = {
    "PPO": Job("ppo", "SFL-v0", load("ppo", "SFL-v0")),
    "physics": Job("physics", "SFL-v0", load("physics", "SFL-v0")),
    "imitation": Job("imitation", "SFL-v0", load("imitation", "SFL-v0")),
    "physics in a mixture": Job("physics", "SFL-v0", load("physics", "SFL-v0", "like:mixture")),
}
UNTRAINED = "untrained"

SCENARIOS: dict[str, tuple[str, dict[str, Any]]] = {
    "`SFL-v0`": ("SFL-v0", {}),
    **{f"{k} devices": ("SFL-v0", {"num_devices": k}) for k in (5, 20, 50, 100)},
    **{f"{band / 1e6:g} MHz": ("SFL-v0", {"bandwidth_hz": band}) for band in (5e6, 50e6)},
    "mini-batches of 8": ("SFL-v0", {"batch_size": 8}),
    **{f"{model}": ("SFL-v0", {"model": model}) for model in ("vgg16", "resnet34", "mobilenetv2")},
    **{f"`SFL-{name}-v0`": (f"SFL-{name}-v0", {}) for name in ("SmallCell", "MacroCell", "IoT", "Phones")},
    "rounds of `SFL-Accuracy-v0`": ("SFL-Accuracy-v0", {"mode": "latency", "model": "digits-cnn"}),
}
"""What agents act in: an id, and fields that differ."""

ABOUT = f"""# Agents in other scenarios

How agents that were trained once do elsewhere: the mean over {EPISODES} held-out episodes of {ROUNDS} rounds of
the round's length over its optimum. All have the same policy, `CutPointerPolicy`, on rows of the problem
(`observation_mode="problem"`); what differs is what they learnt from.

What the policy class contains from the start: the time of a device whose rate is proportional to its share of the
band, fixed seconds plus air seconds, and that shares sum to one. So it aims at a length of the round, gives every
cut the share that it needs for that, and points at the cut that needs least. What it does not contain and learns:
that a narrower band carries more for each hertz, the curve of the link's rate, fading. What it is shown are, for
every cut, the seconds of computing and, at an equal share of the band, of both links, as the environment computes
them from what is observed, all over the round of a sensible decision. The column "{UNTRAINED}" is
what the structure alone reaches; only what is below it was learnt.

Agents are of three kinds, which say different things:

- **from reward alone** (PPO): what an agent learns that knows nothing of the environment but its rewards;
- **imitation of the solver**: told the optimum's cuts and shares in training;
- **gradients through the known physics**: told in training how the round's length changes with each share.

The last two are not results of reinforcement learning. The numbers are of one training seed each. Agents trained
in `SFL-v0` alone carry over because their policy reads nothing else than what is relative to the round and because
of the structure above, not because they have seen anything else.
"""


def trained() -> Iterator[tuple[str, Path]]:
    """Train each agent unless it is there already."""
    torch.set_num_threads(1)
    for name, job in JOBS.items():
        folder = RUNS / name.replace(" ", "-")
        if not (folder / "agent.zip").is_file():
            train(job, job.open_run(folder, resume=folder.exists()))
        if sfl_agents.describe(folder) != job:
            raise SystemExit(f"{folder} is of other settings than {name}'s; delete it, to train anew.")
        yield name, folder


def held_out(env_id: str, fields: dict[str, Any]) -> SFLVectorEnv:
    """Return the environments that agents are compared in."""
    fields = {**fields, "max_rounds": ROUNDS}
    return make_batch(env_id, EPISODES, fields, observation_mode="problem", info_optimum=True)


def measure() -> dict[str, Any]:
    """Play every agent in every scenario."""
    folders = dict(trained())
    makers: dict[str, Callable[[SFLVectorEnv], Any]] = {UNTRAINED: _untrained}
    makers |= {name: _loader(folder) for name, folder in folders.items()}
    ratios: dict[str, dict[str, float | None]] = {name: {} for name in makers}
    for scenario, (env_id, fields) in SCENARIOS.items():
        batch = held_out(env_id, fields)
        for name, make in makers.items():
            result = evaluate(make(batch), batch, held_out_seed(SEED))
            ratios[name][scenario] = result.mean_ratio
    return {
        "command": "python docs/build/carry_over.py",
        **versions(),
        "agents": {name: _agent(name, folder) for name, folder in folders.items()},
        "ratios": ratios,
    }


def _untrained(batch: SFLVectorEnv) -> Any:
    torch.manual_seed(0)
    return build_to_act(JOBS["physics"], *spaces_of(batch), Interface.of(batch))


def _loader(folder: Path) -> Callable[[SFLVectorEnv], Any]:
    return lambda batch: sfl_agents.load(folder, batch)


def _agent(name: str, folder: Path) -> dict[str, Any]:
    job = JOBS[name]
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "about": sfl_agents.about(job),
        "scenarios": len(job.settings.scenarios) + 1,
        "way": summary["way"],
        "steps": summary["agent"]["steps"],
        "validation_ratio": summary["agent"]["mean_ratio"],
    }


def page(figures: dict[str, Any]) -> str:
    """Return docs/agents.md."""
    names = list(figures["ratios"])
    head = ["| scenario | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    rows = [
        f"| {scenario} | " + " | ".join(f"{figures['ratios'][name][scenario]:.4f}" for name in names) + " |"
        for scenario in figures["ratios"][UNTRAINED]
    ]
    worst = [f"{max(figures['ratios'][name].values()):.4f}" for name in names]
    agents = [f"- **{name}**: {entry['about']}." for name, entry in figures["agents"].items()]
    parts = [
        ABOUT,
        "\n".join([*head, *rows, "| worst | " + " | ".join(worst) + " |"]),
        "The agents:\n\n" + "\n".join(agents),
        _held_out_networks(),
        f"All of it comes from `{figures['command']}`.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _held_out_networks() -> str:
    return (
        "The mixture's scenarios are in `agents/sfl_agents/settings/physics/mixture.yml`: "
        "`sfl train --algo physics --settings like:mixture`. The networks resnet34 and mobilenetv2 are in none of "
        "them, nor are 100 devices."
    )


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    if not parser.parse_args().page:
        write_json(FIGURES, measure())
    (DOCS / "agents.md").write_text(page(json.loads(FIGURES.read_text())))


if __name__ == "__main__":
    main()
