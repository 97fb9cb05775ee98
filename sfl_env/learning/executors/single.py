"""One replica after another: the plain step, in memory that the replica has already."""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.learning.executors.gradients import Batch, Gradients
from sfl_env.learning.process import seeded
from sfl_env.learning.weights import Weights


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
        with seeded(0, inputs.device), torch.no_grad():
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
