"""Copies of a user's network: what is watched or trained is never the network itself."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sfl_env.dnn.closures import Closures
from sfl_env.dnn.foreign import foreign_code
from sfl_env.errors import ProfileError

M = TypeVar("M", bound=nn.Module)


def own_copy(network: M) -> M:
    """Return a deep copy of a network, of tensors that it computed and kept as attributes, too.

    Python's own deep copy refuses such tensors (``torch.nn.utils.weight_norm`` keeps one).

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
    memo: dict[int, object] = {}
    for tensor in held_tensors(network):
        if not tensor.is_leaf:
            memo[id(tensor)] = tensor.detach().clone()
    return copied(network, memo)


def held_tensors(network: nn.Module) -> Iterator[Tensor]:
    """Yield each tensor that a module of the network holds as parameter, buffer or plain attribute, or in a list.

    Raises
    ------
    ProfileError
        If one gets its shape from a first run.
    """
    for part in network.modules():
        own = [value for name, value in vars(part).items() if name not in _NOT_PLAIN]
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False), *_tensors_among(own)):
            if is_lazy(tensor):
                raise ProfileError(
                    f"A {type(part).__name__} has parameters without a shape; run the network on one batch first."
                )
            yield tensor


_NOT_PLAIN = frozenset({"_parameters", "_buffers", "_modules"})
"""Attributes of a module that hold what is listed otherwise."""


def _tensors_among(values: Iterable[object]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple | set):
            yield from _tensors_among(value)
        elif isinstance(value, dict):
            yield from _tensors_among(value.values())


def copied(network: M, memo: dict[int, object]) -> M:
    """Return a deep copy in which some tensors, given by their identities, are others.

    What Python's own copy leaves out goes with it: hooks and attributes of parameters, and functions that refer to
    the network by a closure (a lambda with ``self``, say), which then refer to the copy.
    """
    closures = Closures(network)
    for part in network.modules():
        for value in vars(part).values():
            if isinstance(value, torch.jit.ScriptFunction | ModuleType):
                memo[id(value)] = value  # they have nothing of their own, but refuse to be copied
    with foreign_code(f"{type(network).__name__} cannot be copied"):
        made = closures.copied(memo)
    for parameter in network.parameters():
        _with_what_is_attached(parameter, memo.get(id(parameter)))
    for scripted in made.modules():
        for parameter in scripted.parameters() if isinstance(scripted, torch.jit.ScriptModule) else ():
            if not parameter.is_leaf:  # torch clones them with their history
                parameter.detach_().requires_grad_()
    return made


def _with_what_is_attached(parameter: Tensor, made: object) -> None:
    if not isinstance(made, Tensor) or made is parameter:
        return
    vars(made).update(vars(parameter))
    for hook in (parameter._backward_hooks or {}).values():
        made.register_hook(hook)
    for hook in (parameter._post_accumulate_grad_hooks or {}).values():
        made.register_post_accumulate_grad_hook(hook)
