"""Memory that one step's tensors give back and the next step's tensors take again."""

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of ``mallopt``, in glibc's <malloc.h>."""

_KEPT_BYTES = 256 * 2**20
_LARGEST_KEPT_BLOCK_BYTES = 32 * 2**20
"""The most that glibc allows."""


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 256 MiB of freed memory instead of handing it back to the kernel.

    A step frees all its activations and gradients, and the next one asks for as much again. By default glibc
    returns free memory as soon as there are a few megabytes of it, and each page that comes back has to be mapped
    and cleared anew: a quarter of the time of a step of K small replicas, a tenth of VGG-11's. The setting is the
    whole process's. Under other C libraries nothing happens.

    Examples
    --------
    >>> keep_freed_memory()
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    # macOS and musl have no such function, Windows no such library.
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, _LARGEST_KEPT_BLOCK_BYTES)
    mallopt(M_TRIM_THRESHOLD, _KEPT_BYTES)
