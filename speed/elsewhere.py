"""Timing in processes of their own, where nothing that this one has done matters."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Literal

import torch

from speed.timing import LONGEST_S, Case, Row, Samples, compare, take_turns

Make = Callable[[], Callable[[], object]]
"""Returns what to call; made in the other process, so it has to be picklable."""

Clock = Literal["processor", "wall"]

STARTS = 3
"""So many processes after each other: where the memory of one happens to lie moves its times by some per cent."""


def measure_elsewhere(
    makes: Mapping[str, Make],
    reference: str,
    rounds: int,
    *,
    units: int,
    unit: str,
    clock: Clock = "processor",
    torch_threads: int = 1,
) -> list[Row]:
    """Time calls in turns, each in processes of its own, and compare them with one of them.

    Parameters
    ----------
    makes : mapping
        Returns what to time, by name.
    reference : str
        The case that the ratios are taken to.
    rounds : int
        How often each gets its turn, over all its processes.
    units : int
        How many units a call processes.
    unit : str
        What they are.
    clock : {"processor", "wall"}
        Time by the processor time of the process, or by the clock on the wall.
    torch_threads : int
        Threads that torch may use there.
    """
    samples: Samples = {name: [] for name in makes}
    for _ in range(STARTS):
        there = {name: Elsewhere(make, torch_threads) for name, make in makes.items()}
        cases = {
            name: Case(
                process.call, units, unit, process.process_time if clock == "processor" else time.perf_counter
            )
            for name, process in there.items()
        }
        for name, seconds in take_turns(cases, -(-rounds // STARTS), LONGEST_S / STARTS).items():
            samples[name] += seconds
        for process in there.values():
            process.close()
    return compare(samples, dict.fromkeys(makes, unit), reference)


class Elsewhere:
    """A call in a process of its own.

    Parameters
    ----------
    make : callable
        Returns what to call.
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
    if torch_threads == 1:
        _use_one_core()
    torch.set_num_threads(torch_threads)
    call = make()
    while (what := asked.recv()) != "end":
        if what == "call":
            call()
        asked.send(time.process_time())
    asked.send(time.process_time())


def _use_one_core() -> None:
    """Stay on one core, the same for all: what else the machine does may slow one core and not the other."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
