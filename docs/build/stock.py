"""Train Stable-Baselines3's PPO as it comes: ``python docs/build/stock.py --seed 0``, then ``--page``.

``PPO("MlpPolicy", env)`` with all of its defaults for 300,000 rounds of the id that the environment's page
recommends for such agents or, with ``--env-id SFL-v0``, of that. A training takes ten minutes of one core and
leaves runs/stock/ID-SEED.json; ``--page`` puts those that are there into docs/data/stock.json and the table of
docs/stock-agents.md. Every figure is of held-out episodes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from scipy.stats import gmean
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import sfl_baselines
import sfl_env  # noqa: F401  # registers the ids
from sfl_baselines.environments import held_out_seed, make_batch
from sfl_baselines.rollouts import play_to_the_end
from sfl_env.storage.runs import versions, write_json
from sfl_lab.compare.intervals import GEOMETRIC_MEAN

DOCS = Path(__file__).parents[1]
RUNS = DOCS.parent / "runs" / "stock"
FIGURES, PAGE = DOCS / "data" / "stock.json", DOCS / "stock-agents.md"

STEPS, EVALUATIONS = 300_000, 10
EPISODES = {"SFL-Bandit-v0": 2000, "SFL-v0": 20}
"""Ids to train on, and the held-out episodes of one round or a hundred that agents are measured in."""

BASELINES = ("proportional", "equal-bandwidth")


def ratio(policy: Any, env_id: str) -> float:
    """Return the geometric mean over held-out episodes of the mean ratio of a round to its optimum."""
    batch = make_batch(env_id, EPISODES[env_id], {}, info_optimum=True)
    rounds = [
        played.done.infos["latency_s"] / played.done.infos["optimal_latency_s"]
        for played in play_to_the_end(policy, batch.episodes, held_out_seed(0))
    ]
    return float(gmean(np.mean(rounds, axis=0)))


class _Curve(BaseCallback):
    """The figures on the way."""

    def __init__(self, env_id: str) -> None:
        super().__init__()
        self.env_id = env_id
        self.curve: list[dict[str, float]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps % (STEPS // EVALUATIONS) == 0:
            self.take()
        return True

    def take(self) -> None:
        assert isinstance(self.model, PPO)
        point = {"rounds": self.num_timesteps, "ratio": ratio(self.model, self.env_id)}
        print(f"{self.env_id}: {point['ratio']:.4f} after {point['rounds']:,} rounds", flush=True)
        self.curve.append(point)


def train(env_id: str, seed: int) -> None:
    """Train one agent and write its curve."""
    torch.set_num_threads(1)
    env = gym.make(env_id, disable_env_checker=True)  # which changes nothing but the time that it takes
    model = PPO("MlpPolicy", env, seed=seed, device="cpu")
    curve = _Curve(env_id)
    curve.model = model
    curve.take()
    start_s = time.process_time()
    model.learn(STEPS, callback=curve)
    spent_s = time.process_time() - start_s
    told = {"env_id": env_id, "seed": seed, "processor_s": round(spent_s, 1), "curve": curve.curve}
    RUNS.mkdir(parents=True, exist_ok=True)
    write_json(RUNS / f"{env_id}-{seed}.json", told)


def collect() -> dict[str, Any]:
    """Return the figures of the trainings that are there, and of the baselines."""
    trained = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RUNS.glob("*.json"))]
    batch = make_batch("SFL-Bandit-v0", 1)
    return {
        "trained": trained,
        "baselines": {name: ratio(sfl_baselines.make(name, batch), "SFL-Bandit-v0") for name in BASELINES},
        "versions": versions(),
    }


def page(told: dict[str, Any]) -> str:
    """Return the table of the page."""
    lines = [
        "| trained on | untrained | after 300,000 rounds | worst on the way | seeds | CPU minutes |",
        "|---|---|---|---|---|---|",
    ]
    for env_id in EPISODES:
        runs = [run for run in told["trained"] if run["env_id"] == env_id]
        if not runs:
            continue
        last = np.array([run["curve"][-1]["ratio"] for run in runs])
        worst = max(point["ratio"] for run in runs for point in run["curve"][1:])
        first = gmean([run["curve"][0]["ratio"] for run in runs])
        figure = f"{gmean(last):.3f}"
        if len(last) > 1:
            interval = GEOMETRIC_MEAN.interval(last)
            figure += f" [{interval.low:.3f}, {interval.high:.3f}]"
        spent = np.median([run["processor_s"] for run in runs]) / 60.0
        lines.append(f"| `{env_id}` | {first:.3f} | {figure} | {worst:.3f} | {len(runs)} | {spent:.1f} |")
    lines.append("")
    named = ", ".join(f"`{name}` {value:.3f}" for name, value in told["baselines"].items())
    lines.append(f"Without training: {named}. Brackets: 95% interval over training seeds.")
    return "\n".join(lines)


def main() -> None:
    """Train one agent, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env-id", choices=tuple(EPISODES), default="SFL-Bandit-v0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true", help="write the figures and the page from what is there")
    given = parser.parse_args()
    if not given.page:
        train(given.env_id, given.seed)
        return
    told = collect()
    write_json(FIGURES, told)
    before, _, after = PAGE.read_text(encoding="utf-8").partition("<!-- table: begin -->\n")
    _, _, after = after.partition("<!-- table: end -->")
    PAGE.write_text(f"{before}<!-- table: begin -->\n{page(told)}\n<!-- table: end -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
