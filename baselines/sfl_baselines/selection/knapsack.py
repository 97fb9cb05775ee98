"""The 0-1 knapsack, batched: which items fit into the room and are worth the most together.

Greedily by size for each unit of value first; where that falls short of Dantzig's bound (the relaxed problem, in
which an item may be taken in part), the table of the least size for every value that can be reached decides. It is
exact, since values are whole numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import SolverError

_SLACK = 1e-9
"""Bounds hold for this share of room more, which covers the rounding of sizes and of their sums."""

_LARGEST_TABLE = 50_000_000
"""Entries of the table of one problem; where it would be larger, the greedy choice and Dantzig's bound stay."""

_ENTRIES_AT_ONCE = 4_000_000
"""Entries of the tables in work at once."""


class Packing(NamedTuple):
    """Which items are taken."""

    chosen: NDArray[np.bool_]  # (N, K)
    value: Array  # (N,) of what is taken
    bound: Array  # (N,) no choice that fits is worth more


def pack(value: Array, size: Array, room: float = 1.0) -> Packing:
    """Choose the items that fit and are worth the most together.

    Parameters
    ----------
    value : (N, K) array
        Whole numbers, at least 0; items worth nothing are not taken.
    size : (N, K) array
        At least 0; infinite for an item that never fits.
    room : float
        What the sizes may sum to, above 0.

    Returns
    -------
    Packing
        ``value`` and ``bound`` agree unless a problem's table would be too large.

    Raises
    ------
    SolverError
        If a value is no whole number from 0 to 2^53, or a size is negative or not a number.

    Examples
    --------
    The densest item would leave the two others out.

    >>> packing = pack(np.array([[3.0, 2.0, 2.0]]), np.array([[0.6, 0.5, 0.5]]))
    >>> packing.chosen, packing.value, packing.bound
    (array([[False,  True,  True]]), array([4.]), array([4.]))
    """
    _check(value, size)
    fits = (value > 0.0) & (size <= room * (1.0 + _SLACK))
    worth, needed = np.where(fits, value, 0.0), np.where(fits, size, np.inf)
    unit = np.maximum(np.gcd.reduce(worth.astype(np.int64), axis=1), 1)
    order = np.argsort(needed / np.where(fits, worth, 1.0), axis=1, kind="stable")
    chosen = _greedy(needed, order, room)
    best = (worth * chosen).sum(axis=1)
    # What is worth a whole number of units cannot come up to a part of one.
    bound = np.floor(_relaxed(worth, needed, order, room) / unit + _SLACK) * unit
    open_rows = np.flatnonzero(best < bound)
    for rows in _pieces(open_rows, bound, unit, value.shape[1]):
        units = (worth[rows] / unit[rows, None]).astype(np.int64)
        most = int((bound[rows] / unit[rows]).max())
        chosen[rows], reached = _by_table(units, needed[rows], room, most)
        best[rows] = (worth[rows] * chosen[rows]).sum(axis=1)
        bound[rows] = np.minimum(bound[rows], reached * unit[rows])
    return Packing(chosen, best, bound)


def _check(value: Array, size: Array) -> None:
    whole = (value >= 0.0) & (value <= 2.0**53) & (value == np.floor(value))
    if not whole.all():
        env, item = (int(i) for i in np.argwhere(~whole)[0])
        raise SolverError(f"Value {item} of problem {env} is {value[env, item]}; it has to be a whole number.")
    if not (size >= 0.0).all():
        env, item = (int(i) for i in np.argwhere(~(size >= 0.0))[0])
        raise SolverError(f"Size {item} of problem {env} is {size[env, item]}; it has to be at least 0.")


def _greedy(size: Array, order: NDArray[np.intp], room: float) -> NDArray[np.bool_]:
    """(N, K): the items in their order, each taken where it still fits."""
    n, k = size.shape
    chosen = np.zeros((n, k), dtype=np.bool_)
    used, rows = np.zeros(n), np.arange(n)
    for item in order.T:
        with_it = used + size[rows, item]
        taken = with_it <= room
        used = np.where(taken, with_it, used)
        chosen[rows, item] = taken
    return chosen


def _relaxed(value: Array, size: Array, order: NDArray[np.intp], room: float) -> Array:
    """(N,): what could be reached if the first item that does not fit any more were taken in part."""
    size = np.take_along_axis(size, order, axis=1)
    value = np.take_along_axis(value, order, axis=1)
    before = np.cumsum(size, axis=1) - np.where(np.isfinite(size), size, 0.0)
    left = np.where(np.isfinite(size), room * (1.0 + _SLACK) - before, 0.0)
    part = np.divide(left, size, out=np.ones_like(size), where=size > 0.0)
    bound: Array = (value * np.clip(part, 0.0, 1.0)).sum(axis=1)
    return bound


def _pieces(rows: NDArray[np.intp], bound: Array, unit: NDArray[np.int64], k: int) -> list[NDArray[np.intp]]:
    """Split rows, but for those with too large a table, into pieces that are worked on at once."""
    entries = k * (bound[rows] / unit[rows] + 1.0)
    rows = rows[entries <= _LARGEST_TABLE]
    if not rows.size:
        return []
    rows = rows[np.argsort(bound[rows] / unit[rows], kind="stable")]
    together = max(int(_ENTRIES_AT_ONCE / entries.max()), 1)
    return [rows[first : first + together] for first in range(0, len(rows), together)]


def _by_table(
    units: NDArray[np.int64], size: Array, room: float, most: int
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return the best choice (N, K), and the units (N,) that none exceeds, looking at most at ``most`` of them."""
    n, k = size.shape
    least = np.full((n, most + 1), np.inf)  # size for exactly so many units
    least[:, 0] = 0.0
    taken = np.zeros((k, n, most + 1), dtype=np.bool_)
    reached = np.arange(most + 1)
    for item in range(k):
        before = reached - units[:, item, None]
        with_it = np.take_along_axis(least, np.maximum(before, 0), axis=1) + size[:, item, None]
        taken[item] = (before >= 0) & (with_it < least)
        least = np.where(taken[item], with_it, least)
    left = most - (least <= room)[:, ::-1].argmax(axis=1)
    bound = most - (least <= room * (1.0 + _SLACK))[:, ::-1].argmax(axis=1)
    chosen = np.zeros((n, k), dtype=np.bool_)
    rows = np.arange(n)
    for item in reversed(range(k)):
        chosen[:, item] = taken[item, rows, left]
        left = left - np.where(chosen[:, item], units[:, item], 0)
    return chosen, bound
