"""What was seen of one run of a network: its calls in order, the tensors between them, and where it can be cut."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from sfl_env.dnn.places import Place


@dataclass(slots=True)
class Call:
    """One function of torch that was called, or one operation that ran outside of any."""

    name: str  # of the function, after the path of the module that called it
    uses: set[str] = field(default_factory=set)  # names of parameters and buffers, on which its result depends
    forward_flops: float = 0.0
    backward_flops: float = 0.0
    saved_elements: float = 0.0  # that it keeps for the backward pass


class Candidate(NamedTuple):
    """A tensor that depends on the input, at a place where it could be handed over."""

    place: Place
    moment: int  # number of calls before it
    tensor: int  # key of the tensor
    memory: int | None  # the same for views of one tensor
    elements: int
    is_floating_point: bool
    wants_gradient: bool
    is_computed_anew: bool  # in the backward pass, as within a checkpoint
    function: str  # that made it, where the place is not what a module returns
    parent: str  # path of the module that called the module which returns it
    number: int  # how many modules that one had called before


class Shown(NamedTuple):
    """What a tensor shows of its memory, which views of one tensor share."""

    memory: int
    size: int  # elements in the memory
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many of the memory's elements it shows, at most."""
        steps = zip(self.shape, self.strides, strict=True)
        return min(self.size, math.prod(size for size, stride in steps if stride))  # an expanded one repeats them


class Life(NamedTuple):
    """When a tensor that depends on the input is there: from one call to the last that reads it."""

    since: int
    last_read: int
    name: str
    accompanies: Shown | None  # the smashed data: a mask computed without parameters, or numbers made of such


class Choice(NamedTuple):
    """A call of a function that chooses by sizes how it computes."""

    call: str
    shapes: tuple[tuple[int, ...], ...]  # by which it chose


@dataclass
class Record:
    """One run.

    Parameters
    ----------
    samples : int
        In its batch.
    calls : list of Call
        In order.
    candidates : list of Candidate
        In order.
    lives : dict of Life
        By the tensors' keys.
    changed : set of str
        Parameters and buffers that the forward pass wrote to or put anew.
    trained : set of str
        Parameters that got a gradient.
    returned : tuple of int
        For each module path that ran, when it returned for the last time.
    choices : list of Choice
        Of functions that chose by sizes how they compute, in order.
    is_fixed : bool
        Whether nothing random or computed decides what runs.
    logits : int
        Key of what the network returned.
    leaves_constants : bool
        Whether somebody outside of the network keeps a table, say, that it made without values.
    """

    samples: int
    calls: list[Call] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    lives: dict[int, Life] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)
    returned: dict[str, int] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    is_fixed: bool = True
    logits: int = 0
    leaves_constants: bool = False

    @property
    def form(self) -> list[str]:
        """What was called, in order."""
        return [call.name for call in self.calls]

    @property
    def forward_flops(self) -> float:
        """FLOPs of the whole forward pass."""
        return sum(call.forward_flops for call in self.calls)
