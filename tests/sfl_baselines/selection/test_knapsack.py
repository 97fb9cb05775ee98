"""The knapsack, held against all choices."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.selection import knapsack, pack
from sfl_env.errors import SolverError


def all_choices(k: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=k)))


def best_of_all(value: np.ndarray, size: np.ndarray, room: float) -> np.ndarray:
    """(N,): the most that any choice that fits is worth."""
    choices = all_choices(value.shape[1])
    used = np.where(choices[:, None], size, 0.0).sum(axis=-1)
    worth = (choices[:, None] * value).sum(axis=-1)
    best: np.ndarray = np.where(used <= room, worth, 0.0).max(axis=0)
    return best


def drawn(seed: int, n: int, k: int, most: int, unit: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    value = unit * rng.integers(0, most + 1, (n, k)).astype(float)
    size = rng.exponential(rng.choice([0.1, 0.3, 2.0], (n, 1)), (n, k))
    size[rng.random((n, k)) < 0.1] = np.inf
    size[rng.random((n, k)) < 0.1] = 0.0
    return value, size


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 8),
    most=st.sampled_from([1, 3, 50, 1000]),
    unit=st.sampled_from([1, 5, 32]),
    room=st.sampled_from([0.2, 1.0, 3.0]),
)
def test_no_choice_is_worth_more(seed: int, k: int, most: int, unit: int, room: float) -> None:
    value, size = drawn(seed, 40, k, most, unit)
    packing = pack(value, size, room)
    assert (np.where(packing.chosen, size, 0.0).sum(axis=1) <= room * (1.0 + 1e-12)).all()
    np.testing.assert_array_equal(packing.value, (value * packing.chosen).sum(axis=1))
    np.testing.assert_array_equal(packing.value, best_of_all(value, size, room))
    np.testing.assert_array_equal(packing.bound, packing.value)


def test_where_all_are_worth_the_same_the_smallest_are_taken() -> None:
    size = np.random.default_rng(0).exponential(0.2, (100, 10))
    packing = pack(np.full((100, 10), 64.0), size)
    fitting = (np.cumsum(np.sort(size, axis=1), axis=1) <= 1.0).sum(axis=1)
    np.testing.assert_array_equal(packing.chosen.sum(axis=1), fitting)
    largest = np.where(packing.chosen, size, 0.0).max(axis=1)
    assert (np.where(packing.chosen, np.inf, size).min(axis=1) > largest).all()


def test_without_its_table_a_choice_is_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    value, size = drawn(1, 200, 8, 1000, 1)
    exact = pack(value, size)
    monkeypatch.setattr(knapsack, "_LARGEST_TABLE", 0)
    greedy = pack(value, size)
    assert (greedy.value <= exact.value).all()
    assert (greedy.value < exact.value).any()
    assert (greedy.bound >= exact.value).all()
    assert (greedy.bound > greedy.value).any()


def test_tables_in_pieces_are_as_tables_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    value, size = drawn(2, 100, 8, 1000, 1)
    at_once = pack(value, size)
    monkeypatch.setattr(knapsack, "_ENTRIES_AT_ONCE", 1)
    for one, other in zip(pack(value, size), at_once, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [1.5, -1.0, np.nan, np.inf])
def test_values_that_are_no_whole_numbers_are_refused(value: float) -> None:
    with pytest.raises(SolverError, match=r"Value 1 of problem 0 is .*whole number"):
        pack(np.array([[1.0, value]]), np.ones((1, 2)))


@pytest.mark.parametrize("size", [-1.0, np.nan])
def test_sizes_below_nothing_are_refused(size: float) -> None:
    with pytest.raises(SolverError, match="Size 0 of problem 1"):
        pack(np.ones((2, 1)), np.array([[1.0], [size]]))
