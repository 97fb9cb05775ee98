"""Deep copies in which functions refer to the copies of what they close over.

Python's own ``copy.deepcopy`` shares functions and weak references between an object and its copy, and tools that
store functions by value (cloudpickle) copy the globals of the user's program with them.
"""

import copyreg
import functools
import gc
import sys
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sfl_env.dnn.contents import CACHED, PROXIES, is_filled, is_shared, walk


class Copier:
    """Copies a network with all that it holds.

    Parameters
    ----------
    network : nn.Module
        What is copied; weak references to anything that it holds become such to its copy.
    made : callable
        Takes a tensor that is not computed from others, and the memo of Python's ``copy``, and returns its copy.

    Examples
    --------
    >>> def referring_to_itself():
    ...     layer = nn.Linear(2, 2)
    ...     layer.function = lambda: layer
    ...     return layer
    >>> layer = referring_to_itself()
    >>> twin = Copier(layer, lambda tensor, memo: tensor.clone())(layer)
    >>> twin.function() is twin
    True
    """

    def __init__(self, network: nn.Module, made: Callable[[Tensor, dict[int, Any]], Tensor]) -> None:
        self._network = network
        self._made_tensor = made
        self._memo: dict[int, Any] = {}
        # Whatever is found along the way lives as long, so that no other object has the identity of one.
        self._memo[id(self._memo)] = []

    def __call__(self, value: Any) -> Any:
        """Return the copy of an object, the same one each time."""
        if is_shared(value):
            return value
        key = id(value)
        if key in self._memo:
            return self._memo[key]
        self._memo[id(self._memo)].append(value)
        way = self._WAYS.get(type(value))
        if way is not None:
            copied = way(self, value)
        elif isinstance(value, Tensor):
            copied = self._tensor(value)
        elif getattr(value, "__deepcopy__", None) is not None:
            copied = self._in_its_own_way(value)
        else:
            reduce = copyreg.dispatch_table.get(type(value))
            copied = self._rebuilt(value, value.__reduce_ex__(4) if reduce is None else reduce(value))
        return self._memo.setdefault(key, copied)

    def _in_its_own_way(self, value: Any) -> Any:
        if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
            for each in vars(value).values():  # what its own way finds is copied already
                self._if_it_can_be(each)
        return value.__deepcopy__(self._memo)

    def _rebuilt(self, value: Any, form: Any) -> Any:
        if isinstance(form, str):  # the name of something global
            return value
        make, arguments, state, items, pairs = (*form, None, None, None)[:5]
        made = self._memo[id(value)] = make(*[self(each) for each in arguments])
        if state is not None:
            self._set_state(made, self(state))
        for item in items or ():
            made.append(self(item))
        for key, item in pairs or ():
            made[self(key)] = self(item)
        return made

    def _set_state(self, made: Any, state: Any) -> None:
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if attributes:
            vars(made).update(attributes)
        for name, each in (slots or {}).items():
            setattr(made, name, each)

    def _list(self, value: list[Any]) -> list[Any]:
        made = self._memo[id(value)] = list[Any]()
        for each in value:
            made.append(self(each))
        return made

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        made = self._memo[id(value)] = dict[Any, Any]()
        for key, each in value.items():
            made[self(key)] = self(each)
        return made

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        made = tuple([self(each) for each in value])
        same = all(new is old for new, old in zip(made, value, strict=True))
        return value if same else made

    def _bytearray(self, value: bytearray) -> bytearray:
        return bytearray(value)

    def _tensor(self, value: Tensor) -> Tensor:
        made = self._made_tensor(value.detach() if not value.is_leaf else value, self._memo)
        if not value.is_leaf:  # computed from others (as by an old ``weight_norm``), and so is its copy
            with torch.enable_grad():
                made = made.requires_grad_().view_as(made)
        self._memo[id(value)] = made
        for name, each in vars(value).items():
            vars(made)[name] = self(each)
        if value.is_leaf and value._backward_hooks:  # with the keys that handles know
            made._backward_hooks = self(value._backward_hooks)
        else:
            for hook in (value._backward_hooks or {}).values():
                made.register_hook(self(hook))
        if value._post_accumulate_grad_hooks:
            made._post_accumulate_grad_hooks = self(value._post_accumulate_grad_hooks)
        return made

    def _function(self, function: FunctionType) -> FunctionType:
        beside = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        closes_over = function.__code__.co_freevars not in ((), ("__class__",))
        is_plain = not closes_over and not vars(function) and all(map(is_shared, beside))
        if is_plain or _is_global(function):
            return function
        own = function.__closure__ or ()
        new = [cell for cell in own if id(cell) not in self._memo]
        for cell in new:
            self._memo[id(cell)] = CellType()
        cells = tuple(self._memo[id(cell)] for cell in own)
        made = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._memo[id(function)] = made
        made.__module__, made.__qualname__ = function.__module__, function.__qualname__
        made.__defaults__ = self(function.__defaults__)
        made.__kwdefaults__ = self(function.__kwdefaults__)
        for name, each in vars(function).items():
            vars(made)[name] = self._if_it_can_be(each)
        for cell in filter(is_filled, new):
            self._memo[id(cell)].cell_contents = self._if_it_can_be(cell.cell_contents)
        return made

    def _if_it_can_be(self, value: Any) -> Any:
        """Return the copy of what a function has; the same if it refuses to be copied (a lock, a file)."""
        before = set(self._memo)
        try:
            return self(value)
        except Exception:
            if self._leads_to_the_network(value):
                raise
            for key in self._memo.keys() - before:  # of what was begun
                del self._memo[key]
            return value

    def _leads_to_the_network(self, value: Any) -> bool:
        parts = {id(module) for module in self._network.modules()}
        seen: dict[int, Any] = {}
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if id(each) in parts:
                return True
            if id(each) not in seen and not isinstance(each, type | ModuleType):
                seen[id(each)] = each
                is_function = isinstance(each, FunctionType)
                waiting += (each.__closure__, each.__defaults__) if is_function else gc.get_referents(each)
        return False

    @functools.cached_property
    def _held(self) -> dict[int, Any]:
        return {id(each): each for each in walk(self._network)}

    def _if_held(self, referent: Any) -> Any:
        """Return the copy of what the network holds, and anything else as it is."""
        held = referent.__self__ if isinstance(referent, MethodType) else referent
        return self(referent) if id(held) in self._held else referent

    def _method(self, value: MethodType) -> MethodType:
        return MethodType(self(value.__func__), self(value.__self__))

    def _built_in_method(self, value: Any) -> Any:
        return getattr(self(value.__self__), value.__name__)

    def _reference(self, value: "weakref.ref[Any]") -> Any:
        referent = value()
        new = self._if_held(referent)
        return value if new is referent else weakref.ref(new, self(value.__callback__))

    def _weak_method(self, value: "weakref.WeakMethod[Any]") -> Any:
        referent = value()
        new = self._if_held(referent)
        return value if new is referent else weakref.WeakMethod(new)

    def _proxy(self, value: Any) -> Any:
        try:
            referent = value.__repr__.__self__
        except ReferenceError:
            return value
        new = self._if_held(referent)
        return value if new is referent else weakref.proxy(new)

    def _weak_values(self, value: "weakref.WeakValueDictionary[Any, Any]") -> Any:
        made = self._memo[id(value)] = weakref.WeakValueDictionary[Any, Any]()
        for key, each in value.items():
            made[self(key)] = self._if_held(each)
        return made

    def _weak_keys(self, value: "weakref.WeakKeyDictionary[Any, Any]") -> Any:
        made = self._memo[id(value)] = weakref.WeakKeyDictionary[Any, Any]()
        for key, each in value.items():
            made[self._if_held(key)] = self(each)
        return made

    def _cached(self, value: Any) -> Any:
        inner = self(value.__wrapped__)
        return value if inner is value.__wrapped__ else functools.lru_cache(**value.cache_parameters())(inner)

    _WAYS: ClassVar[dict[type, Callable[["Copier", Any], Any]]] = {
        list: _list,
        dict: _dict,
        tuple: _tuple,
        bytearray: _bytearray,
        FunctionType: _function,
        MethodType: _method,
        BuiltinFunctionType: _built_in_method,
        MethodWrapperType: _built_in_method,
        weakref.ref: _reference,
        weakref.WeakMethod: _weak_method,
        weakref.WeakValueDictionary: _weak_values,
        weakref.WeakKeyDictionary: _weak_keys,
        **dict.fromkeys(PROXIES, _proxy),
        CACHED: _cached,
    }


def _is_global(function: FunctionType) -> bool:
    """Whether a function is found by its name, so that there is one for all, as there is of a class."""
    named = getattr(sys.modules.get(function.__module__), function.__name__, None)
    return named is function or any(each is function for each in function.__globals__.values())
