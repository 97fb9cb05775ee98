"""What a network leaves behind from call to call, besides numbers in its parameters and buffers."""

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sfl_env.dnn.contents import contents, is_plain
from sfl_env.dnn.process import seeded
from sfl_env.dnn.split import SplitNetwork
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.workspace import Workspace
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.weights import tensors_of


class Habits(NamedTuple):
    """What a network does besides computing.

    Parameters
    ----------
    keeps_state : bool
        A step, or an evaluation, leaves more behind than parameters and buffers: a counter, a list that grows, a
        cache. What of it belongs to which device nobody can tell, so each device starts its round from a copy of
        the network as it was made.
    puts_tensors_anew : bool
        A forward pass puts new tensors in the place of buffers.
    """

    keeps_state: bool
    puts_tensors_anew: bool

    def why_not_at_once(self) -> str:
        """Return why one pass for all replicas would do something else; nothing if it would not."""
        if self.keeps_state:
            return "the network keeps state of its own from call to call"
        if self.puts_tensors_anew:
            return "a forward pass puts new tensors in the place of buffers"
        return ""


def habits_of(split: SplitNetwork, data: TensorData, local: LocalTraining) -> Habits:
    """Return what a step and an evaluation of a network leave behind.

    Parameters
    ----------
    split : SplitNetwork
        The network; a copy of it runs.
    data : TensorData
        Whose first samples are taken.
    local : LocalTraining
        Size of the mini-batches: what a network does may depend on it.
    """
    inputs, labels = data.train_features[: local.largest_batch], data.train_labels[: local.largest_batch]
    space = Workspace(split)
    network = space.network
    space.hold({name: tensor.detach().clone() for name, tensor in tensors_of(network).items()})
    before = _trace(network)
    with seeded(0, inputs.device):
        try:
            space.step(inputs.clone(), labels)
            trained = _trace(network)
            judged = _trace(network.eval())
            with torch.no_grad():
                network(inputs.clone())
        except Exception:  # whatever it is, the training will tell it where it matters
            return Habits(keeps_state=False, puts_tensors_anew=space.puts_tensors_anew)
    return Habits(before != trained or judged != _trace(network), space.puts_tensors_anew)


@dataclass(frozen=True)
class _Trace:
    """What a network holds; another one if any of it has changed."""

    lines: list[Any]
    objects: list[Any] = field(compare=False)  # kept, so that no other has the identity of one


def _trace(network: nn.Module) -> _Trace:
    parameters = {id(parameter) for parameter in network.parameters()}
    followed = {id(tensor) for tensor in tensors_of(network).values()}
    buffers = {id(buffer) for buffer in network.buffers()}
    objects: list[Any] = [network]
    numbers = {id(network): 0}  # in the order in which they are found
    lines: list[Any] = []
    for value in objects:
        held = [] if isinstance(value, _GENERATORS) else contents(value)
        if isinstance(value, Tensor) and id(value) not in followed:
            lines.append(_numbers(value))
        if id(value) not in buffers:
            lines.append(id(value) if id(value) in parameters else _mark(value, held))
        for each in held:
            if is_plain(each):
                lines.append((type(each), repr(each) if isinstance(each, float | complex) else each))
                continue
            if id(each) not in numbers:
                numbers[id(each)] = len(objects)
                objects.append(each)
            lines.append(numbers[id(each)])
    return _Trace(lines, objects)


_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)

_CONTAINERS = (list, tuple, dict, set, frozenset)


def _numbers(tensor: Tensor) -> Any:
    """Return what tells of a tensor's numbers, which may change without torch's knowledge."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return None
    return _digest(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())


def _digest(numbers: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(numbers).data, digest_size=16).digest()


def _mark(value: Any, held: list[Any]) -> Any:
    """Return what tells of an object what the things that it holds do not."""
    if isinstance(value, Tensor):
        return id(value), value._version
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, None if value.dtype.hasobject else _digest(value)
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state())
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, bytearray):
        return bytes(value)
    return (type(value), len(held)) if held or type(value) in _CONTAINERS else id(value)
