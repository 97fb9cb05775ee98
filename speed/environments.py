"""Our environments beside others, and beside the cost of their random numbers.

Run ``python -m speed.environments``.

Rates are through the whole Gymnasium interface: ``gym.make`` with its wrappers, ``gym.make_vec``, infos built, and
episodes that end are reset. Needs the dependency group ``speed``.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import mobile_env  # noqa: F401  (registers its ids)
import numpy as np

import sfl_env  # noqa: F401  (registers its ids)
from sfl_env.dnn.catalogue import load
from speed.elsewhere import measure_elsewhere
from speed.timing import Case, Row, as_text, measure

ACTIONS = 32
"""Sampled beforehand and taken in turn, so that sampling is no part of the time."""

STEPS = 5000
"""At a time in another process, so that telling it to go on is no part of the time."""


def single(env_id: str, **fields: Any) -> Case:
    """Step one environment, resetting it when its episode is over."""
    env = gym.make(env_id, **fields)
    env.reset(seed=0)
    next_action = _taking_turns(env.action_space)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(next_action())
        if terminated or truncated:
            env.reset()

    return Case(step, units=1, unit="environment step")


def batched(env_id: str, num_envs: int, **fields: Any) -> Case:
    """Step a batch of environments, which reset themselves."""
    envs = gym.make_vec(env_id, num_envs=num_envs, vectorization_mode="vector_entry_point", **fields)
    envs.reset(seed=0)
    next_action = _taking_turns(envs.action_space)
    return Case(lambda: envs.step(next_action()), units=num_envs, unit="environment step")


def random_numbers(num_envs: int, num_devices: int) -> Case:
    """Draw what a round of the default scenario draws: two uniform numbers for each device."""
    rng = np.random.default_rng(0)

    def draw() -> None:
        rng.random((num_envs, num_devices))  # whether something is in the way
        rng.random((num_envs, num_devices))  # how much of its speed is free

    return Case(draw, units=num_envs, unit="environment step")


def _taking_turns(space: gym.Space[Any]) -> Callable[[], Any]:
    space.seed(0)
    actions = [space.sample() for _ in range(ACTIONS)]
    position = -1

    def next_action() -> Any:
        nonlocal position
        position = (position + 1) % ACTIONS
        return actions[position]

    return next_action


def single_table(rounds: int) -> list[Row]:
    """Single environments over CartPole's."""
    cases = {
        "CartPole-v1, single": single("CartPole-v1"),
        "SFL-v0, single, K = 10": single("SFL-v0"),
        "SFL-v0, single, K = 100": single("SFL-v0", num_devices=100),
        "SFL-v0, single, K = 10, cuts only (band split optimally)": single("SFL-v0", action_mode="cut"),
        "SFL-v0, single, K = 10, with the optimum in infos": single("SFL-v0", info_optimum=True),
        "SFL-Phones-v0, single, K = 15, moving": single("SFL-Phones-v0"),
        "mobile-env, small": single("mobile-small-central-v0"),
        "mobile-env, medium": single("mobile-medium-central-v0"),
    }
    return measure(cases, "CartPole-v1, single", rounds)


def many_steps(env_id: str) -> Callable[[], None]:
    """Return :data:`STEPS` steps of one environment."""
    step = single(env_id).call

    def run() -> None:
        for _ in range(STEPS):
            step()

    return run


def plain_single_table(rounds: int) -> list[Row]:
    """The default environment over CartPole, each in processes that run nothing else.

    With other variants taking turns, the interpreter's caches of types at each call would be of little use.
    """
    makes = {
        "CartPole-v1, single": partial(many_steps, "CartPole-v1"),
        "SFL-v0, single, K = 10": partial(many_steps, "SFL-v0"),
    }
    return measure_elsewhere(makes, "CartPole-v1, single", rounds, units=STEPS, unit="environment step")


def batched_table(rounds: int) -> list[Row]:
    """Batched environments over CartPole's."""
    cases = {
        "CartPole-v1, N = 1024": batched("CartPole-v1", 1024),
        "CartPole-v1, N = 64": batched("CartPole-v1", 64),
        "random numbers, N = 1024, K = 10": random_numbers(1024, 10),
        "SFL-v0, N = 1024, K = 10": batched("SFL-v0", 1024),
        "SFL-v0, N = 64, K = 10": batched("SFL-v0", 64),
        "SFL-v0, N = 1, K = 10": batched("SFL-v0", 1),
        "random numbers, N = 1024, K = 100": random_numbers(1024, 100),
        "SFL-v0, N = 1024, K = 100": batched("SFL-v0", 1024, num_devices=100),
        "SFL-v0, N = 64, K = 100": batched("SFL-v0", 64, num_devices=100),
        "SFL-StaleCSI-v0, N = 1024, K = 10": batched("SFL-StaleCSI-v0", 1024),
        "SFL-Battery-v0, N = 1024, K = 10": batched("SFL-Battery-v0", 1024),
        "SFL-Barrier-v0, N = 1024, K = 10": batched("SFL-Barrier-v0", 1024),
    }
    return measure(cases, "CartPole-v1, N = 1024", rounds)


def randomness_table(rounds: int) -> list[Row]:
    """The batched environment over the cost of its random numbers."""
    cases = {
        "random numbers, N = 1024, K = 10": random_numbers(1024, 10),
        "SFL-v0, N = 1024, K = 10": batched("SFL-v0", 1024),
    }
    return measure(cases, "random numbers, N = 1024, K = 10", rounds)


def scaling_table(rounds: int) -> list[Row]:
    """Cost of one device's round as there are more devices, environments and cuts."""
    cases = {f"single, K = {k}": _per_device(single("SFL-v0", num_devices=k), k) for k in (10, 30, 100, 300, 1000)}
    cases |= {
        f"N = 64, K = {k}": _per_device(batched("SFL-v0", 64, num_devices=k), k) for k in (10, 30, 100, 300, 1000)
    }
    cases |= {f"N = {n}, K = 10": _per_device(batched("SFL-v0", n), 10) for n in (1, 16, 256, 1024, 4096)}
    for model in ("lenet5", "resnet18", "vgg16", "mobilenetv2"):
        name = f"N = 256, K = 10, {model} (C = {load(model).num_cuts})"
        cases[name] = _per_device(batched("SFL-v0", 256, model=model), 10)
    return measure(cases, "single, K = 10", rounds)


def _per_device(case: Case, num_devices: int) -> Case:
    return Case(case.call, case.units * num_devices, "device-round")


TABLES = {
    "default single environment": plain_single_table,
    "single environments": single_table,
    "batched environments": batched_table,
    "over the cost of the random numbers": randomness_table,
    "cost of a device-round": scaling_table,
}


def main() -> None:
    """Print all tables and write them as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that everything takes")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    results = {}
    for title, table in TABLES.items():
        rows = table(arguments.rounds)
        results[title] = [row.to_dict() for row in rows]
        print(f"\n{title}\n{as_text(rows)}")
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
