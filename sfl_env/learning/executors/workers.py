"""Worker threads over replicas: each trains its own ones with its part of torch's threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import TracebackType
from typing import Self, TypeVar

import torch

Result = TypeVar("Result")


class Workers:
    """So many threads; one is the caller's own, and then there are no others.

    A replica's step is a chain of small operations, each of which torch would spread over all cores and wait for.
    Replicas side by side wait for each other only once a step. What is computed for an item does not depend on
    which thread comes first, as long as it draws no random numbers: torch's generator is the whole process's.

    Parameters
    ----------
    count : int
        Threads.
    torch_threads : int
        Threads that torch may use in each; not used if ``count`` is 1.

    Examples
    --------
    >>> with Workers(2, torch_threads=1) as workers:
    ...     workers.spread(lambda worker, item: (worker, item), 3)
    [(0, 0), (1, 1), (0, 2)]
    """

    def __init__(self, count: int, torch_threads: int = 1) -> None:
        self.count = count
        self._torch_threads = torch_threads
        self._usual_torch_threads = 0
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.count > 1:
            self._pool = ThreadPoolExecutor(self.count)
            together = Barrier(self.count)

            def prepare(_: int) -> None:
                together.wait()  # so that each thread takes exactly one of these calls
                torch.set_num_threads(self._torch_threads)

            self._usual_torch_threads = torch.get_num_threads()
            list(self._pool.map(prepare, range(self.count)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            # A part of the number is the whole process's: that of its matrix products, and of threads to come.
            torch.set_num_threads(self._usual_torch_threads)

    def spread(self, task: Callable[[int, int], Result], items: int) -> list[Result]:
        """Return ``task(worker, item)`` for all items; worker w takes the items w, w + count, ... in turn."""
        if self._pool is None:
            return [task(0, item) for item in range(items)]

        def share(worker: int) -> list[Result]:
            return [task(worker, item) for item in range(worker, items, self.count)]

        shares = list(self._pool.map(share, range(min(self.count, items))))
        return [shares[item % self.count][item // self.count] for item in range(items)]
