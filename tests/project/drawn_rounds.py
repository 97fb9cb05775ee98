"""Scenarios drawn over the fields that docs/model.md speaks of, and the rounds that come of them."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import sfl_env
from tests.project import from_the_page as page

TABLES = Path(sfl_env.__file__).parent / "dnn" / "tables"
NETWORKS = ["digits-cnn", "llama-lora", "vgg16", "lenet5", "transformer", "gpt2", "resnet18", "mobilenetv2"]
FIELDS = [
    name for name in page.Device.__annotations__ if name not in ("free", "charge", "samples", "gain", "levels")
]


class Plainly:
    """An action that is cuts and shares as they are: the cut's bin in [0, 1], and the share."""

    def __init__(self, num_cuts: int) -> None:
        self.num_cuts = num_cuts

    def space(self, num_devices: int) -> gym.Space[Any]:
        return gym.spaces.Box(0.0, 1.0, (num_devices, 2), np.float64)

    def decode(self, action: np.ndarray, seen: Any) -> sfl_env.Decision:
        cut = np.minimum((action[..., 0] * self.num_cuts).astype(int), self.num_cuts - 1)
        share = action[..., 1]
        return sfl_env.Decision(cut, share / np.maximum(share.sum(axis=-1, keepdims=True), 1.0))

    def encode(self, decision: sfl_env.Decision, seen: object) -> np.ndarray:
        raise NotImplementedError


def stored_profile(name: str) -> page.Profile:
    table: page.Profile = json.loads((TABLES / f"{name}.json").read_text())
    return table


def invented_profile(rng: np.random.Generator, frozen_blocks: int) -> dict[str, Any]:
    """Draw a network: work of mini-batches, buffers, some of which nothing changes, and frozen blocks in front."""
    count = int(rng.integers(frozen_blocks + 2, 9))

    def along(low: float, high: float) -> np.ndarray:
        return np.cumsum(np.round(np.exp(rng.uniform(np.log(low), np.log(high), count))))

    forward, parameters = along(1e6, 1e9), along(1e3, 1e6)
    frozen = np.where(np.arange(count) < frozen_blocks, parameters, np.floor(0.5 * parameters))
    frozen = np.maximum.accumulate(frozen)
    trains = parameters > frozen
    buffers = along(1, 1e3)
    smashed = np.round(np.exp(rng.uniform(np.log(1e2), np.log(1e5), count))) * (np.arange(count) < count - 1)
    batch, constant = along(1, 1e8), np.floor(rng.choice([0.5, 1.0]) * buffers)
    return {
        "name": "invented",
        "input_shape": (3,),
        "cut_names": tuple(f"block{i}" for i in range(count)),
        "device_forward_flops": forward,
        "device_backward_flops": 1.5 * forward * trains,
        "server_forward_flops": forward[-1] - forward,
        "server_backward_flops": 2.0 * (forward[-1] - forward),
        "smashed_elements": smashed,
        "device_parameters": parameters,
        "device_buffers": buffers,
        "device_activation_elements": along(1e2, 1e5),
        "device_forward_flops_per_batch": batch,
        "device_backward_flops_per_batch": 3.0 * batch * trains,
        "server_forward_flops_per_batch": batch[-1] - batch,
        "server_backward_flops_per_batch": 2.0 * (batch[-1] - batch),
        "smashed_gradient_elements": smashed * trains,
        "device_frozen_parameters": frozen,
        "device_constant_buffers": constant,
    }


