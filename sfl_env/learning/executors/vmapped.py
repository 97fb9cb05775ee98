"""All replicas of any network in one pass, through ``torch.func``."""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from sfl_env.dnn.outputs import logits_of
from sfl_env.learning.executors.gradients import Forward
from sfl_env.learning.weights import Weights


def vmapped(network: nn.Module) -> Forward:
    """Return the forward pass of any network over stacked weights, through ``torch.func``."""

    def one(parameters: Weights, buffers: Weights, inputs: Tensor) -> Tensor:
        return logits_of(functional_call(network, (parameters, buffers), (inputs,)), type(network).__name__)

    over_replicas = torch.vmap(one, randomness="different")

    def forward(parameters: Weights, buffers: Weights, inputs: Tensor) -> Tensor:
        # The fused attention kernels have no batching rule; the plain matrix products do.
        with sdpa_kernel(SDPBackend.MATH):
            logits: Tensor = over_replicas(parameters, buffers, inputs)
        return logits

    return forward
