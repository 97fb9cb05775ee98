"""The fused executor beside a plain loop and a centralised run: ``python -m speed.training``.

A unit is one local iteration of all K devices, optimiser included, with its part of the round's start and end:
each device starts from the global weights with a fresh optimiser, and the copies are averaged after eight
iterations. The plain loop does all that with torch's defaults, one device after another. The centralised run sees
as many samples with one copy of the network: what K copies would cost if copies were free. Each has processes of
its own: the executor's memory settings are the whole process's, and one that has seen much else is slower.
"""

import argparse
import copy
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from sfl_env.dnn.networks import build, network
from sfl_env.dnn.split import as_chain
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.plan import LocalTraining, RoundPlan
from speed.elsewhere import Clock, measure_elsewhere
from speed.timing import Row, as_text

ITERATIONS = 8
PLAIN = "plain loop"
"""What each setting's times are compared with: its own plain loop."""


class Setting(NamedTuple):
    """What is trained."""

    network: str
    num_devices: int
    batch_size: int


SMALL = (
    Setting("digits-cnn", 10, 16),
    Setting("digits-cnn", 10, 32),
    Setting("digits-cnn", 50, 8),
    Setting("digits-cnn", 50, 16),
    Setting("lenet5", 10, 32),
)
LARGE = (
    Setting("transformer", 4, 8),
    Setting("alexnet-cifar", 4, 16),
    Setting("vgg11", 4, 8),
    Setting("resnet18", 2, 8),
)
THREADED = (
    Setting("digits-cnn", 10, 32),
    Setting("transformer", 4, 8),
    Setting("mobilenetv2", 4, 8),
    Setting("vgg11", 4, 8),
    Setting("resnet18", 2, 8),
)


def random_data(shape: tuple[int, ...], num_samples: int = 1437) -> TensorData:
    """Return noise in the shape of a data set; what is learned does not matter for time."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num_samples, *shape, generator=generator)
    labels = torch.randint(0, 10, (num_samples,), generator=generator)
    return TensorData("noise", features, labels, features[:2], labels[:2], num_classes=10)


def plain_loop(chain: nn.Module, data: TensorData, plan: RoundPlan, local: LocalTraining) -> Callable[[], None]:
    """Return a round as one would write it first: one device after another."""
    module = copy.deepcopy(chain)
    initial = copy.deepcopy(chain.state_dict())
    share = 1.0 / len(plan.devices)

    def run() -> None:
        mean = {name: torch.zeros_like(tensor) for name, tensor in initial.items()}
        for batches in plan.batches:
            module.load_state_dict(initial)
            optimizer = local.make_optimizer(list(module.parameters()))
            for batch in batches:
                optimizer.zero_grad()
                logits = module(data.train_features[batch])
                functional.cross_entropy(logits, data.train_labels[batch]).backward()
                optimizer.step()
            for name, tensor in module.state_dict().items():
                mean[name] += share * tensor

    return run


def case_of(setting: Setting) -> tuple[nn.Sequential, TensorData, RoundPlan, LocalTraining]:
    """Return network, data, plan and settings of a round."""
    torch.manual_seed(0)
    chain = build(setting.network)
    data = random_data(network(setting.network).input_shape)
    shape = (ITERATIONS, setting.batch_size)
    plan = RoundPlan(
        round=1,
        devices=tuple(range(setting.num_devices)),
        cut=torch.zeros(setting.num_devices, dtype=torch.int64),
        samples=torch.ones(setting.num_devices, dtype=torch.float64),
        batches=tuple(torch.randint(0, len(data.train_labels), shape) for _ in range(setting.num_devices)),
        turn=torch.arange(setting.num_devices).expand(ITERATIONS, -1),
        seed=0,
    )
    return chain, data, plan, LocalTraining(iterations=ITERATIONS, batch_size=setting.batch_size)


def plain(setting: Setting) -> Callable[[], None]:
    """Return the plain loop's round."""
    return plain_loop(*case_of(setting))


def centralised(setting: Setting) -> Callable[[], None]:
    """Return as many samples' round of one copy."""
    chain, data, plan, local = case_of(setting)
    return plain_loop(chain, data, plan._replace(devices=(0,), batches=(torch.cat(plan.batches, dim=1),)), local)


def fused(setting: Setting) -> Callable[[], None]:
    """Return the executor's round."""
    chain, data, plan, local = case_of(setting)
    executor = FusedExecutor(as_chain(chain, data.input_shape), data, local)
    weights = {name: tensor.detach().clone() for name, tensor in chain.state_dict().items()}

    def run() -> None:
        executor.run(weights, plan)

    return run


def choice_of(setting: Setting, torch_threads: int) -> str:
    """Tell how the executor trains where torch has so many threads."""
    chain, data, _, local = case_of(setting)
    usual = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    sizes = (setting.batch_size,) * setting.num_devices
    method, at_once, workers = FusedExecutor(as_chain(chain, data.input_shape), data, local).choose(sizes)
    torch.set_num_threads(usual)
    side_by_side = f"{at_once} at once" if workers == 1 else f"{workers} threads"
    return f"fused ({method}, {side_by_side})"


def measure_setting(setting: Setting, rounds: int) -> list[Row]:
    """Time one setting on one thread of torch's."""
    makes = {PLAIN: plain, choice_of(setting, 1): fused, "centralised": centralised}
    return _measured(setting, makes, rounds)


def measure_threads(setting: Setting, rounds: int) -> list[Row]:
    """Time one setting on all processors, by the clock on the wall."""
    threads = os.cpu_count() or 1
    makes = {PLAIN: plain, choice_of(setting, threads): fused}
    return _measured(setting, makes, rounds, clock="wall", torch_threads=threads)


def _measured(
    setting: Setting,
    makes: Mapping[str, Callable[[Setting], Callable[[], None]]],
    rounds: int,
    *,
    clock: Clock = "processor",
    torch_threads: int = 1,
) -> list[Row]:
    rows = measure_elsewhere(
        {name: partial(make, setting) for name, make in makes.items()},
        PLAIN,
        rounds,
        units=ITERATIONS,
        unit="local iteration",
        clock=clock,
        torch_threads=torch_threads,
    )
    name = f"{setting.network}, K = {setting.num_devices}, n = {setting.batch_size}"
    return [replace(row, measure=f"{name}: {row.measure}") for row in rows]


def small_table(rounds: int) -> list[Row]:
    """Networks whose replicas are trained together."""
    return [row for setting in SMALL for row in measure_setting(setting, rounds)]


def large_table(rounds: int) -> list[Row]:
    """Networks whose replicas are trained in turn."""
    return [row for setting in LARGE for row in measure_setting(setting, rounds)]


def threads_table(rounds: int) -> list[Row]:
    """Small and large networks on all processors."""
    return [row for setting in THREADED for row in measure_threads(setting, rounds)]


TABLES = {
    "training small networks": small_table,
    "training large networks": large_table,
    "training on all processors": threads_table,
}


def main() -> None:
    """Print the table and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each measure")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for title, table in TABLES.items():
        rows = table(arguments.rounds)
        results[title] = [row.to_dict() for row in rows]
        print(f"\n{title}\n{as_text(rows)}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
