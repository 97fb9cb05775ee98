"""Max pooling before the activation: the same function and gradient, on fewer elements."""

from typing import TypeVar

from torch import nn

from sfl_env.dnn.copies import own_copy
from sfl_env.learning.executors.plainness import acts_otherwise

Module = TypeVar("Module", bound=nn.Module)


def pool_before_activation(network: Module) -> Module:
    """Return a copy in which each ``ReLU`` changes places with the ``MaxPool2d`` right after it.

    Both keep the order of numbers, so the largest of the rectified ones is the largest one rectified. Neither has
    weights: all names stay.

    Examples
    --------
    >>> pool_before_activation(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)))
    Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (1): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
      (2): ReLU()
    )
    """
    changed = own_copy(network)
    for parent in changed.modules():
        if type(parent) is not nn.Sequential:
            continue
        for index in range(len(parent) - 1):
            activation, pooling = parent[index], parent[index + 1]
            if (
                type(activation) is nn.ReLU
                and type(pooling) is nn.MaxPool2d
                and not pooling.return_indices
                and not any(map(acts_otherwise, (activation, pooling)))
            ):
                parent[index], parent[index + 1] = pooling, activation
    return changed
