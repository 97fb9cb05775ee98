"""Where in a network's run the device side hands a tensor over to the server side, and the handing over itself."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from sfl_env.dnn.outputs import tensors_in, with_tensor

Exchange = Callable[[Tensor], Tensor]
"""Takes the tensor that is at a place, and returns the one that goes on in its stead."""


class Place(NamedTuple):
    """A tensor at one moment of a network's run, told so that every run has it again.

    Either what a module returns, or what a function of torch returns while the module runs.
    """

    path: str  # of the module, "" for the network itself
    visit: int  # which of the calls of the module, from 0
    step: (
        int | None
    )  # which function that returns tensors, within that call, from 0; None: what the module returns
    position: int  # which tensor of what is returned, from 0


class Visits:
    """Keeps count of the calls of a module, and of the functions called while it runs."""

    def __init__(self) -> None:
        self.count = 0
        self.steps = 0
        self.is_inside = False


@contextmanager
def exchanged(network: nn.Module, place: Place, exchange: Exchange) -> Iterator[None]:
    """Exchange the tensor at a place whenever the network runs within.

    Parameters
    ----------
    network : nn.Module
        It runs as it is; hooks of this context come last.
    place : Place
        Where.
    exchange : callable
        Takes the tensor and returns the one to go on with.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> with exchanged(net, Place("0", 0, None, 0), torch.zeros_like):
    ...     net(torch.ones(1, 2)).tolist()
    [[0.0, 0.0, 0.0]]
    """
    module = network.get_submodule(place.path)
    visits = Visits()

    def enter(module: nn.Module, inputs: Any) -> None:
        visits.is_inside, visits.steps = True, 0

    def leave(module: nn.Module, inputs: Any, output: Any) -> Any:
        here = visits.count == place.visit and place.step is None
        visits.is_inside, visits.count = False, visits.count + 1
        return _with_exchanged(output, place.position, exchange) if here else None

    with ExitStack() as stack:
        handles: list[RemovableHandle] = [module.register_forward_pre_hook(enter, prepend=True)]
        handles.append(module.register_forward_hook(leave))
        for handle in handles:
            stack.callback(handle.remove)
        if place.step is not None:
            stack.enter_context(_Steps(visits, place, exchange))
        yield


class _Steps(TorchFunctionMode):
    """Exchanges what a certain function returns."""

    def __init__(self, visits: Visits, place: Place, exchange: Exchange) -> None:
        super().__init__()
        self._visits = visits
        self._place = place
        self._exchange = exchange

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        visits, place = self._visits, self._place
        # Operators by name: under a dispatch mode torch calls some itself, which would count as steps.
        if not visits.is_inside or isinstance(func, OpOverload) or next(tensors_in(output), None) is None:
            return output
        here = (visits.count, visits.steps) == (place.visit, place.step)
        visits.steps += 1
        return _with_exchanged(output, place.position, self._exchange) if here else output


def _with_exchanged(output: Any, position: int, exchange: Exchange) -> Any:
    found = list(tensors_in(output))
    if position >= len(found):  # whoever counts the exchanges will miss this one
        return output
    return with_tensor(output, found[position], exchange(found[position]))
