"""What cuts are called: like the modules, or the functions within them, that the device side ends with."""

from collections.abc import Iterable
from itertools import count
from typing import NamedTuple

from torch import nn

from sfl_env.dnn.record import Candidate


class Children(NamedTuple):
    """The children of an ``nn.Sequential``, which run in turn."""

    parent: str  # path of the ``nn.Sequential``
    names: tuple[str, ...]  # paths of the children, of a module that is there twice both

    def end_with(self, candidate: Candidate) -> bool:
        """Whether a candidate is what a child returns."""
        return candidate.place.step is None and candidate.parent == self.parent


def children_in_turn(network: nn.Module) -> Children | None:
    """Return the children that a network consists of if it is an ``nn.Sequential``; None for any other module.

    One with a single child stands for that child.

    Examples
    --------
    >>> children_in_turn(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))).names
    ('0.0', '0.1')
    """
    path = ""
    while isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        names = tuple(f"{path}.{name}".lstrip(".") for name in network._modules)
        if len(names) != 1:
            return Children(path, names)
        (path,), network = names, network[0]
    return None


def name_of(candidate: Candidate, children: Children | None) -> str:
    """Return the path of the module that returns a candidate, or the name of the function that made it."""
    if children is not None and children.end_with(candidate):
        return children.names[candidate.number]
    return candidate.place.path if candidate.place.step is None else candidate.function


def unlike_names(names: Iterable[str]) -> list[str]:
    """Return the names, numbered where one was there before.

    Examples
    --------
    >>> unlike_names(["relu", "relu", "fc"])
    ['relu', 'relu_2', 'fc']
    """
    taken: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        taken.append(name if name not in taken else next(each for each in numbered if each not in taken))
    return taken


def best_named(group: list[Candidate], network: nn.Module) -> Candidate:
    """Return the candidate with the plainest name among those that are the same tensor at the same moment.

    A module of a list or an ``nn.Sequential``, as blocks are, comes first, then any other module, then a function;
    of several modules the outermost.
    """

    def rank(candidate: Candidate) -> tuple[int, int]:
        if candidate.place.step is not None:
            return 0, 0
        parent, _, _ = candidate.place.path.rpartition(".")
        is_listed = isinstance(network.get_submodule(parent), nn.Sequential | nn.ModuleList | nn.ModuleDict)
        return 1 + is_listed, -candidate.place.path.count(".")

    return max(group, key=rank)
