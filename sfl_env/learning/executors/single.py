"""One replica after another: the plain step, in memory that the replica has already."""

import numpy as np
import torch
from torch import Tensor, nn

from sfl_env.dnn.process import seeded
from sfl_env.dnn.split import SplitNetwork
from sfl_env.dnn.telling import generators_of, where_they_stand
from sfl_env.learning.executors.gradients import Batch, Gradients
from sfl_env.learning.executors.workspace import Workspace
from sfl_env.learning.weights import Weights


class SingleGradients:
    """One replica by itself.

    The samples that pad its batch are left out, so that layers which mix samples (batch normalisation) see
    the real ones alone. Dropout draws from a generator of its own, seeded at each step, so that what a replica
    draws does not depend on what others do beside it.

    Parameters
    ----------
    split : SplitNetwork
        The network; it is copied.
    keeps_state : bool
        Whether the network keeps more than parameters and buffers from call to call: then each replica has a copy
        of its own, for as long as this object lives.
    """

    def __init__(self, split: SplitNetwork, *, keeps_state: bool = False) -> None:
        self._split = split
        self._keeps_state = keeps_state
        self._generator = torch.Generator(next(iter(split.network.parameters())).device)
        self._workspaces: list[tuple[Weights, Workspace]] = []
        self._has_dropout = any(type(module) is nn.Dropout for module in split.network.modules())

    def draws_elsewhere(self, inputs: Tensor) -> bool:
        """Whether a forward pass draws from generators of torch, Python or NumPy, which all threads share."""
        network = self._new_workspace().network
        with seeded(0, inputs.device), torch.no_grad():
            own = generators_of(network)
            before, others = torch.get_rng_state(), where_they_stand(own)
            network(inputs)
            return not torch.equal(before, torch.get_rng_state()) or others != where_they_stand(own)

    def __call__(self, parameters: Weights, buffers: Weights, batch: Batch) -> Gradients:
        """Return the one replica's loss and gradients."""
        workspace = self._of(parameters, buffers)
        if self._has_dropout:
            self._generator.manual_seed(int(np.random.SeedSequence(batch.seeds[0]).generate_state(1)[0]))
        (size,) = batch.sizes
        loss, gradients = workspace.step(batch.inputs[0, :size], batch.labels[0, :size])
        return Gradients(
            loss[None], {name: None if own is None else own.unsqueeze(0) for name, own in gradients.items()}
        )

    def _of(self, parameters: Weights, buffers: Weights) -> Workspace:
        """Return the workspace that holds a replica's weights, from step to step the same."""
        for held, workspace in self._workspaces:
            if held is parameters:
                return workspace
        if self._keeps_state or not self._workspaces:
            workspace = self._new_workspace()
        else:
            _, workspace = self._workspaces.pop()
        self._workspaces.append((parameters, workspace))
        # Setting the memory once is quicker than ``functional_call`` at each step, and all modules bear it.
        workspace.hold({name: stacked[0] for name, stacked in (*parameters.items(), *buffers.items())})
        return workspace

    def _new_workspace(self) -> Workspace:
        workspace = Workspace(self._split)
        for module in workspace.network.modules():
            if type(module) is nn.Dropout:
                # Still the user's own object: its attributes and hooks stay.
                module.__class__ = _Dropout
                vars(module)["generator"] = self._generator
        return workspace


class _Dropout(nn.Dropout):
    """``nn.Dropout`` in training, with a generator of its own."""

    generator: torch.Generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if self.p == 1.0:
            return x.mul_(0.0) if self.inplace else x * 0.0
        kept = torch.empty_like(x).bernoulli_(1.0 - self.p, generator=self.generator)
        kept.div_(1.0 - self.p)
        return x.mul_(kept) if self.inplace else x * kept
