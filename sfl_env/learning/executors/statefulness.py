"""Whether a network keeps more from call to call than its parameters and buffers."""

import random
from collections import deque
from itertools import count, cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sfl_env.dnn.process import seeded
from sfl_env.dnn.split import SplitNetwork
from sfl_env.learning.executors.workspace import Workspace

_USUAL = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

_DEEPEST = 5
"""How far objects within objects are followed."""


def keeps_state(split: SplitNetwork, inputs: Tensor, labels: Tensor) -> bool:
    """Return whether a step, or an evaluation, leaves more behind than parameters and buffers.

    A counter, a list that grows, a cache: what of it belongs to which device nobody can tell, so each device then
    starts its round from a copy of the network as it was made.

    Parameters
    ----------
    split : SplitNetwork
        The network; a copy of it runs.
    inputs, labels : Tensor
        A few samples, and their classes.
    """
    space = Workspace(split)
    before = _state(space.network)
    with seeded(0, inputs.device):
        try:
            space.step(inputs.clone(), labels)
            with torch.no_grad():
                space.network.eval()(inputs.clone())
        except Exception:  # whatever it is, the training will tell it where it matters
            return False
    return _state(space.network) != before


def _state(network: nn.Module) -> list[Any]:
    return [
        {name: _trace(value, 0) for name, value in vars(module).items() if name not in _USUAL}
        for module in network.modules()
    ]


def _trace(value: Any, depth: int) -> Any:
    """Return something that is another if a value has changed."""
    if isinstance(value, Tensor):
        return id(value), value._version
    if isinstance(value, bool | int | float | complex | str | bytes | None):
        return type(value), repr(value)
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState | random.Random):
        return repr(value.get_state() if isinstance(value, np.random.RandomState) else value.getstate())
    if isinstance(value, np.ndarray):
        return id(value), value.tobytes()
    if isinstance(value, bytearray | count | cycle):
        return id(value), repr(value.__reduce__())
    if depth == _DEEPEST or isinstance(value, type):
        return id(value)
    if isinstance(value, dict):
        return id(value), [(_trace(key, depth + 1), _trace(each, depth + 1)) for key, each in value.items()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return type(value), [_trace(each, depth + 1) for each in value]
    slots = [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    return id(value), _trace(slots, depth + 1), _trace(getattr(value, "__dict__", None), depth + 1)
