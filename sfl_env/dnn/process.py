"""What belongs to the whole process: torch's global generators (Python's and NumPy's, too), its number of threads.

Networks draw their weights, and layers such as dropout their noise, from torch's global generators, which all
threads share. Here they are seeded for a while and put back, by one thread at a time: what is drawn then depends
on the seed alone, whatever other trainings do in other threads.

A forked process (``os.fork``, or ``multiprocessing`` with the context ``"fork"``) has a copy of the forking thread
alone. That copy holds the pool of torch's threads (OpenMP's), but not the threads: the first operation that is
spread over them would wait for ever. So torch computes on one thread in a forked process:

* It is set once, in torch itself, when the process begins, as torch's own ``DataLoader`` does in its workers. What
  the user computes there beside the training doesn't hang either, and ``torch.get_num_threads`` tells what is so,
  hence ``computed_by`` in stored states does.
* It is set in every forked process, since nothing tells whether the pool had been used: a program's digits don't
  depend on what its parent did before.
* A process is forked between two rounds that other threads train, not within one, where generators and the number
  of threads are borrowed.
"""

import multiprocessing
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

_LOCK = threading.RLock()
"""Held by whoever uses what belongs to the process; again and again by the same thread."""


@contextmanager
def _put_back() -> Iterator[None]:
    # A network may draw from Python's and NumPy's, too; only NumPy's old generator is global.
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of torch, Python and NumPy for a while, and put them back, one thread at a time.

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
    # Twice: an interruption while one puts them back leaves it to the other.
    with _LOCK, _put_back(), torch.random.fork_rng(devices=devices), _put_back():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Have torch compute on one thread for a while, one caller at a time.

    What is computed then is the same on every number of threads.

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


def _compute_on_one_thread() -> None:
    """Have torch compute on one thread from now on, in a process that lacks its parent's threads."""
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


def _after_fork_in_child() -> None:
    _LOCK.release()
    _compute_on_one_thread()


def _forked_by_multiprocessing() -> bool:
    """Whether this process is one that ``multiprocessing`` has forked."""
    forking = "fork" in multiprocessing.get_all_start_methods()
    return forking and isinstance(multiprocessing.current_process(), multiprocessing.get_context("fork").Process)


if hasattr(os, "register_at_fork"):  # where there is no fork, there is nothing to do
    os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_after_fork_in_child)

# Where a parent had used torch, but not this module, nothing was there to be told of the fork.
if _forked_by_multiprocessing():
    _compute_on_one_thread()
