"""Copies of modules on the meta device, where tensors have shapes and no values."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sfl_env.errors import ProfileError

M = TypeVar("M", bound=nn.Module)
META = torch.device("meta")

BATCHES = (2, 3)
"""Batch sizes to run with: two, to tell what grows with the batch, and not 1, which batch normalisation
refuses."""


def to_meta(module: M) -> M:
    """Return a copy in training mode on the meta device; the weights themselves are never copied.

    Parameters shared within the module stay shared in the copy.

    Raises
    ------
    ProfileError
        If the module cannot be copied, or has parameters that get their shape from a first run.
    """
    memo: dict[int, object] = {}
    for part in module.modules():
        plain = [value for value in vars(part).values() if isinstance(value, Tensor)]
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False), *plain):
            if is_lazy(tensor):
                raise ProfileError(
                    f"A {type(part).__name__} has parameters without a shape; run the network on one batch first."
                )
            hollow = tensor.detach().to(META).requires_grad_(tensor.requires_grad)
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(hollow, tensor.requires_grad) if is_parameter else hollow
    # A user's own module may refuse to be copied with any error at all.
    try:
        return copy.deepcopy(module, memo).to(META).train()
    except Exception as error:
        raise ProfileError(f"{type(module).__name__} cannot be copied ({reason(error)}).") from error


def sample_input(input_shape: tuple[int, ...], batch: int) -> Tensor:
    """Return an input without values, (batch, *input_shape)."""
    return torch.empty((batch, *input_shape), device=META)


def reason(error: BaseException) -> str:
    """Return what an error of foreign code says, on one line and without its full stop."""
    lines = str(error).strip().splitlines()
    kind = type(error).__name__
    return f"{kind}: {lines[0].rstrip('.')}" if lines else kind
