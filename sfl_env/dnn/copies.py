"""Copies of a user's network: what is watched or trained is never the network itself."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sfl_env.dnn.copier import Copier
from sfl_env.dnn.foreign import foreign_code
from sfl_env.errors import ProfileError

M = TypeVar("M", bound=nn.Module)


def own_copy(network: M) -> M:
    """Return a copy of a network with all that it holds, functions and what they close over included.

    Raises
    ------
    ProfileError
        If the network cannot be copied, or has parameters that get their shape from a first run.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> own_copy(layer).weight is layer.weight
    False
    """
    made = copied(network, copy.deepcopy)
    for scripted in made.modules():
        for parameter in scripted.parameters() if isinstance(scripted, torch.jit.ScriptModule) else ():
            if not parameter.is_leaf:  # torch clones them with their history
                parameter.detach_().requires_grad_()
    return made


def copied(network: M, made: Callable[[Tensor, dict[int, Any]], Tensor]) -> M:
    """Return a copy of a network whose tensors are made otherwise.

    Parameters
    ----------
    network : nn.Module
        What to copy.
    made : callable
        Takes a tensor, and the memo of Python's ``copy``, and returns what is to be in its place.

    Raises
    ------
    ProfileError
        If the network cannot be copied, or has parameters that get their shape from a first run.
    """
    for part in network.modules():
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
            if is_lazy(tensor):
                raise ProfileError(
                    f"A {type(part).__name__} has parameters without a shape; run the network on one batch first."
                )
    with foreign_code(f"{type(network).__name__} cannot be copied"):
        result: M = Copier(network, made)(network)
    return result
