"""A copy of the user's network into which one replica's weights are put at a time."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.split import SplitNetwork
from sfl_env.errors import TrainingError
from sfl_env.learning.weights import Weights, names_of, tensors_of

MaybeGradients = dict[str, Tensor | None]
"""Gradients by name; None of what a loss does not depend on."""


class _Home(NamedTuple):
    """Where a buffer lives."""

    module: nn.Module
    attribute: str
    tensor: Tensor


class Workspace:
    """Runs the plain step: the network as it is, forward and backward.

    Parameters
    ----------
    split : SplitNetwork
        The network; it is copied.
    """

    def __init__(self, split: SplitNetwork) -> None:
        self.split = split.of(own_copy(split.network).train())
        self._tensors = tensors_of(self.split.network)
        self._trained = {name: self._tensors[name] for name in names_of(split).trained}
        self._held: Weights = {}
        self.puts_tensors_anew = False
        self._homes = [
            _Home(module, attribute, tensor)
            for module in self.split.network.modules()
            for attribute, tensor in module.named_buffers(recurse=False)
        ]

    @property
    def network(self) -> nn.Module:
        """The copy, in training mode."""
        return self.split.network

    def hold(self, weights: Mapping[str, Tensor]) -> None:
        """Take tensors as the network's own: what it writes, it writes to them."""
        for name, tensor in weights.items():
            self._tensors[name].data = tensor
        self._held = dict(weights)

    def step(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, MaybeGradients]:
        """Return the mean loss of a mini-batch, and the gradients of all parameters that train."""
        loss = functional.cross_entropy(self.split(inputs), labels)
        # Not ``autograd.grad``: reentrant checkpoints and hooks on parameters need the usual way.
        if loss.requires_grad:
            loss.backward()
        self._follow_new_buffers()
        self._follow_new_memory()
        gradients: MaybeGradients = {}
        for name, parameter in self._trained.items():
            own, parameter.grad = parameter.grad, None
            gradients[name] = own.to_dense() if own is not None and own.is_sparse else own
        return loss.detach(), gradients

    def _follow_new_memory(self) -> None:
        """Write what the forward pass put into a tensor's ``data`` into the memory that it held before."""
        for name, held in self._held.items():
            tensor = self._tensors[name]
            if tensor.data_ptr() != held.data_ptr():
                self.puts_tensors_anew = True
                held.copy_(tensor.detach())
                tensor.data = held

    def _follow_new_buffers(self) -> None:
        """Write buffers that the forward pass put anew into the memory of those before."""
        for module, attribute, tensor in self._homes:
            new = module._buffers[attribute]
            if new is tensor:
                continue
            if new is None or new.shape != tensor.shape:
                raise TrainingError(
                    f"The buffer {attribute!r} of a {type(module).__name__} became "
                    f"{'None' if new is None else f'of shape {tuple(new.shape)}'} in a forward pass; it was of "
                    f"shape {tuple(tensor.shape)}. The devices' copies can only be averaged if its shape stays."
                )
            self.puts_tensors_anew = True
            with torch.no_grad():
                tensor.copy_(new)
            module._buffers[attribute] = tensor
