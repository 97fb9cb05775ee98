"""Gradients of replicas of a network, each on its own mini-batch: what all ways to compute them have in common."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.learning.weights import Weights


class Batch(NamedTuple):
    """One mini-batch for each of R replicas; shorter ones are padded with samples that weigh nothing."""

    inputs: Tensor  # (R, n, ...)
    labels: Tensor  # (R, n)
    sample_weight: Tensor  # (R, n), 1 / n_k for a sample, 0 for padding
    sizes: tuple[int, ...]  # (R,) n_k
    seeds: tuple[tuple[int, ...], ...]  # (R,) of what a replica's layers draw, such as dropout

    def part(self, replicas: slice) -> "Batch":
        """Return the mini-batches of some of the replicas."""
        return Batch._make(values[replicas] for values in self)


class Gradients(NamedTuple):
    """What one step gives."""

    loss: Tensor  # (R,) mean loss of each replica's mini-batch
    gradients: MaybeGradients  # stacked


class GradientMethod(Protocol):
    """Computes the gradients of R replicas; running statistics in ``buffers`` are updated in place."""

    def __call__(self, parameters: Weights, buffers: Weights, batch: Batch) -> Gradients:
        """Return each replica's loss and gradients, from stacked parameters and buffers."""
        ...


Forward = Callable[[Weights, Weights, Tensor], Tensor]
"""Logits (R, n, classes) of all replicas, from stacked parameters, stacked buffers and inputs."""


class BatchedGradients:
    """One forward and one backward pass for all replicas: the gradient of a sum is that of its own term.

    Parameters
    ----------
    forward : callable
        Computes all replicas' logits at once.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    def __call__(self, parameters: Weights, buffers: Weights, batch: Batch) -> Gradients:
        """Return each replica's loss and gradients."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        logits = self._forward(leaves, buffers, batch.inputs)
        each = functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        loss = (each.view_as(batch.sample_weight) * batch.sample_weight).sum(dim=1)
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
        return Gradients(loss.detach(), dict(zip(leaves, gradients, strict=True)))
