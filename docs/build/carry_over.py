"""Measure how agents do where they were not trained: ``python docs/build/carry_over.py``.

It trains the agents of :data:`JOBS` into ``runs/carry-over``, each with the training seeds 0 to 4, plays each in
every scenario of :data:`SCENARIOS` on held-out episodes, and writes docs/data/carry-over.json and docs/agents.md;
half an hour of one core. ``--page`` writes the page anew from the stored figures.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sfl_agents
from sfl_agents.files import published
from sfl_agents.files.interface import Interface, spaces_of
from sfl_agents.training.build import build_to_act
from sfl_agents.training.evaluation import evaluate
from sfl_agents.training.job import Job
from sfl_agents.training.settings import load
from sfl_agents.training.train import train
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_env import SFLVectorEnv
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import GEOMETRIC_MEAN

DOCS = Path(__file__).parents[1]
FIGURES = DOCS / "data" / "carry-over.json"
RUNS = DOCS.parent / "runs" / "carry-over"
EPISODES = 64
ROUNDS = 20
SEED = 0
TRAINING_SEEDS = range(5)

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

How agents that were trained once do elsewhere: the mean over {{episodes}} held-out episodes of {{rounds}} rounds
of the round's length over its optimum. All have the same policy, `CutPointerPolicy`, on rows of the problem
(`observation_mode="problem"`); what differs is what they learnt from.

What the policy class contains from the start: the time of a device whose rate is proportional to its share of the
band, fixed seconds plus air seconds, and that shares sum to one. So it aims at a length of the round, gives every
cut the share that it needs for that, and points at the cut that needs least. What it does not contain and learns:
that a narrower band carries more for each hertz, the curve of the link's rate, fading. What it is shown are, for
every cut, the seconds of computing and, at an equal share of the band, of both links, as the environment computes
them from what is observed, all over the round of a sensible decision. The column "{UNTRAINED}" is
what the structure alone reaches; only what is below it was learnt.

Agents are of three kinds, which say different things:

- **from reward alone** (PPO): told nothing in training but observations and rewards. The physics in its policy
  class is there all the same, so the [protocol](protocol.md) has it as `structure` and not as `reward`;
- **imitation of the solver**: told the optimum's cuts and shares in training;
- **gradients through the known physics**: told in training how the round's length changes with each share.

The last two are not results of reinforcement learning. Each number is the geometric mean over {{seeds}} training
seeds, with its 95 % interval over them; {UNTRAINED} is one seed's first weights. Agents trained in `SFL-v0` alone
carry over because their policy reads nothing else than what is relative to the round and because of the structure
above, not because they have seen anything else.
"""

OWN = """## An agent of your own

Choices can be masked: with `action_mode="cut"` the environment tells which cuts fit a device's memory, as
`MaskablePPO` of sb3-contrib asks it to (extra `contrib`).

```python
import gymnasium as gym
import sfl_env
from sb3_contrib import MaskablePPO

env = gym.make("SFL-v0", action_mode="cut")
model = MaskablePPO("MlpPolicy", env, n_steps=256).learn(512)  # a few hundred thousand to learn something
observation, _ = env.reset(seed=0)
action, _ = model.predict(observation, action_masks=env.unwrapped.action_masks(), deterministic=True)
print(env.step(action)[4]["latency_s"])
model.save("mine.zip")
```

`sfl evaluate mine.zip --env-id SFL-v0 --trust` plays it on held-out episodes, with its masks; [agents as they
come](stock-agents.md) has more on such files. `sfl train --algo maskable-ppo` trains one network for all devices
instead, whose file runs no code.
"""


SHIPPED = """## Agents that are shipped

`sfl evaluate --policy pretrained:SFL-IoT-v0` plays one without any download, and `sfl_agents.load` loads it. Each
is one training, with the command and the curve on its card. Figures are of the protocol's 100 held-out episodes,
with the 95 % interval over them. With batteries or an old channel a round's optimum is not what counts, and with
batteries few episodes decide the mean: [the page on tiers](tiers/agents.md) has the yardsticks.

| agent | length of a round | mean return | file |
|---|---|---|---|"""


