"""Rounds that are played the same way every time: what the published figures are made of, in a minute.

``python -m tests.project.figures.played`` writes them to ``stored.json``, beside this file. Do that only for a
change that is meant to alter numbers: the id then gets a new version, and the changelog says why.
"""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import sfl_baselines
import sfl_env

STORED = Path(__file__).parent / "stored.json"

LATENCY_IDS = (
    "SFL-v0",
    "SFL-SmallCell-v0",
    "SFL-MacroCell-v0",
    "SFL-IoT-v0",
    "SFL-Phones-v0",
    "SFL-StaleCSI-v0",
    "SFL-Battery-v0",
    "SFL-Barrier-v0",
    "SFL-Deadline-v0",
    "SFL-TimeToAccuracy-v0",
)
POLICIES = (
    "oracle",
    "exact",
    "alternating",
    "common-cut",
    "proportional",
    "equal-bandwidth",
    "federated",
    "shallow",
)
SEEDS = (1_000_000, 1_000_001, 7)


def layer_norms() -> nn.Module:
    """Return a network whose normalisation knows no pictures."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10)
    )


def batch_norms() -> nn.Module:
    """Return a network with running statistics."""
    convolutions = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(convolutions, nn.Flatten(), nn.Linear(128, 10))


VARIANTS: dict[str, dict[str, Any]] = {
    "no fading, Shannon's bound": {"fading": "none", "rate_curve": "shannon", "mobility": "static"},
    "macro, block fading, gauss-markov": {"path_loss": "macro", "fading": "block", "mobility": "gauss-markov"},
    "uma, no fading, random-waypoint": {"path_loss": "uma", "fading": "none", "mobility": "random-waypoint"},
    "old channel": {"csi_delay_rounds": 3, "fading": "block", "fading_correlation": 0.5},
    "energy counts": {"energy_weight": 0.5, "battery_share": 0.005, "dropout_weight": 1.0},
    "devices in sequence": {"schedule": "sequence"},
    "deadline": {"deadline_s": 20.0},
    "deadline in sequence": {"schedule": "sequence", "deadline_s": 3.0},
    "spread mini-batches": {"batch_size_spread": 4.0, "num_devices": 30},
    "few bits": {"activation_bits": 8, "parameter_bits": 16, "label_bits": 0, "optimizer": "adam"},
    "wide downlink": {"downlink_bandwidth_hz": 100e6, "model": "vgg11"},
}
LEARNING: dict[str, dict[str, Any]] = {
    "iid": {},
    "counted bits": {"executor": "message-passing"},
    "SplitFed V1": {"server": "splitfed-v1", "optimizer": "adam", "learning_rate": 1e-3},
    "SplitFed V2": {"server": "splitfed-v2", "learning_rate": 0.01},
    "AdaptSFL": {"server": "adaptsfl"},
    "dirichlet": {"partition": "dirichlet", "partition_concentration": 0.3},
    "shards": {"partition": "shards"},
    "quantity-skew": {"partition": "quantity-skew", "executor": "message-passing"},
    "in sequence": {"schedule": "sequence", "learning_rate": 0.01},
    "layers without a grouped form": {"network": layer_norms, "num_devices": 3},
    "running statistics": {"network": batch_norms, "num_devices": 3},
}


def machine() -> dict[str, str]:
    """Return what the last digits depend on: the processor and the numerical libraries."""
    processor = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith(("model name", "flags"))]
        processor = " ".join(sorted({line.partition(":")[2].strip() for line in lines}))
    kernels = os.environ.get("OPENBLAS_CORETYPE", "")  # chosen by the user instead of by the processor
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "torch")}
    return {"processor": processor, "kernels": kernels} | versions


def batched(env_id: str, policy: str, seed: int, **fields: Any) -> dict[str, Any]:
    """Play four episodes side by side for three rounds."""
    envs: Any = gym.make_vec(env_id, num_envs=4, **fields).unwrapped
    observation, _ = envs.reset(seed=seed)
    agent = sfl_baselines.make(policy, envs)
    figures: dict[str, list[Any]] = {"latency_s": [], "reward": [], "energy_j": [], "cut": []}
    figures["reference_latency_s"] = [envs.episodes.reference_latency_s]
    for _ in range(3):
        action, _ = agent.predict(observation)
        observation, reward, _, _, infos = envs.step(action)
        figures["latency_s"].append(infos["latency_s"].tolist())
        figures["reward"].append(reward.tolist())
        figures["energy_j"].append(infos["energy_j"].sum(axis=-1).tolist())
        figures["cut"].append(int((infos["cut"] * (1 + np.arange(infos["cut"].size)).reshape(4, -1)).sum()))
    figures["observation"] = [float(observation.astype(np.float64).sum())]
    envs.close()
    return figures


def single(env_id: str, seed: int, action_mode: str, **fields: Any) -> dict[str, Any]:
    """Play three rounds of one environment with actions drawn from its space."""
    env: Any = gym.make(env_id, action_mode=action_mode, **fields)
    observation, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    figures: dict[str, list[Any]] = {"latency_s": [], "reward": [], "device_latency_s": [], "observation": []}
    for _ in range(3):
        figures["observation"].append(float(observation.astype(np.float64).sum()))
        observation, reward, _, _, info = env.step(env.action_space.sample())
        figures["latency_s"].append(float(info["latency_s"]))
        figures["reward"].append(reward)
        figures["device_latency_s"].append(info["device_latency_s"].tolist())
    env.close()
    return figures


def learnt(seed: int, **options: Any) -> dict[str, Any]:
    """Train for three rounds under the alternating optimum."""
    env: Any = gym.make("SFL-Accuracy-v0", torch_device="cpu", **({"num_devices": 6} | options))
    observation, info = env.reset(seed=seed)
    agent = sfl_baselines.make("alternating", env)
    figures: dict[str, list[Any]] = {name: [float(info[name])] for name in ("accuracy", "loss", "elapsed_s")}
    for _ in range(3):
        action, _ = agent.predict(observation)
        observation, _, _, _, info = env.step(action)
        for name in ("accuracy", "loss", "elapsed_s"):
            figures[name].append(float(info[name]))
    env.close()
    return figures


def latency_figures() -> dict[str, Any]:
    """Return the figures of everything in which no network is trained."""
    figures: dict[str, Any] = {}
    for env_id in LATENCY_IDS:
        for policy in POLICIES:
            figures[f"{env_id}, {policy}"] = batched(env_id, policy, SEEDS[0])
        for seed in SEEDS:
            for mode in ("continuous", "residual", "cut", "discrete"):
                figures[f"{env_id}, {mode}, seed {seed}"] = single(env_id, seed, mode)
    for name, fields in VARIANTS.items():
        figures[f"{name}, exact"] = batched("SFL-v0", "exact", SEEDS[1], **fields)
        figures[f"{name}, continuous"] = single("SFL-v0", SEEDS[2], "continuous", **fields)
    for policy in ("selection", "fedcs"):
        figures[f"SFL-Deadline-v0, {policy}"] = batched("SFL-Deadline-v0", policy, SEEDS[0])
    for policy in ("sequential", "federated"):
        figures[f"in sequence, {policy}"] = batched("SFL-v0", policy, SEEDS[0], schedule="sequence")
    return figures


def learning_figures() -> dict[str, Any]:
    """Return the figures of everything in which a network is trained, on one thread of torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            f"{name}, seed {seed}": learnt(seed, **fields)
            for name, fields in LEARNING.items()
            for seed in SEEDS[:2]
        }
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Write the figures."""
    value = {"machine": machine(), "latency": latency_figures(), "learning": learning_figures()}
    parts = [f'"machine": {json.dumps(value["machine"])}']
    for kind in ("latency", "learning"):
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in value[kind].items())
        parts.append(f'"{kind}": {{\n{lines}\n}}')
    STORED.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    assert sfl_env.__version__
    main()
