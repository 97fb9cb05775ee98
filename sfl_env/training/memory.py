"""Memory that one step's tensors give back and the next step's tensors take again."""

from functools import cache

import torch

LARGEST_KEPT_BYTES = 31 * 2**20
"""Just under 32 MiB, the largest block that glibc learns from."""


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 62 MiB of freed memory instead of handing it back to the kernel.

    A step frees all its activations and gradients, and the next one asks for as much again. By default glibc
    returns a few megabytes of free memory at once, and each page that comes back has to be cleared and mapped
    anew: a quarter of the time of a step of K small replicas. Its thresholds follow the largest block that was
    mapped and freed, so that freeing one such block, once in a process, is enough. It is never written to.
    Under other C libraries nothing happens.

    Examples
    --------
    >>> keep_freed_memory()
    """
    torch.empty(LARGEST_KEPT_BYTES, dtype=torch.uint8)
