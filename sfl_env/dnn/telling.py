"""How torch tells of what runs: each function that Python code calls, and each operation below autograd."""

import random
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from sfl_env.dnn.contents import walk
from sfl_env.dnn.record import Record

SHAPE_ONLY = frozenset(
    f"aten::{name}"
    for name in (
        *("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like"),
        *("new_empty", "new_empty_strided", "new_zeros", "new_ones", "new_full"),
    )
)
"""Operations that take a tensor's shape and not its numbers."""

READ_BY_PYTHON = frozenset({"aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero"})
"""Operations by which numbers reach Python, where they can decide what runs."""

HANDING_OUT = frozenset({"numpy", "array", "tolist", "dlpack"})
"""Functions that hand a tensor's numbers to other code, which may use them at any time."""

_WRITES_STATISTICS = frozenset({"aten::native_batch_norm", "aten::cudnn_batch_norm", "aten::miopen_batch_norm"})
"""Operations that write to their fourth and fifth argument if the sixth is true, and declare it nowhere."""


class Functions(TorchFunctionMode):
    """Tells of each function of torch that Python code calls."""

    def __init__(self, tell: Callable[[Any, Any, Any], Any]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tell(func, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Tells of each operation of torch, below autograd."""

    def __init__(self, tell: Callable[[Any, Any, Any], Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._tell = tell

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._tell(func, args, kwargs or {})


@contextmanager
def chance_noticed(record: Record, network: nn.Module) -> Iterator[None]:
    """Note in a record whether Python or NumPy draw random numbers, or the network from generators of its own."""
    own = generators_of(network)
    before = where_they_stand(own)
    yield
    record.is_fixed = record.is_fixed and where_they_stand(own) == before


Generator = np.random.Generator | np.random.RandomState | random.Random


def generators_of(network: nn.Module) -> list[Generator]:
    """Return the generators of Python and NumPy that a network holds."""
    return [each for each in walk(network) if isinstance(each, Generator)]


def where_they_stand(generators: Iterable[Generator]) -> list[Any]:
    """Return the states of the common generators of Python and NumPy, and of others."""
    states: list[Any] = [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    for each in generators:
        if isinstance(each, np.random.Generator):
            states.append(repr(each.bit_generator.state))
        else:
            states.append(each.getstate() if isinstance(each, random.Random) else repr(each.get_state()))
    return states


def tensors_among(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among a function's arguments; quicker than a general walk, as it runs for each call."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_among(value)
        elif isinstance(value, dict):
            yield from tensors_among(value.values())


def written_arguments(func: Any, args: Any, kwargs: Any) -> Iterator[Any]:
    """Yield the arguments that an operation writes to."""
    schema = func._schema
    if schema.name in _WRITES_STATISTICS:
        yield from args[3:5] if args[5] else ()
    elif schema.is_mutable:
        for argument, value in zip(schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                yield value
        for argument in schema.arguments:
            if argument.name in kwargs and argument.alias_info is not None and argument.alias_info.is_write:
                yield kwargs[argument.name]


def plain_name(func: Any) -> str:
    """Return what a function of torch is called, an operator without its underscores.

    Examples
    --------
    >>> plain_name(torch.Tensor.__add__)
    'add'
    """
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        name = getattr(getattr(func, "__self__", None), "__name__", "attribute")
    return str(name).strip("_")


def hooks_on_what_is_saved() -> Any:
    """Return the innermost hooks on what autograd saves; a checkpoint, for one, has its own."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Keep to kernels whose memory can be seen: hollow tensors lack the workspace of oneDNN's recurrent ones."""
    before = torch.backends.mkldnn.set_flags(_enabled=False)[0]
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(_enabled=before)


def telling_what_is_saved(tell: Callable[[Tensor], None]) -> saved_tensors_hooks:
    """Return a context that tells a method of each tensor that autograd saves.

    The graph does not keep the method's object, whose tensors may keep the graph, and of what an operation saves
    it keeps the numbers alone: Python would see no end of a graph that is kept by what it saves.
    """
    method = weakref.WeakMethod(tell)

    def pack(tensor: Tensor) -> Tensor:
        told = method()
        if told is not None:
            told(tensor)
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            return tensor.detach()

    return saved_tensors_hooks(pack, lambda tensor: tensor)
