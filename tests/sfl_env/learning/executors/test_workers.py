"""Worker threads do what one thread would, and leave torch as they found it."""

import threading
from typing import Any

import pytest
import torch

from sfl_env.learning.executors.workers import Workers

pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("items", [0, 1, 2, 7])
def test_results_come_in_the_items_order_and_every_worker_keeps_its_thread(count: int, items: int) -> None:
    with Workers(count) as workers:
        done = workers.spread(lambda worker, item: (worker, item, threading.get_ident()), items)
    assert [(worker, item) for worker, item, _ in done] == [(item % count, item) for item in range(items)]


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    with Workers(3) as workers:
        workers.spread(lambda worker, item: meeting.wait(timeout=30.0), 3)


def test_each_worker_has_its_part_of_torchs_threads_and_the_caller_gets_them_back() -> None:
    with Workers(2, torch_threads=1) as workers:
        assert workers.spread(lambda worker, item: torch.get_num_threads(), 2) == [1, 1]
    assert torch.get_num_threads() == 2
    with Workers(1) as workers:
        assert workers.spread(lambda worker, item: torch.get_num_threads(), 1) == [2]


def test_an_error_comes_through_and_the_threads_are_given_back() -> None:
    def fail(worker: Any, item: Any) -> None:
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"), Workers(2) as workers:
        workers.spread(fail, 2)
    assert torch.get_num_threads() == 2
