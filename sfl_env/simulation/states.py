"""States of time-varying parts: NamedTuples, nested or not, of arrays whose first axis is the environment."""

import copy
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from sfl_env.errors import ScenarioError, StateError

_NUMBERS = set("biufc")
"""Kinds of arrays for which there is always one that holds the numbers of both."""

State = TypeVar("State", bound=tuple[Any, ...] | NDArray[Any])


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
    ScenarioError
        If ``fresh`` does not hold exactly as many environments as ``rows`` names, or an array of it has another
        shape an environment or numbers of another kind; it names the array.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Queue(NamedTuple):
    ...     length: np.ndarray
    >>> replace_rows(Queue(np.arange(4)), np.array([1, 3]), Queue(np.array([70, 80])))
    Queue(length=array([ 0, 70,  2, 80]))
    """
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return cast(State, _replaced(state, index, fresh, "state"))


def _replaced(value: Any, index: NDArray[Any], fresh: Any, name: str) -> Any:
    if isinstance(value, tuple):
        if not isinstance(fresh, tuple) or len(fresh) != len(value):
            raise _unlike(name, "is made of other parts")
        fields = getattr(value, "_fields", range(len(value)))
        parts = zip(value, fresh, fields, strict=True)
        return type(value)(*(_replaced(old, index, new, f"{name}.{field}") for old, new, field in parts))
    if len(fresh) != len(index):
        # Without this check NumPy would repeat a single fresh environment over all rows.
        raise _unlike(name, f"is of {len(fresh)} environments where {len(index)} are to be replaced")
    if fresh.shape[1:] != value.shape[1:]:
        raise _unlike(name, f"has shape {fresh.shape[1:]} an environment and {value.shape[1:]} in the running one")
    if value.dtype == fresh.dtype:
        mixed = value.copy()
    elif {value.dtype.kind, fresh.dtype.kind} <= _NUMBERS or value.dtype.kind == fresh.dtype.kind != "V":
        # In a type that holds both: a fresh 0.5 among whole numbers would become 0.
        mixed = value.astype(np.result_type(value, fresh))
    else:
        raise _unlike(name, f"is of type {fresh.dtype} and of {value.dtype} in the running one")
    mixed[index] = fresh
    return mixed


def _unlike(name: str, what: str) -> ScenarioError:
    return ScenarioError(f"{name} of a fresh state {what}; a state has to keep its layout from round to round.")


def own_copy(value: Any) -> Any:
    """Return what a user's learner keeps as a copy that it does not go on changing.

    Containers, arrays and tensors are copied, tensors as numbers without gradients; of the rest what can be.

    Examples
    --------
    >>> weights = {"layer": np.zeros(2)}
    >>> stored = own_copy(weights)
    >>> weights["layer"] += 1.0
    >>> stored
    {'layer': array([0., 0.])}
    """
    if isinstance(value, dict):
        result = copy.copy(value)  # of its own class and with its attributes, such as torch's versions
        for name in result:
            result[name] = own_copy(result[name])
        return result
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(own_copy, value))
    if type(value) in (list, tuple):
        return type(value)(map(own_copy, value))
    try:
        if callable(getattr(value, "detach", None)):  # a tensor, which may lie on a graph
            return value.detach().clone()
        return copy.deepcopy(value)
    except Exception:  # whatever a class of the user's raises; a lock, say, holds no numbers
        return value


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


def from_nested(like: Any, nested: Any, name: str = "state") -> Any:
    """Return the state that :func:`to_nested` took apart, in the types and shapes of another state of its kind.

    Parameters
    ----------
    like : NamedTuple of arrays or of such NamedTuples
        A state of the kind that is expected.
    nested : nested lists of numbers
        What was stored.
    name : str
        Of the state, for messages.

    Raises
    ------
    StateError
        If the parts do not correspond, or an entry is of another shape or kind of number; it names the entry.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> class Queue(NamedTuple):
    ...     length: np.ndarray
    >>> from_nested(Queue(np.zeros(2, dtype=np.int64)), [[3, 4]])
    Queue(length=array([3, 4]))
    >>> from_nested(Queue(np.zeros(2, dtype=np.int64)), [[3.5, 4]], "queue")
    Traceback (most recent call last):
        ...
    sfl_env.errors.StateError: queue.length of the stored state is of type float64; here it is of int64, ...
    """
    if not isinstance(like, tuple):
        return _array_from(like, nested, name)
    fields = getattr(like, "_fields", range(len(like)))
    if not isinstance(nested, list | tuple) or len(nested) != len(like):
        found = f"{len(nested)} parts" if isinstance(nested, list | tuple) else f"a {type(nested).__name__}"
        raise _misfit(name, f"is {found}", f"it has {len(like)} parts")
    return type(like)(
        *(
            from_nested(part, values, f"{name}.{field}")
            for field, part, values in zip(fields, like, nested, strict=True)
        )
    )


def _array_from(like: NDArray[Any], nested: Any, name: str) -> NDArray[Any]:
    try:
        found = np.asarray(nested)
    except Exception as error:  # whatever a foreign object's own conversion raises
        raise _misfit(name, f"is a {type(nested).__name__} that makes no array", "it is one") from error
    if found.size == like.size == 0:  # lists of nothing keep neither shape nor type
        return like.copy()
    if found.shape != like.shape:
        raise _misfit(name, f"has shape {found.shape}", f"it has {like.shape}")
    kind = like.dtype.kind
    if found.dtype.kind not in {"f": "fiu", "i": "iu", "u": "iu"}.get(kind, kind):
        raise _misfit(name, f"is of type {found.dtype}", f"it is of {like.dtype}")
    result = found.astype(like.dtype)
    if kind in "iu" and not np.array_equal(result, found):
        raise _misfit(name, "holds numbers that are too large", f"it is of {like.dtype}")
    return result


def _misfit(name: str, found: str, here: str) -> StateError:
    return StateError(
        f"{name} of the stored state {found}; here {here}, so it was stored by an environment of another size or "
        "with other parts: make this one with the same channel, population and fields."
    )
