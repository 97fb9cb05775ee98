"""Tensors that a network makes of constants while it runs without values, and keeps outside itself.

A table that ``forward`` makes on first use and keeps in a global, in a class or by ``functools.lru_cache`` stays
when the run is over. Without values it would break the user's own network, so it gets its values then.
"""

import gc
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sfl_env.dnn.telling import SHAPE_ONLY, tensors_among, written_arguments
from sfl_env.errors import ProfileError


class Constants(TorchDispatchMode):
    """Notes, on tensors without values, how constants are computed, and gives values to those that stay.

    Constants are what is made of nothing but numbers, and of tensors with values. They are computed only if
    somebody still refers to them, or if another one that stays is made of them, so that the masks of a large
    network take no memory.

    Examples
    --------
    >>> from sfl_env.dnn.hollow import hollow_tensors
    >>> constants, tables = Constants(), []
    >>> with hollow_tensors(), constants:
    ...     tables.append(torch.arange(3) ** 2)
    >>> constants.fill(), tables
    (True, [tensor([0, 1, 4])])
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self._steps: list[_Step] = []
        self._known: list[weakref.ref[Tensor]] = []
        self._numbers: dict[int, int] = {}  # by identity
        self._memory: list[int] = []  # by number: the first constant that lies in the same memory
        self._values: dict[int, Tensor] = {}  # of those that were there before
        self._lost: set[int] = set()  # memories that are no constants any more

    def add(self, tensor: Tensor, value: Tensor) -> None:
        """Tell of a tensor that is there before, and of its value, which is read and never written to."""
        self._values[self._enter(tensor)] = value

    def fill(self) -> bool:
        """Give values to the constants that are still there, after the run; return whether there are any."""
        if not self._lasting():
            return False
        gc.collect()  # what the network's copy keeps goes with it
        lasting = self._lasting()
        values = self._computed(lasting)
        for number, tensor in lasting.items():
            _become(tensor, values[number])
        return bool(lasting)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if isinstance(func, OpOverload) and func.namespace != "prim":
            self._note(func, args, kwargs, output)
        return output

    def _note(self, func: OpOverload, args: Any, kwargs: Any, output: Any) -> None:
        given = [*tensors_among(args), *tensors_among(kwargs.values())]
        for tensor in given:
            if tensor.requires_grad and not isinstance(tensor, FakeTensor):
                raise ProfileError(
                    "forward uses a parameter that is no part of the network, which would get a gradient of the "
                    "run. Assign it to an attribute of the network."
                )
        written = list(tensors_among(written_arguments(func, args, kwargs)))
        is_known = func._schema.name in SHAPE_ONLY or all(map(self._is_constant, given))
        # Gradients of the run, some of which are constants, are nobody's tables.
        in_backward = torch._C._current_autograd_node() is not None
        if in_backward or not is_known or any(map(self._is_from_before, written)):
            self._lose(written)
            return
        args, kwargs = tree_map_only(Tensor, self._stand_in, (args, kwargs))
        sources = [each.number for each in tree_leaves((args, kwargs)) if isinstance(each, _Constant)]
        is_view = any(each.alias_info is not None for each in func._schema.returns) and func is not _LIFT
        memory = self._memory[sources[0]] if is_view and sources else None
        results = [self._enter(tensor, memory) for tensor in tensors_among((output,))]
        touched = [*results, *(self._enter(tensor) for tensor in written)]
        self._steps.append(_Step(func, args, kwargs, sources, results, touched))

    def _lose(self, written: Iterable[Tensor]) -> None:
        """Note that there is no telling what these hold from now on."""
        for tensor in written:
            if self._number(tensor) is not None or not isinstance(tensor, FakeTensor):
                self._lost.add(self._memory[self._enter(tensor)])

    def _number(self, tensor: Tensor) -> int | None:
        number = self._numbers.get(id(tensor))
        return number if number is not None and self._known[number]() is tensor else None

    def _enter(self, tensor: Tensor, memory: int | None = None) -> int:
        """Return the number of a constant, a new one if it has none."""
        number = self._number(tensor)
        if number is None:
            number = self._numbers[id(tensor)] = len(self._known)
            self._known.append(weakref.ref(tensor))
            self._memory.append(number if memory is None else memory)
        return number

    def _is_constant(self, tensor: Tensor) -> bool:
        number = self._number(tensor)
        if number is None:
            return not isinstance(tensor, FakeTensor)
        return self._memory[number] not in self._lost

    def _is_from_before(self, tensor: Tensor) -> bool:
        number = self._number(tensor)
        return number is None or self._memory[number] in self._values

    def _stand_in(self, tensor: Tensor) -> Any:
        if not self._is_constant(tensor):
            return _Shape(tensor.shape, tensor.dtype)
        if self._number(tensor) is None:
            self.add(tensor, tensor)
        return _Constant(self._enter(tensor))

    def _lasting(self) -> dict[int, Tensor]:
        numbers = {number for step in self._steps for number in step.results}
        found = ((number, self._known[number]()) for number in numbers if self._memory[number] not in self._lost)
        return {number: tensor for number, tensor in found if tensor is not None}

    def _computed(self, wanted: Iterable[int]) -> dict[int, Tensor]:
        """Do again, with values, what these are made of."""
        memories = {self._memory[number] for number in wanted}
        needed = list[_Step]()
        for step in reversed(self._steps):
            if any(self._memory[number] in memories for number in step.touched):
                needed.append(step)
                memories |= {self._memory[number] for number in step.sources}
        values = dict(self._values)

        def value(stand_in: _Constant | _Shape) -> Tensor:
            return stand_in.among(values)

        for step in reversed(needed):
            args, kwargs = tree_map_only((_Constant, _Shape), value, (step.args, step.kwargs))
            output = step.func(*args, **kwargs)
            made = output.clone() if step.func is _LIFT else output
            values |= zip(step.results, tensors_among((made,)), strict=True)
        return values


_LIFT = torch.ops.aten.lift_fresh.default
"""Brings in what Python or NumPy hold, which the constant shares no memory with."""


class _Step(NamedTuple):
    """An operation on constants."""

    func: OpOverload
    args: Any
    kwargs: Any
    sources: list[int]
    results: list[int]
    touched: list[int]  # results, and what is written to


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant among the arguments of a step."""

    number: int

    def among(self, values: dict[int, Tensor]) -> Tensor:
        return values[self.number]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A tensor among the arguments of a step of which only the shape is asked for."""

    shape: torch.Size
    dtype: torch.dtype

    def among(self, values: dict[int, Tensor]) -> Tensor:
        return torch.empty(self.shape, dtype=self.dtype, device="cpu")


def _become(tensor: Tensor, value: Tensor) -> None:
    """Make a tensor without values, whoever refers to it, one with them.

    ``torch.utils.swap_tensors`` does the same, but not where there are views or weak references, which are right
    to follow here: all that lie in the same memory change together.
    """
    if isinstance(tensor, nn.Parameter):
        value = nn.Parameter(value, tensor.requires_grad)
    elif tensor.requires_grad and tensor.is_leaf:
        value.requires_grad_()
    tensor.__class__, value.__class__ = value.__class__, tensor.__class__
    tensor.__dict__, value.__dict__ = value.__dict__, tensor.__dict__
    torch._C._swap_tensor_impl(tensor, value)
