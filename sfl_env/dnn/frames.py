"""What runs at a moment of a watched run: modules, a function of torch within them, and where it returns."""

from dataclasses import dataclass
from typing import NamedTuple

from sfl_env.dnn.record import Call


@dataclass
class Frame:
    """A module that runs."""

    path: str
    visit: int
    steps: int = 0  # functions that returned tensors while it ran
    children: int = 0  # modules that it called


class Where(NamedTuple):
    """Where tensors are returned: by a module that runs, or by a function within it."""

    path: str
    visit: int
    step: int | None
    parent: Frame


class Open:
    """A function of torch that runs."""

    def __init__(self, call: Call, given: set[int | None]) -> None:
        self.call = call
        self.given = given  # the memories that it was given
        self.is_active = False
