"""Gradients of replicas of a network, each on its own mini-batch: the formulations that fit any network."""

import copy
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

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
    gradients: Weights  # stacked


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
        gradients = torch.autograd.grad(loss.sum(), list(leaves.values()))
        return Gradients(loss.detach(), dict(zip(leaves, gradients, strict=True)))


def vmapped(chain: nn.Module) -> Forward:
    """Return the forward pass of any network over stacked weights, through ``torch.func``."""

    def one(parameters: Weights, buffers: Weights, inputs: Tensor) -> Tensor:
        logits: Tensor = functional_call(chain, (parameters, buffers), (inputs,))
        return logits

    over_replicas = torch.vmap(one, randomness="different")

    def forward(parameters: Weights, buffers: Weights, inputs: Tensor) -> Tensor:
        # The fused attention kernels have no batching rule; the plain matrix products do.
        with sdpa_kernel(SDPBackend.MATH):
            logits: Tensor = over_replicas(parameters, buffers, inputs)
        return logits

    return forward


class SingleGradients:
    """One replica by itself.

    The samples that pad its batch are left out, so that layers which mix samples (batch normalisation) see
    the real ones alone. Dropout draws from a generator of its own, seeded at each step, so that what a replica
    draws does not depend on what others do beside it.

    Parameters
    ----------
    chain : nn.Module
        The network; it is copied.
    """

    def __init__(self, chain: nn.Module) -> None:
        self._chain = copy.deepcopy(chain).train()
        self._generator = torch.Generator(next(chain.parameters()).device)
        self._has_dropout = False
        for parent in list(self._chain.modules()):
            for name, child in parent.named_children():
                if type(child) is nn.Dropout:
                    setattr(parent, name, _Dropout(child.p, self._generator))
                    self._has_dropout = True
        self._parameters = dict(self._chain.named_parameters())
        self._buffers = dict(self._chain.named_buffers())
        self._taken_from: Weights | None = None

    def draws_elsewhere(self, inputs: Tensor) -> bool:
        """Whether a forward pass draws from torch's own generator, which all threads share."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            before = torch.get_rng_state()
            self._chain(inputs)
            return not torch.equal(before, torch.get_rng_state())

    def __call__(self, parameters: Weights, buffers: Weights, batch: Batch) -> Gradients:
        """Return the one replica's loss and gradients."""
        # From step to step of one replica the copy has its memory already.
        if parameters is not self._taken_from:
            self._take_memory(parameters, buffers)
        if self._has_dropout:
            self._generator.manual_seed(int(np.random.SeedSequence(batch.seeds[0]).generate_state(1)[0]))
        (size,) = batch.sizes
        loss = functional.cross_entropy(self._chain(batch.inputs[0, :size]), batch.labels[0, :size])
        gradients = torch.autograd.grad(loss, list(self._parameters.values()))
        return Gradients(
            loss.detach()[None],
            {name: own.unsqueeze(0) for name, own in zip(self._parameters, gradients, strict=True)},
        )

    def _take_memory(self, parameters: Weights, buffers: Weights) -> None:
        """Give the copy's tensors a replica's memory: ``functional_call`` would take longer at each step."""
        for held, stacked in ((self._parameters, parameters), (self._buffers, buffers)):
            for name, tensor in held.items():
                tensor.data = stacked[name][0]
        self._taken_from = parameters


class _Dropout(nn.Module):
    """``nn.Dropout`` in training, with a generator of its own."""

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__()
        self._p = p
        self._generator = generator

    def forward(self, x: Tensor) -> Tensor:
        if self._p == 1.0:
            return x * 0.0
        kept = torch.empty_like(x).bernoulli_(1.0 - self._p, generator=self._generator)
        return x * kept.div_(1.0 - self._p)
