"""The fused executor beside a plain loop and a centralised run: ``python -m benchmarks.training``.

A unit is one local iteration of all K devices, optimiser included, with its part of the round's start and end:
each device starts from the global weights with a fresh optimiser, and the copies are averaged after eight
iterations. The plain loop does all that with torch's defaults, one device after another. The centralised run sees
as many samples with one copy of the network: what K copies would cost if copies were free.
"""

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import Case, Row, as_text, measure
from sfl_env.dnn.networks import build, network
from sfl_env.training.data import TensorData
from sfl_env.training.fused import FusedExecutor
from sfl_env.training.plan import LocalTraining, RoundPlan

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
"""A turn takes seconds: these take a third of the turns."""


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


def measure_setting(setting: Setting, rounds: int) -> list[Row]:
    """Time one setting."""
    torch.manual_seed(0)
    chain = build(setting.network)
    data = random_data(network(setting.network).input_shape)
    local = LocalTraining(iterations=ITERATIONS, batch_size=setting.batch_size)
    shape = (ITERATIONS, setting.batch_size)
    plan = RoundPlan(
        round=1,
        devices=tuple(range(setting.num_devices)),
        cut=torch.zeros(setting.num_devices, dtype=torch.int64),
        samples=torch.ones(setting.num_devices, dtype=torch.float64),
        batches=tuple(torch.randint(0, len(data.train_labels), shape) for _ in range(setting.num_devices)),
        seed=0,
    )
    central = plan._replace(devices=(0,), batches=(torch.cat(plan.batches, dim=1),))
    executor = FusedExecutor(chain, data, local)
    weights = {name: tensor.detach().clone() for name, tensor in chain.state_dict().items()}
    method, at_once, _ = executor.choose((setting.batch_size,) * setting.num_devices)
    name = f"{setting.network}, K = {setting.num_devices}, n = {setting.batch_size}"
    cases = {
        PLAIN: plain_loop(chain, data, plan, local),
        f"fused ({method}, {at_once} at once)": lambda: executor.run(weights, plan),
        "centralised": plain_loop(chain, data, central, local),
    }
    rows = measure(
        {label: Case(call, ITERATIONS, "local iteration") for label, call in cases.items()}, PLAIN, rounds
    )
    return [replace(row, measure=f"{name}: {row.measure}") for row in rows]


def small_table(rounds: int) -> list[Row]:
    """Networks whose replicas are trained together."""
    return [row for setting in SMALL for row in measure_setting(setting, rounds)]


def large_table(rounds: int) -> list[Row]:
    """Networks whose replicas are trained in turn, which takes a third of the rounds."""
    return [row for setting in LARGE for row in measure_setting(setting, max(3, rounds // 3))]


TABLES = {"training small networks": small_table, "training large networks": large_table}


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
