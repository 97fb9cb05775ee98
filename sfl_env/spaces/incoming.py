"""What users and agents hand in, as arrays: the one place where anything at all may arrive."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.errors import DecisionError


def as_array(given: object, name: str) -> NDArray[Any]:
    """Return what was handed in as a plain array, without a look at what it holds.

    Parameters
    ----------
    given : object
        An array, or anything that NumPy makes one of: nested lists, tensors.
    name : str
        What it is, for the message: ``"action"`` or ``"observation"``.

    Raises
    ------
    DecisionError
        If NumPy makes no array of it (ragged lists, tensors that require gradients or lie on another device), or
        if entries of it are masked.

    Examples
    --------
    >>> as_array([[0.5, 1.0]], "action")
    array([[0.5, 1. ]])
    >>> as_array([[0.5], [0.5, 1.0]], "action")
    Traceback (most recent call last):
        ...
    sfl_env.errors.DecisionError: The action is a list that NumPy makes no array of: setting an array element ...
    """
    if type(given) is np.ndarray:  # nearly always, and decided fastest this way
        return given
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise DecisionError(f"The {name} is an array with masked entries; every entry has to have its value.")
    try:
        return np.asarray(given)
    except Exception as error:  # whatever the object's own conversion raises
        raise DecisionError(
            f"The {name} is a {type(given).__name__} that NumPy makes no array of: {error}"
        ) from error


def shaped(given: object, shape: tuple[int, ...], name: str, meaning: str) -> NDArray[Any]:
    """Return a batch as an array once its shape is the one that is expected.

    Parameters
    ----------
    given : object
        As for :func:`as_array`.
    shape : tuple of int
        (N, ...).
    name, meaning : str
        What it is, and what it has to hold, for the message.

    Raises
    ------
    DecisionError
        If it is no array, or one of another shape.
    """
    # The check that as_array would make, without the call.
    values = given if type(given) is np.ndarray else as_array(given, name)
    if values.shape == shape:
        return values
    if values.dtype.kind == "O":
        raise _not_numbers(values, name, "numbers", meaning)
    raise DecisionError(
        f"The {name} has shape {values.shape[1:]}; it has to be {shape[1:]}: {meaning}."
        if values.shape[:1] == shape[:1]
        else f"The {name}s have shape {values.shape}; they have to be {shape}: {meaning}."
    )


def floats(values: NDArray[Any], name: str, meaning: str) -> NDArray[np.floating[Any]]:
    """Return numbers as floating-point ones: whole numbers as float64, floats in the precision that they have.

    Raises
    ------
    DecisionError
        If they are no real numbers: truth values, complex numbers, texts, objects, dates.

    Examples
    --------
    The smallest number of a signed type has no opposite in it:

    >>> abs(floats(np.array([-128], np.int8), "action", "numbers from -1 to 1"))
    array([128.])
    """
    kind = values.dtype.kind
    if kind == "f":
        return values
    if kind in "iu":
        return values.astype(np.float64)
    raise _not_numbers(values, name, "real numbers", meaning)


def indices(values: NDArray[Any], name: str, meaning: str) -> NDArray[np.integer[Any]]:
    """Return whole numbers as they are.

    Raises
    ------
    DecisionError
        If they are of another type, floats without a fraction included.
    """
    if values.dtype.kind not in "iu":
        raise _not_numbers(values, name, "whole numbers", meaning)
    return values


def _not_numbers(values: NDArray[Any], name: str, wanted: str, meaning: str) -> DecisionError:
    """Return the error that says of which type an array is and what it should hold."""
    return DecisionError(f"The {name} is of type {values.dtype}; it has to hold {wanted}: {meaning}.")
