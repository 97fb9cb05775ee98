"""Random networks, data and plans of a round for tests of the executors."""

from typing import Any

import numpy as np
import torch
from torch import nn

from sfl_env.dnn.split import SplitNetwork, as_chain
from sfl_env.learning.data import TensorData
from sfl_env.learning.plan import LocalTraining, RoundPlan

CLASSES = 4


class Residual(nn.Module):
    """A block that is no plain chain of layers, with a parameter that is a single number."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.Tanh())
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Any) -> Any:
        return x + self.gain * self.inner(x)


def random_chain(rng: np.random.Generator, *, batch_norm: bool = False, residual: bool = False) -> nn.Sequential:
    """Blocks of random layers for pictures of 2x6x6."""
    width = int(rng.integers(1, 4)) * 2
    blocks: list[Any] = [nn.Conv2d(2, width, 3, padding=int(rng.integers(0, 2)), bias=bool(rng.integers(0, 2)))]
    for _ in range(rng.integers(1, 3)):
        layers: list[nn.Module] = [nn.Conv2d(width, width, 3, padding=1, groups=int(rng.choice([1, 2])))]
        layers += [nn.GroupNorm(2, width)] * int(rng.integers(0, 2))
        layers += [nn.BatchNorm2d(width)] * batch_norm
        layers += [[nn.ReLU(), nn.GELU(), nn.Tanh()][rng.integers(0, 3)]]
        layers += [Residual(width)] * residual
        blocks.append(nn.Sequential(*layers))
    blocks[-1].append([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)][rng.integers(0, 3)])
    blocks.append(nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.ReLU()))
    blocks.append(nn.Linear(5, CLASSES, bias=bool(rng.integers(0, 2))))
    chain = nn.Sequential(*blocks).double()
    chain(torch.zeros(2, 2, 6, 6, dtype=torch.float64))
    return chain


def random_case(
    seed: int, *, num_devices: int = 4, iterations: int = 3, equal_batches: bool = False, **chain: bool
) -> Any:
    """A network, data, and the plan of a round."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = random_chain(rng, **chain)
    labels = torch.as_tensor(rng.integers(0, CLASSES, 60))
    features = torch.as_tensor(rng.normal(size=(60, 2, 6, 6)))
    data = TensorData("random", features, labels, features[:5], labels[:5], CLASSES)
    sizes = [3] * num_devices if equal_batches else rng.integers(2, 6, num_devices).tolist()
    plan = RoundPlan(
        round=7,
        devices=tuple(range(num_devices)),
        cut=torch.as_tensor(rng.integers(0, len(network), num_devices)),
        samples=torch.as_tensor(rng.integers(5, 30, num_devices), dtype=torch.float64),
        batches=tuple(torch.as_tensor(rng.integers(0, 60, (iterations, size))) for size in sizes),
        turn=torch.as_tensor(rng.permuted(np.tile(np.arange(num_devices), (iterations, 1)), axis=1)),
        seed=0,
    )
    return network, data, plan


def local_training(seed: int, server: Any) -> LocalTraining:
    if seed % 2:
        return LocalTraining(server=server, optimizer="adam", learning_rate=0.01, weight_decay=0.01)
    return LocalTraining(server=server, learning_rate=0.05, momentum=0.9)


def split_of(network: nn.Module) -> SplitNetwork:
    return as_chain(network, (2, 6, 6))


def start(network: nn.Module) -> Any:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def assert_close(left: Any, right: Any, tolerance: float = 1e-9) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.allclose(tensor, right[name], rtol=0.0, atol=tolerance), name
