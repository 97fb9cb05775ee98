"""States of time-varying parts: NamedTuples, nested or not, of arrays whose first axis is the environment."""

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

State = TypeVar("State", bound=tuple[Any, ...])


def replace_rows(state: State, rows: NDArray[np.bool_] | NDArray[np.intp], fresh: State) -> State:
    """Return a state in which some environments are taken from a fresh one.

    Parameters
    ----------
    state : NamedTuple of arrays (N, ...) or of such NamedTuples
        The running states of N environments; left as it is.
    rows : (N,) boolean array or (m,) integer array
        Which environments to replace.
    fresh : as ``state``, with arrays (m, ...)
        The states of the m environments that replace them, in the order of ``rows``.

    Returns
    -------
    as ``state``

    Raises
    ------
    ValueError
        If ``fresh`` does not hold exactly as many environments as ``rows`` names.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Queue(NamedTuple):
    ...     length: np.ndarray
    >>> replace_rows(Queue(np.arange(4)), np.array([1, 3]), Queue(np.array([70, 80])))
    Queue(length=array([ 0, 70,  2, 80]))
    """
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return cast(State, _replaced(state, index, fresh))


def _replaced(value: Any, index: NDArray[Any], fresh: Any) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_replaced(old, index, new) for old, new in zip(value, fresh, strict=True)))
    if len(fresh) != len(index):
        # Without this check NumPy would repeat a single fresh environment over all rows.
        raise ValueError(f"{len(index)} environments are to be replaced but the fresh state has {len(fresh)}.")
    mixed = value.copy()
    mixed[index] = fresh
    return mixed


def to_nested(state: Any) -> Any:
    """Return a state as nested lists of numbers: JSON-able, and ``torch.load`` takes them without trust.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Queue(NamedTuple):
    ...     length: np.ndarray
    >>> to_nested((Queue(np.arange(2)), np.zeros(1)))
    [[[0, 1]], [0.0]]
    """
    return [to_nested(part) for part in state] if isinstance(state, tuple) else np.asarray(state).tolist()


def from_nested(like: Any, nested: Any) -> Any:
    """Return the state that :func:`to_nested` took apart, in the types and shapes of another state of its kind.

    Raises
    ------
    ValueError
        If the parts do not correspond.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Queue(NamedTuple):
    ...     length: np.ndarray
    >>> from_nested(Queue(np.zeros(2, dtype=np.int64)), [[3, 4]])
    Queue(length=array([3, 4]))
    """
    if isinstance(like, tuple):
        return type(like)(*(from_nested(part, values) for part, values in zip(like, nested, strict=True)))
    return np.array(nested, dtype=like.dtype).reshape(like.shape)
