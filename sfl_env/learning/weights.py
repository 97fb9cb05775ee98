"""A network's weights by name, on their own or stacked over K replicas, and which block each belongs to."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

Weights = dict[str, Tensor]
"""Tensors by their names in the network's ``state_dict``; stacked ones have the K replicas as first axis."""


class Names(NamedTuple):
    """The names of a chain's tensors."""

    parameters: tuple[str, ...]
    buffers: tuple[str, ...]
    block: dict[str, int]  # of each parameter and buffer, counted from 0


def names_of(chain: nn.Sequential) -> Names:
    """Return the names of a chain's parameters and buffers with the block that each belongs to.

    Examples
    --------
    >>> names_of(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))).block["1.running_mean"]
    1
    """
    position = {child: index for index, (child, _) in enumerate(chain.named_children())}
    parameters = tuple(name for name, _ in chain.named_parameters())
    buffers = tuple(name for name, _ in chain.named_buffers())
    return Names(parameters, buffers, {name: position[name.split(".", 1)[0]] for name in (*parameters, *buffers)})


def copies(weights: Mapping[str, Tensor], names: tuple[str, ...], count: int, memory: Weights) -> Weights:
    """Stack ``count`` copies of the named tensors, (count, ...), each with memory of its own.

    Parameters
    ----------
    weights : mapping
        What to copy.
    names : tuple of str
        Which tensors.
    count : int
        How many copies.
    memory : dict of tensors
        Earlier copies that are no longer needed: they are written over where they have the size, since fresh
        memory costs more than the copying.
    """
    stacked: Weights = {}
    for name in names:
        shape = (count, *weights[name].shape)
        old = memory.get(name)
        stacked[name] = weights[name].new_empty(shape) if old is None or old.shape != shape else old
        stacked[name].copy_(weights[name])
    return stacked
