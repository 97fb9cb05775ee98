"""Networks, data and trainings that train in no time, shared by the tests of learning."""

from typing import Any

import torch
from torch import Tensor, nn

from sfl_env.learning import LocalTraining, SplitFederatedTraining, TensorData, scheme

K = 4


def toy_data(num_classes: int = 3) -> TensorData:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(96, 6, generator=generator)
    labels = torch.randint(0, num_classes, (96,), generator=generator)
    return TensorData("toy", features, labels, features[:24].clone(), labels[:24].clone(), num_classes)


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def with_dropout() -> nn.Module:
    """Dropout, which the grouped way draws from torch's global generator."""
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


class Noise(nn.Module):
    """Noise in training and in evaluation, from torch's global generator."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


def with_noise() -> nn.Module:
    """A network that only ``torch.func`` and the loop can train."""
    return nn.Sequential(nn.Linear(6, 8), Noise(), nn.ReLU(), nn.Linear(8, 3))


def with_statistics() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def small(network: Any = plain, batch_size: int = 4, **options: Any) -> SplitFederatedTraining:
    local = LocalTraining(iterations=2, batch_size=batch_size)
    return SplitFederatedTraining(network, toy_data(), scheme("iid", K), local, device="cpu", **options)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
