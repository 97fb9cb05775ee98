"""Numbers that users hand in with a problem or a decision, as arrays, or an error that says what they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import SFLError

_FLOAT64 = np.dtype(np.float64)


def as_numbers(given: object, name: str, error: type[SFLError]) -> Array:
    """Return what was handed in as a float64 array.

    Parameters
    ----------
    given : object
        An array, or anything that NumPy makes one of.
    name : str
        What it is, for the message.
    error : type of SFLError
        What to raise.

    Raises
    ------
    error
        If NumPy makes no array of it, or one of anything but real numbers: truth values, complex numbers, texts,
        dates, objects, masked entries.

    Examples
    --------
    >>> as_numbers([1, 2.5], "fixed_s", SFLError)
    array([1. , 2.5])
    >>> as_numbers([1j], "fixed_s", SFLError)
    Traceback (most recent call last):
        ...
    sfl_env.errors.SFLError: fixed_s is of type complex128; it has to hold real numbers.
    """
    if type(given) is np.ndarray and given.dtype == _FLOAT64:
        return given
    values = _as_array(given, name, error)
    if values.dtype.kind not in "iuf" and values.size:
        raise error(f"{name} is of type {values.dtype}; it has to hold real numbers.")
    with np.errstate(over="ignore"):  # what no float64 holds is infinite, and judged as that
        return values.astype(np.float64)


def as_indices(given: object, name: str, error: type[SFLError]) -> NDArray[np.integer[Any]]:
    """Return what was handed in as an array of whole numbers, of the type that they have.

    Raises
    ------
    error
        If NumPy makes no array of it, or one of another type, floats without a fraction included.

    Examples
    --------
    >>> as_indices([0, 3], "cut", SFLError)
    array([0, 3])
    """
    values = _as_array(given, name, error)
    if values.dtype.kind not in "iu" and values.size:
        raise error(f"{name} has type {values.dtype}; it has to hold integers, counted from 0.")
    return values if values.dtype.kind in "iu" else values.astype(np.intp)


def _as_array(given: object, name: str, error: type[SFLError]) -> NDArray[Any]:
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise error(f"{name} has masked entries; every entry has to have its value.")
    try:
        return np.asarray(given)
    except Exception as reason:  # whatever the object's own conversion raises
        raise error(f"{name} is a {type(given).__name__} that is no array of numbers: {reason}") from reason
