"""What belongs to the whole process: torch's global generators, its hooks on modules, its number of threads.

Networks draw their weights, and layers such as dropout their noise, from torch's global generators, which all
threads share. Here they are seeded for a while and put back, by one thread at a time: what is drawn then depends
on the seed alone, whatever other trainings do in other threads.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

_LOCK = threading.RLock()
"""Held by whoever uses what belongs to the process; again and again by the same thread."""


def exclusive() -> AbstractContextManager[object]:
    """Return a context that one thread is in at a time, a thread that is in it already aside.

    Examples
    --------
    >>> with exclusive(), exclusive():
    ...     pass
    """
    return _LOCK


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for a while and put them back afterwards, one thread at a time.

    The CPU's generator is seeded, and CUDA's only if the device is one: a run on the CPU leaves CUDA's alone.

    Parameters
    ----------
    seed : int
        Of the draws within.
    device : torch.device
        Where they are drawn, besides the CPU.

    Examples
    --------
    >>> before = torch.get_rng_state()
    >>> drawn = []
    >>> for _ in range(2):
    ...     with seeded(3, torch.device("cpu")):
    ...         drawn.append(float(torch.rand(())))
    >>> drawn[0] == drawn[1], torch.equal(torch.get_rng_state(), before)
    (True, True)
    """
    devices = [device] if device.type == "cuda" else []
    with _LOCK, torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Have torch compute on one thread for a while, one caller at a time.

    What is computed then is the same on every number of threads, and a process that has not yet used torch's
    threads can still be forked: forked copies of one that has used them wait for threads that they don't have.

    Examples
    --------
    >>> with on_one_thread():
    ...     torch.get_num_threads()
    1
    """
    with _LOCK:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
