"""What a round of training is asked to do: each device's cut, and who takes part."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sfl_env.checks import shown
from sfl_env.errors import TrainingError


def checked_decision(
    cut: ArrayLike, active: ArrayLike | None, num_devices: int, num_cuts: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the cuts (K,), and the numbers of the devices that take part.

    Parameters
    ----------
    cut : (K,) array of int
        Index of each device's last block.
    active : (K,) array of bool or None
        Who takes part; by default all.
    num_devices, num_cuts : int
        K and C.

    Raises
    ------
    TrainingError
        If either is misshapen or of another type, or a cut is out of range.

    Examples
    --------
    >>> checked_decision([0, 2], [False, True], num_devices=2, num_cuts=3)
    (array([0, 2]), array([1]))
    """
    cuts = _one_each("cut", cut, num_devices, "iu", "cuts are whole numbers")
    everybody = np.ones(num_devices, dtype=bool)
    taking_part = _one_each(
        "active", everybody if active is None else active, num_devices, "b", "it has to be bool"
    )
    bad = (cuts < 0) | (cuts >= num_cuts)
    if bad.any():
        device = int(np.argmax(bad))
        raise TrainingError(f"cut of device {device} is {cuts[device]}; it has to be from 0 to {num_cuts - 1}.")
    return cuts.astype(np.intp), np.flatnonzero(taking_part)


def _one_each(name: str, value: ArrayLike, num_devices: int, kinds: str, rule: str) -> NDArray[Any]:
    """Return a user's value for each device as an array of one of these kinds of numbers."""
    try:
        values = np.asarray(value)
    except ValueError as error:  # of rows that differ in length
        raise TrainingError(f"{name} is {shown(value)}; it has to be one value for each device.") from error
    if values.shape != (num_devices,):
        raise TrainingError(
            f"{name} has shape {values.shape}; it has to be {(num_devices,)}, one for each device."
        )
    if values.dtype.kind not in kinds:
        raise TrainingError(f"{name} has dtype {values.dtype}; {rule}.")
    return values
