"""A network's tensors by name, on their own or stacked over K replicas, and which block each belongs to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from sfl_env.dnn.split import SplitNetwork

Weights = dict[str, Tensor]
"""Tensors by their names in the network; stacked ones have the K replicas as first axis."""


def tensors_of(network: nn.Module) -> Weights:
    """Return all that makes a network compute what it computes: parameters, buffers and plain tensors.

    Each is there once, under the first of its names; those that don't persist, too. A plain tensor is one that a
    module keeps as an attribute like any other, a mask, say.

    Examples
    --------
    >>> layer = nn.BatchNorm1d(2)
    >>> layer.scale = layer.running_var + 1.0
    >>> list(tensors_of(layer))
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked', 'scale']
    """
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    known = {id(tensor) for tensor in found.values()}
    for path, module in network.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_leaf and not value.requires_grad and id(value) not in known:
                known.add(id(value))
                found[f"{path}.{attribute}".lstrip(".")] = value
    return found


class Names(NamedTuple):
    """The names of a network's tensors."""

    trained: tuple[str, ...]  # parameters that ask for a gradient
    kept: tuple[str, ...]  # frozen parameters, buffers and plain tensors
    block: dict[str, int]  # of each, counted from 0


def names_of(split: SplitNetwork) -> Names:
    """Return the names of a network's tensors with the block that each belongs to."""
    tensors = tensors_of(split.network)
    trained = tuple(name for name, tensor in tensors.items() if tensor.requires_grad)
    kept = tuple(name for name, tensor in tensors.items() if not tensor.requires_grad)
    # Plain tensors are part of the program, which both sides have.
    return Names(trained, kept, {name: split.block.get(name, 0) for name in tensors})


def in_state_dict(network: nn.Module, weights: Weights) -> dict[str, Any]:
    """Return weights as the network's ``state_dict`` has them, tied ones under all their names.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> list(in_state_dict(layer, tensors_of(layer)))
    ['weight', 'bias']
    """
    name_of = {id(tensor): name for name, tensor in tensors_of(network).items()}
    state: dict[str, Any] = {}
    for key, value in network.state_dict(keep_vars=True).items():
        held = weights.get(name_of.get(id(value), ""), value)
        state[key] = held.detach().clone() if isinstance(held, Tensor) else held
    return state


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


def changed_names(stacked: Weights, weights: Weights, names: tuple[str, ...]) -> set[str]:
    """Return the names of the tensors of which any replica's copy is another than before.

    What no device changed stays as it is to the last bit: averages of equal numbers are rounded, and of infinite
    ones (masks) may be no numbers.
    """
    return {name for name in names if not bool((stacked[name] == weights[name]).all())}
