"""Small networks into which tests put what they are about."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Body(nn.Module):
    """Three layers; what lies between them is each test's own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def between(self, h: Tensor) -> Any:
        return h

    def forward(self, x: Tensor) -> Any:
        h = self.between(torch.tanh(self.first(x)))
        return self.last(torch.tanh(self.middle(h)))


def chain() -> nn.Sequential:
    """Return three layers in turn."""
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def between(*middle: nn.Module) -> nn.Sequential:
    """Return two layers with others between them."""
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), *middle, nn.Linear(8, 3))


def around(block: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Return a function that makes a block, an activation behind it, and a layer on either side."""
    return lambda: nn.Sequential(nn.Linear(6, 8), block(), nn.Tanh(), nn.Linear(8, 3))
