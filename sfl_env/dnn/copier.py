"""Deep copies in which functions refer to the copies of what they close over.

Python's own ``copy.deepcopy`` shares functions and weak references between an object and its copy, and tools that
store functions by value (cloudpickle) copy the globals of the user's program with them.
"""

import copyreg
import functools
import gc
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any

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
        self._kinds: dict[type, Callable[[Any], Any]] = {
            list: self._list,
            dict: self._dict,
            tuple: self._tuple,
            bytearray: bytearray,
            FunctionType: self._function,
            MethodType: lambda method: MethodType(self(method.__func__), self(method.__self__)),
            BuiltinFunctionType: lambda method: getattr(self(method.__self__), method.__name__),
            MethodWrapperType: lambda method: getattr(self(method.__self__), method.__name__),
            weakref.ref: self._reference,
            weakref.WeakMethod: lambda method: self._weakly(method, method(), weakref.WeakMethod),
            **dict.fromkeys(PROXIES, self._proxy),
            CACHED: self._cached,
        }

    def __call__(self, value: Any) -> Any:
        """Return the copy of an object, the same one each time."""
        if is_shared(value):
            return value
        key = id(value)
        if key not in self._memo:
            self._memo[id(self._memo)].append(value)
            copied = self._copied(value)
            self._memo.setdefault(key, copied)
        return self._memo[key]

    def _copied(self, value: Any) -> Any:
        kind = type(value)
        if kind in self._kinds:
            return self._kinds[kind](value)
        if isinstance(value, Tensor):
            return self._tensor(value)
        own = getattr(value, "__deepcopy__", None)
        if own is not None:
            if isinstance(value, nn.Module) and not isinstance(value, torch.jit.ScriptModule):
                self(list(vars(value).values()))  # what its own way finds is copied already
            return own(self._memo)
        reduce = copyreg.dispatch_table.get(kind)
        return self._rebuilt(value, value.__reduce_ex__(4) if reduce is None else reduce(value))

    def _rebuilt(self, value: Any, form: Any) -> Any:
        if isinstance(form, str):  # the name of something global
            return value
        make, arguments, state, items, pairs = (*form, None, None, None)[:5]
        made = self._memo[id(value)] = make(*map(self, arguments))
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
        made.extend(map(self, value))
        return made

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        made = self._memo[id(value)] = dict[Any, Any]()
        made.update((self(key), self(each)) for key, each in value.items())
        return made

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        made = tuple(map(self, value))
        same = all(new is old for new, old in zip(made, value, strict=True))
        return value if same else made

    def _tensor(self, value: Tensor) -> Tensor:
        made = self._made_tensor(value.detach() if not value.is_leaf else value, self._memo)
        if not value.is_leaf:  # computed from others (as by an old ``weight_norm``), and so is its copy
            with torch.enable_grad():
                made = made.requires_grad_().view_as(made)
        self._memo[id(value)] = made
        vars(made).update({name: self(each) for name, each in vars(value).items()})
        for hook in (value._backward_hooks or {}).values():
            made.register_hook(self(hook))
        for hook in (value._post_accumulate_grad_hooks or {}).values():
            made.register_post_accumulate_grad_hook(self(hook))
        return made

    def _function(self, function: FunctionType) -> FunctionType:
        beside = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        closes_over = function.__code__.co_freevars not in ((), ("__class__",))
        if not closes_over and not vars(function) and all(map(is_shared, beside)):
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
        vars(made).update(self(vars(function)))
        for cell in filter(is_filled, new):
            self._memo[id(cell)].cell_contents = self._closed_over(cell.cell_contents)
        return made

    def _closed_over(self, value: Any) -> Any:
        """Return the copy of what a function closes over; the same if it refuses to be copied (a lock, a file)."""
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
                held = (each.__closure__, each.__defaults__) if isinstance(each, FunctionType) else ()
                waiting.extend(held or ([] if isinstance(each, FunctionType) else gc.get_referents(each)))
        return False

    @functools.cached_property
    def _held(self) -> dict[int, Any]:
        return {id(each): each for each in walk(self._network)}

    def _weakly(self, value: Any, referent: Any, kind: Callable[[Any], Any]) -> Any:
        held = referent.__self__ if isinstance(referent, MethodType) else referent
        return kind(self(referent)) if referent is not None and id(held) in self._held else value

    def _reference(self, value: "weakref.ref[Any]") -> Any:
        callback = self(value.__callback__)
        return self._weakly(value, value(), lambda referent: weakref.ref(referent, callback))

    def _proxy(self, value: Any) -> Any:
        try:
            referent = value.__repr__.__self__
        except ReferenceError:
            return value
        return self._weakly(value, referent, weakref.proxy)

    def _cached(self, value: Any) -> Any:
        inner = self(value.__wrapped__)
        return value if inner is value.__wrapped__ else functools.lru_cache(**value.cache_parameters())(inner)
