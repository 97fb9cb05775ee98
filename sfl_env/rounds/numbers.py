"""What users hand in as numbers: real or whole ones, or an error that says where they are not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import DecisionError, SFLError


def real_numbers(name: str, values: object, error: type[SFLError]) -> Array:
    """Return what was given as an array of real numbers in double precision.

    Raises
    ------
    SFLError
        Of the class ``error``, if it is none: texts, objects, truth values, complex numbers, ragged rows, masked
        entries.

    Examples
    --------
    >>> real_numbers("start", [[1, 2]], DecisionError)
    array([[1., 2.]])
    """
    found = _array(name, values, error)
    if found.dtype.kind not in "fiu":
        raise error(f"{name} has type {found.dtype}; it has to hold real numbers.")
    with np.errstate(over="ignore"):  # what no float64 holds is infinite, and judged as that
        return np.asarray(found, np.float64, order="C")


def cut_indices(cut: object) -> NDArray[Any]:
    """Return what was given as an array of whole numbers.

    Raises
    ------
    DecisionError
        If it is none.
    """
    found = _array("cut", cut, DecisionError)
    if found.dtype.kind not in "iu":
        raise DecisionError(f"cut has type {found.dtype}; it has to hold integers, counted from 0.")
    return found


def _array(name: str, values: object, error: type[SFLError]) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise error(f"{name} has masked entries; every entry has to have its value.")
    try:
        return np.asarray(values)
    except Exception as reason:  # whatever the object's own conversion raises
        raise error(f"{name} is no array of numbers: {reason}.") from reason


def reject_devices(bad: NDArray[np.bool_], values: Array | NDArray[np.intp], name: str, why: str) -> None:
    """Raise :class:`DecisionError` for the first device (N, K) whose value is bad, saying why it is."""
    if bad.any():
        env, device = (int(i) for i in np.argwhere(bad)[0])
        raise DecisionError(f"{name} of device {device} (environment {env}) is {values[env, device]}; {why}.")