def folder_of(name: str, seed: int) -> Path:
    """Return the folder of a seed's agent; it is trained unless it is there already.

    Raises
    ------
    SystemExit
        If what is there was trained otherwise.
    """
    job = dataclasses.replace(JOBS[name], seed=seed)
    folder = RUNS / f"{name.replace(' ', '-')}-{seed}"
    if not (folder / "agent.zip").is_file():
        train(job, job.open_run(folder, resume=folder.exists()))
    if sfl_agents.describe(folder) != job:
        raise SystemExit(f"{folder} is of other settings than {name}'s; delete it, to train anew.")
    return folder


def held_out(env_id: str, fields: dict[str, Any]) -> SFLVectorEnv:
    """Return the environments that agents are compared in."""
    fields = {**fields, "max_rounds": ROUNDS}
    return make_batch(env_id, EPISODES, fields, observation_mode="problem", info_optimum=True)


def measure() -> dict[str, Any]:
    """Play every agent in every scenario."""
    torch.set_num_threads(1)
    folders = {name: [folder_of(name, seed) for seed in TRAINING_SEEDS] for name in JOBS}
    ratios: dict[str, dict[str, list[float | None]]] = {name: {} for name in (UNTRAINED, *folders)}
    for scenario, (env_id, fields) in SCENARIOS.items():
        batch = held_out(env_id, fields)
        agents = {name: [sfl_agents.load(each, batch) for each in those] for name, those in folders.items()}
        for name, seeds in ({UNTRAINED: [_untrained(batch)]} | agents).items():
            ratios[name][scenario] = [evaluate(agent, batch, held_out_seed(SEED)).mean_ratio for agent in seeds]
    return {
        "command": "python docs/build/carry_over.py",
        **versions(),
        "episodes": EPISODES,
        "rounds": ROUNDS,
        "seeds": len(TRAINING_SEEDS),
        "agents": {name: _agent(name, those) for name, those in folders.items()},
        "ratios": ratios,
    }


def _untrained(batch: SFLVectorEnv) -> Any:
    torch.manual_seed(0)
    return build_to_act(JOBS["physics"], *spaces_of(batch), Interface.of(batch))


def _agent(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    job = JOBS[name]
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
    return {
        "about": sfl_agents.about(job),
        "scenarios": len(job.settings.scenarios) + 1,
        "way": summaries[0]["way"],
        "steps": [summary["agent"]["steps"] for summary in summaries],
        "validation_ratio": [summary["agent"]["mean_ratio"] for summary in summaries],
    }


def page(figures: Mapping[str, Any]) -> str:
    """Return docs/agents.md."""
    names = list(figures["ratios"])
    rows = [
        f"| {scenario} | " + " | ".join(_cell(figures["ratios"][name][scenario]) for name in names) + " |"
        for scenario in figures["ratios"][UNTRAINED]
    ]
    singles = [[ratio for seeds in figures["ratios"][name].values() for ratio in seeds] for name in names]
    agents = [f"- **{name}**: {entry['about']}." for name, entry in figures["agents"].items()]
    table = [
        "| scenario | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *rows,
        "| the worst single seed anywhere | " + " | ".join(f"{max(ratios):.4f}" for ratios in singles) + " |",
    ]
    parts = [
        ABOUT.format_map(figures),
        "\n".join(table),
        "The agents:\n\n" + "\n".join(agents),
        _held_out_networks(),
        f"All of it comes from `{figures['command']}`.",
        shipped(),
        OWN,
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def shipped() -> str:
    """Return the section on the agents that come with the package, by their cards."""
    rows = []
    for name in published.names():
        told = published.card(f"{published.PREFIX}{name}")
        held_out, ratio = told["held_out"], told["held_out"]["ratio"]
        over = f"{ratio['value']:.4f} [{ratio['low']:.4f}, {ratio['high']:.4f}] of the {held_out['reference']}"
        size = f"{told['bytes'] / 1000.0:.0f} kB"
        rows.append(f"| `{published.PREFIX}{name}` | {over} | {held_out['mean_return']:.1f} | {size} |")
    return "\n".join([SHIPPED, *rows])


def _cell(ratios: Sequence[float]) -> str:
    """Return the mean over seeds and, of several, its interval."""
    if len(ratios) == 1:
        return f"{ratios[0]:.4f}"
    interval = GEOMETRIC_MEAN.interval(np.array(ratios))
    return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


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
