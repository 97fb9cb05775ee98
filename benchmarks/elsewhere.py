"""Something to time in a process of its own, where no setting of this one reaches it."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

Make = Callable[[], Callable[[], object]]


class Elsewhere:
    """A call in a process of its own, which takes its turn like any other.

    Parameters
    ----------
    make : callable
        Returns what to call; made there, so it has to be picklable.
    torch_threads : int
        Threads that torch may use there.
    """

    def __init__(self, make: Make, torch_threads: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self._there, here = context.Pipe()
        context.Process(target=_serve, args=(here, make, torch_threads), daemon=True).start()

    def call(self) -> None:
        """Call it and wait for it."""
        self._ask("call")

    def process_time(self) -> float:
        """Return the processor time of that process, s."""
        return self._ask("time")

    def close(self) -> None:
        """End the process."""
        self._ask("end")

    def _ask(self, what: str) -> float:
        self._there.send(what)
        answer: float = self._there.recv()
        return answer


def _serve(asked: Connection, make: Make, torch_threads: int) -> None:
    torch.set_num_threads(torch_threads)
    call = make()
    while (what := asked.recv()) != "end":
        if what == "call":
            call()
        asked.send(time.process_time())
    asked.send(time.process_time())
