"""What all tests share: one thread each.

The networks and arrays of the tests are too small to gain from a second core, and threads of several test
processes wait for each other. It has to be said before the first of the numerical libraries is loaded, and holds
for the processes that tests start, too.
"""

import os
from collections.abc import Iterator

import pytest

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread, whatever an earlier test has left."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_threads(one_thread: None) -> None:
    """Torch on two threads."""
    import torch

    torch.set_num_threads(2)