def drawn_fields(rng: np.random.Generator) -> dict[str, Any]:
    """Draw fields of a scenario, each id of system, curve, fading and path loss about as often."""

    def spread(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def one_of(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    system = one_of("", "", "", "deadline", "sequence", "sequence and deadline", "adaptsfl", "every-phase")
    return {
        "num_devices": int(rng.integers(1, 6)),
        "batch_size": int(rng.integers(1, 40)),
        "batch_size_spread": one_of(1.0, 3.0),
        "local_iterations": int(rng.integers(1, 6)),
        "activation_bits": one_of(8, 16, 32),
        "parameter_bits": one_of(4, 16, 32),
        "training_bits": one_of(16, 32),
        "label_bits": one_of(0, 32),
        "message_latency_s": one_of(0.0, 0.01, 0.5),
        "optimizer": one_of("sgd", "adam"),
        "momentum": one_of(0.0, 0.9),
        "optimizer_slots": one_of(None, None, 0, 3),
        "frozen_weights_travel": one_of(False, False, True),
        "bandwidth_hz": spread(2e5, 1e8),
        "downlink_bandwidth_hz": one_of(None, spread(2e5, 1e8)),
        "base_station_power_w": spread(0.1, 50.0),
        "noise_figure_db": rng.uniform(0.0, 10.0),
        "uplink_noise_rise_db": rng.uniform(0.0, 10.0),
        "downlink_noise_rise_db": rng.uniform(0.0, 10.0),
        "rate_curve": one_of("truncated-shannon", "truncated-shannon", "shannon"),
        "uplink_attenuation": rng.uniform(0.1, 1.0),
        "downlink_attenuation": rng.uniform(0.1, 1.0),
        "min_sinr_db": rng.uniform(-15.0, 0.0),
        "uplink_max_sinr_db": rng.uniform(5.0, 30.0),
        "downlink_max_sinr_db": rng.uniform(5.0, 30.0),
        "path_loss": one_of("umi", "umi", "uma", "macro"),
        "cell_radius_m": spread(50.0, 800.0),
        "narrowest_band_hz": one_of(180e3, 360e3),
        "outage_wait_s": rng.uniform(1.0, 20.0),
        "fading": one_of("averaged", "averaged", "block", "none"),
        "fading_correlation": one_of(0.0, 0.9),
        "rician_k_db": one_of(None, None, rng.uniform(-10.0, 20.0)),
        "mobility": one_of("static", "random-waypoint", "gauss-markov"),
        "blockage_loss_db": rng.uniform(0.0, 20.0),
        "compute_spread": one_of(1.0, 4.0),
        "server_flops_per_s": spread(1e11, 1e14),
        "battery_share": one_of(None, None, 0.02),
        "barriers": system if system in ("adaptsfl", "every-phase") else "none",
        "schedule": "sequence" if system.startswith("sequence") else "parallel",
        "deadline_s": spread(0.5, 100.0) if system.endswith("deadline") else None,
        "reference_latency_s": 1.0,
    }


def drawn_environment(index: int) -> tuple[page.Profile, Any]:
    """Make environment number ``index``: stored networks in turn at even ones, invented ones at odd."""
    rng = np.random.default_rng(index)
    fields = drawn_fields(rng)
    if index % 2:
        profile = invented_profile(rng, frozen_blocks=int(rng.integers(0, 3)))
        network: dict[str, Any] = {"profile": sfl_env.DNNProfile(**profile)}
    else:
        profile = dict(stored_profile(NETWORKS[index // 2 % len(NETWORKS)]))
        network = {"model": profile["name"]}
    if profile["name"] in ("gpt2", "llama-lora"):  # what has room for their first cut
        network |= {"device_types": ("jetson-nano", "laptop", "cloud-vm"), "device_weights": (1.0, 1.0, 1.0)}
        fields |= {"batch_size": 4, "batch_size_spread": 1.0}
    return profile, gym.make("SFL-v0", action=Plainly(len(profile["cut_names"])), **network, **fields)


@dataclass(frozen=True)
class Played:
    """One round as the environment tells it, and as the page does, at either's levels of fading."""

    scenario: sfl_env.Scenario
    profile: page.Profile
    info: dict[str, Any]
    charge: list[float]
    of_the_page: page.Round
    at_the_tables_levels: page.Round


@functools.cache
def played(index: int, rounds: int = 3) -> list[Played]:
    """Play a few rounds of environment number ``index``; in the first all devices are asked for the last cut."""
    rng = np.random.default_rng([index, 1])
    profile, env = drawn_environment(index)
    env.reset(seed=index)
    scenario, count = env.unwrapped.scenario, len(profile["cut_names"])
    found = []
    for number in range(rounds):
        cuts = [count - 1 if number == 0 else int(c) for c in rng.integers(count, size=scenario.num_devices)]
        shares = [float(share) for share in rng.dirichlet(np.ones(scenario.num_devices))]
        own, tables = read_devices(env.unwrapped), read_devices(env.unwrapped, own_levels=False)
        _, _, terminated, _, info = env.step(action_of(cuts, shares, count))
        held = shares if scenario.schedule == "sequence" else [float(share) for share in info["bandwidth_share"]]
        mine, at_tables = (page.play(scenario, profile, devices, cuts, held) for devices in (own, tables))
        charge = [float(left) for left in env.unwrapped.episodes.now.state.charge[0]]
        found.append(Played(scenario, profile, info, charge, mine, at_tables))
        if terminated:
            break
    return found


def read_devices(env: sfl_env.SFLEnv, own_levels: bool = True) -> list[page.Device]:
    """Read the devices of this round off the environment, the levels of fading its own or the page's."""
    state, problem = env.episodes.now.state, env.true_problem()
    found = []
    for k in range(env.scenario.num_devices):
        rician_k = float(problem.rician_k[0, k])
        levels = page.fading_levels(rician_k)
        if not own_levels and problem.fading_levels is not None:
            levels = tuple(float(level) for level in problem.fading_levels[:, 0, k])
        found.append(
            page.Device(
                **{name: float(getattr(state.setup.devices, name)[0, k]) for name in FIELDS},
                free=float(state.availability.fraction[0, k]),
                charge=float(state.charge[0, k]),
                samples=float(state.setup.samples[0, k]),
                gain=float(state.channel.gain[0, k]),
                levels=levels,
            )
        )
    return found


def action_of(cuts: Sequence[int], shares: Sequence[float], num_cuts: int) -> np.ndarray:
    return np.stack([(np.asarray(cuts) + 0.5) / num_cuts, np.asarray(shares)], axis=-1)
