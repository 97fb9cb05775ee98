"""A network's tensors by name, on their own or stacked over K replicas, and which block each belongs to."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sfl_env.dnn.contents import PROXIES
from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.split import SplitNetwork
from sfl_env.errors import TrainingError

Weights = dict[str, Tensor]
"""Tensors by their names in the network; stacked ones have the K replicas as first axis."""


def tensors_of(network: nn.Module) -> Weights:
    """Return all that makes a network compute what it computes: parameters, buffers and plain tensors.

    Each is there once, under the first of its names; those that don't persist, too. A plain tensor is one that a
    module keeps as an attribute like any other, a mask, say, or in a list, or that belongs to a module in a list.

    Examples
    --------
    >>> layer = nn.BatchNorm1d(2)
    >>> layer.scale = layer.running_var + 1.0
    >>> list(tensors_of(layer))
    ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked', 'scale']
    """
    found = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    known = {id(tensor) for tensor in found.values()} | {id(module) for module in network.modules()}
    for path, module in network.named_modules():
        for attribute, value in vars(module).items():
            if attribute not in _LISTED:
                found.update(_plain(f"{path}.{attribute}".lstrip("."), value, known))
    return found


_LISTED = frozenset({"_parameters", "_buffers", "_modules"})
"""Attributes of a module that hold what has names of its own."""


def _plain(name: str, value: object, known: set[int]) -> Iterator[tuple[str, Tensor]]:
    if id(value) in known or type(value) in PROXIES:
        return
    if isinstance(value, Tensor):
        known.add(id(value))
        if value.is_leaf:
            yield name, value
    elif isinstance(value, list | tuple):
        known.add(id(value))
        for index, each in enumerate(value):
            yield from _plain(f"{name}[{index}]", each, known)
    elif isinstance(value, dict):
        known.add(id(value))
        for key, each in value.items():
            yield from _plain(f"{name}[{key!r}]", each, known)
    elif isinstance(value, nn.Module):
        known.update(id(module) for module in value.modules())
        for inner, tensor in tensors_of(value).items():
            yield from _plain(f"{name}.{inner}", tensor, known)


def check_memory(network: nn.Module) -> None:
    """Raise unless each tensor of a network has memory of its own, as its copies will have.

    Raises
    ------
    TrainingError
        It names the sparse one, or the two that share some.
    """
    spans: list[tuple[int, int, str]] = []
    for name, tensor in {**dict(_computed(network)), **tensors_of(network)}.items():
        if tensor.layout is not torch.strided:
            raise TrainingError(
                f"{name!r} of the network is {tensor.layout}, of which the devices' copies cannot be stacked and "
                "averaged. Keep it dense, and make the sparse one of it in forward."
            )
        if tensor.numel():
            reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
            spans.append((tensor.data_ptr(), tensor.data_ptr() + (reach + 1) * tensor.element_size(), name))
    spans.sort()
    for (_, end, name), (start, _, other) in pairwise(spans):
        if start < end:
            raise TrainingError(
                f"{name!r} and {other!r} of the network are views of the same memory, and the devices' copies of "
                "them would not be. Keep one of them, and make the other of it in forward."
            )


def warn_of_untrained(network: nn.Module) -> None:
    """Warn of tensors that ask for a gradient, but are no parameters: no optimiser trains them."""
    parameters = {id(parameter) for parameter in network.parameters()}
    strange = [
        name for name, held in tensors_of(network).items() if held.requires_grad and id(held) not in parameters
    ]
    if strange:
        warnings.warn(
            f"{strange[0]!r} of the {type(network).__name__} has requires_grad=True but is no parameter, so "
            "nothing trains it, here as in plain PyTorch, and weights() does not have it. Keep layers in "
            "nn.ModuleList or nn.ModuleDict and tensors in nn.Parameter, or detach it.",
            stacklevel=4,
        )


def _computed(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors that modules keep as attributes and that were computed from others."""
    for path, module in network.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                yield f"{path}.{attribute}".lstrip("."), value


class Names(NamedTuple):
    """The names of a network's tensors."""

    trained: tuple[str, ...]  # parameters that ask for a gradient
    kept: tuple[str, ...]  # frozen parameters, buffers and plain tensors
    block: dict[str, int]  # of each, counted from 0


def names_of(split: SplitNetwork) -> Names:
    """Return the names of a network's tensors with the block that each belongs to."""
    tensors = tensors_of(split.network)
    trained = tuple(name for name, parameter in split.network.named_parameters() if parameter.requires_grad)
    kept = tuple(name for name in tensors if name not in set(trained))
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
    if not weights:
        raise TrainingError("There are no weights before reset(seed) or load_state_dict.")
    copy = own_copy(network)
    for name, tensor in tensors_of(copy).items():
        tensor.data = weights[name].clone()
    state = copy.state_dict()
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in state.items()}


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


def changed_names(stacked: Weights, weights: Weights, names: Iterable[str]) -> set[str]:
    """Return the names of the tensors of which any replica's copy is another than before.

    What no device changed stays as it is to the last bit: averages of equal numbers are rounded, and of infinite
    ones (masks) may be no numbers.

    Examples
    --------
    >>> before = {"a": torch.tensor([1.0]), "b": torch.tensor([2.0])}
    >>> changed_names({"a": torch.tensor([[1.0], [1.5]]), "b": torch.tensor([[2.0], [2.0]])}, before, ["a", "b"])
    {'a'}
    """
    return {name for name in names if _is_changed(stacked[name], weights[name])}


def _is_changed(copies: Tensor, before: Tensor) -> bool:
    # Most are changed by the first device already, which its first numbers tell.
    return not torch.equal(copies[0], before) or not bool((copies == before).all())
