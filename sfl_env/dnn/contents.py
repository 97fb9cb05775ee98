"""What an object holds: all that a copy of it has to copy, also what functions close over."""

import functools
import itertools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

PROXIES = (weakref.ProxyType, weakref.CallableProxyType)
"""Types that say of themselves to be what they refer to."""

CACHED = type(functools.lru_cache(lambda: None))
"""What ``functools.lru_cache`` makes of a function."""

_NUMBERS_AND_NAMES = (
    *(type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size),
)


def is_plain(value: object) -> bool:
    """Whether an object is its value, and nothing else: a number, a text, a type of numbers.

    Examples
    --------
    >>> is_plain(1.5), is_plain("a"), is_plain([]), is_plain(len)
    (True, True, False, False)
    """
    return type(value) in _NUMBERS_AND_NAMES


def is_shared(value: object) -> bool:
    """Whether an object has nothing that could change, so that all copies may share it; classes and modules, too.

    Examples
    --------
    >>> is_shared(1.5), is_shared(dict), is_shared(len), is_shared([]), is_shared([].append)
    (True, True, True, False, False)
    """
    if type(value) is BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, ModuleType | type)
    return is_plain(value) or (
        type(value) not in PROXIES
        and isinstance(value, type | ModuleType | CodeType | property | torch.jit.ScriptFunction)
    )


def contents(value: Any) -> list[Any]:
    """Return what an object holds directly, in a fixed order; not what it refers to weakly.

    Of an object whose kind is not known here it is what Python's ``copy`` would copy.

    Examples
    --------
    >>> def scaled(x, *, by=3):
    ...     return by * x
    >>> contents(scaled), contents([1, "a"]), contents({"a": 1}), contents(1)
    ([3], [1, 'a'], ['a', 1], [])
    """
    kind = type(value)
    if is_shared(value) or isinstance(value, weakref.ref) or kind in PROXIES:
        return []
    if kind in (list, tuple, set, frozenset):
        return list(value)
    if kind in (dict, OrderedDict):
        return list(chain.from_iterable(value.items()))
    if kind is FunctionType:
        cells = list(value.__closure__ or ())
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values(), *vars(value).values()]
    if kind is CellType:
        return [value.cell_contents] if is_filled(value) else []
    if kind is MethodType:
        return [value.__func__, value.__self__]
    if kind in (BuiltinFunctionType, MethodWrapperType):
        return [value.__self__]
    if kind is CACHED:
        return [value.__wrapped__]
    if isinstance(value, FakeTensor | torch.UntypedStorage | torch.TypedStorage):
        return []  # a tensor without values has attributes that are torch's own
    if isinstance(value, Tensor):
        return [*vars(value).values(), *hooks_on(value)]
    if isinstance(value, np.ndarray):
        return value.ravel().tolist() if value.dtype.hasobject else []
    if kind in (weakref.WeakValueDictionary, weakref.WeakKeyDictionary):
        return list(value.keys() if kind is weakref.WeakValueDictionary else value.values())
    if isinstance(value, nn.Module) and _is_copied_by_attributes(kind):
        return list(chain.from_iterable(vars(value).items()))
    return _reduced(value)


def _is_copied_by_attributes(kind: type) -> bool:
    own = ("__reduce_ex__", "__reduce__", "__getstate__")
    return all(getattr(kind, name) is getattr(object, name) for name in own) and not any(
        "__slots__" in vars(each) for each in kind.__mro__
    )


def _reduced(value: Any) -> list[Any]:
    quiet: AbstractContextManager[Any] = nullcontext()
    if type(value).__module__ == itertools.__name__:  # that these can be copied will end some day
        quiet = warnings.catch_warnings(action="ignore", category=DeprecationWarning)
    try:
        with quiet:
            form = value.__reduce_ex__(4)
    except Exception:  # a lock, a generator, a module of TorchScript: what it holds is not to be seen
        form = ""
    # A form of its own may leave attributes out.
    attributes = list(chain.from_iterable(getattr(value, "__dict__", {}).items()))
    if not isinstance(form, tuple):
        return attributes
    _, arguments, state, items, pairs = (*form, None, None, None)[:5]
    return [*arguments, state, *(items or ()), *chain.from_iterable(pairs or ()), *attributes]


def is_filled(cell: CellType) -> bool:
    """Whether the name that a closure's cell stands for was given a value."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def hooks_on(tensor: Tensor) -> list[Any]:
    """Return the hooks on a tensor's gradient."""
    return [*(tensor._backward_hooks or {}).values(), *(tensor._post_accumulate_grad_hooks or {}).values()]


def walk(root: object) -> Iterator[Any]:
    """Yield an object and all that it holds, directly or not, each once, besides plain values.

    Examples
    --------
    >>> [type(each).__name__ for each in walk([{"a": (1, [])}])]
    ['list', 'dict', 'tuple', 'list']
    """
    seen: dict[int, object] = {id(root): root}  # kept, so that no other object has the identity of one
    waiting = [root]
    while waiting:
        value = waiting.pop()
        yield value
        for each in contents(value):
            if not is_plain(each) and id(each) not in seen:
                seen[id(each)] = each
                waiting.append(each)
