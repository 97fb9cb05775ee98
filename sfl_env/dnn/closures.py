"""Functions within a network that refer to it by a closure, and their copies that refer to its copy."""

import copy
from collections.abc import Iterable, Iterator
from types import CellType, FunctionType
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class Closures(Generic[M]):
    """The functions that modules of a network hold, as hooks or attributes, with closures over parts of it.

    Python copies a function by reference, so a copied network would go on using the parts of the one before.

    Parameters
    ----------
    network : nn.Module
        The network.

    Examples
    --------
    >>> def referring_to_itself():
    ...     layer = nn.Linear(2, 2)
    ...     layer.function = lambda: layer
    ...     return layer
    >>> twin = Closures(referring_to_itself()).copied({})
    >>> twin.function() is twin
    True
    """

    def __init__(self, network: M) -> None:
        self._network = network
        self._parts = {id(part) for module in network.modules() for part in _held(module)}
        self._functions: dict[int, FunctionType] = {}
        for module in network.modules():
            for function in _functions_in(vars(module).values()):
                self._note(function)

    def copied(self, memo: dict[int, Any]) -> M:
        """Return a deep copy of the network with functions that refer to the copy.

        Parameters
        ----------
        memo : dict
            Of Python's deep copy: what is to be in the place of which objects, by their identities.
        """
        for key, function in self._functions.items():
            cells = tuple(CellType() for _ in function.__closure__ or ())
            twin = FunctionType(
                function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
            )
            twin.__kwdefaults__ = function.__kwdefaults__
            vars(twin).update(vars(function))
            memo[key] = twin
        made: M = copy.deepcopy(self._network, memo)
        for key, function in self._functions.items():
            for own, cell in zip(function.__closure__ or (), memo[key].__closure__ or (), strict=True):
                cell.cell_contents = memo.get(id(own.cell_contents), own.cell_contents)
            memo[key].__defaults__ = _exchanged(function.__defaults__, memo)
        return made

    def _note(self, function: FunctionType) -> bool:
        """Note a function if it refers to a part of the network, itself or by a function within its closure."""
        if id(function) in self._functions:
            return True
        inside = [*(cell.cell_contents for cell in _filled(function)), *(function.__defaults__ or ())]
        refers = any(id(each) in self._parts for each in inside)
        for inner in _functions_in(inside):
            refers = (inner is not function and self._note(inner)) or refers
        if refers:
            self._functions[id(function)] = function
        return refers


def _filled(function: FunctionType) -> Iterator[CellType]:
    for cell in function.__closure__ or ():
        try:
            cell.cell_contents  # noqa: B018
        except ValueError:  # a name that was never given a value
            continue
        yield cell


def _held(module: nn.Module) -> Iterator[object]:
    yield module
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
    yield from (value for value in vars(module).values() if isinstance(value, Tensor | list | dict | set))


def _functions_in(values: Iterable[object]) -> Iterator[FunctionType]:
    for value in values:
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, dict):
            yield from _functions_in(value.values())
        elif isinstance(value, list | tuple):
            yield from _functions_in(value)


def _exchanged(defaults: tuple[Any, ...] | None, memo: dict[int, Any]) -> tuple[Any, ...] | None:
    return None if defaults is None else tuple(memo.get(id(each), each) for each in defaults)
