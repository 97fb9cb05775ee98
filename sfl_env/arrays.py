"""NumPy idioms that the hot paths use, in one place: sums and extremes over devices, and constants.

A round of ten devices is a hundred small array operations, whose fixed costs count more than their numbers. What
the idioms gain over what one would write without them, as ratios of times for one environment and for 1,024 side
by side, medians of ``python -m speed.idioms``:

==========================================  =====  ========
idiom                                       N = 1  N = 1024
==========================================  =====  ========
``constant(x)`` for a Python number         1.5    1.1
``dot(row_sums(K))`` for ``sum(axis=-1)``   2.1    2.1
a division by these sums                    2.0    1.8
``row_maxima`` for ``max(axis=-1)``         1.0    2.4
``count_nonzero(x)`` for ``x.any()``        2.9    1.3
``take(index, axis=1)`` for ``[:, index]``  3.3    2.2
a named tuple's fields by position          1.9    1.9
==========================================  =====  ========

Fields go by position only into the two named tuples of devices that every round makes: together two hundredths
of a single environment's step.

Writing into arrays that are there (``*=``, ``out=``) gains a tenth for one environment and nothing measurable for
many; it is used where the array is the function's own.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_REPEATED_SUMS = 16
"""Up to so many devices, repeating a sum for each of them costs less than broadcasting it later."""


def constant(value: float) -> Array:
    """Return a number as an array without axes, which NumPy takes up faster than a Python number.

    Examples
    --------
    >>> constant(0.5) * np.ones(2)
    array([0.5, 0.5])
    """
    return np.array(value)


@lru_cache(maxsize=32)
def row_sums(num_devices: int) -> Array:
    """Matrix whose product with an (N, K) array holds its rows' sums, (N, K) or (N, 1).

    With few devices each gets the sum: all that follows then works on arrays of one shape, for which NumPy has its
    fastest way.

    Examples
    --------
    >>> np.array([[1.0, 2.0], [3.0, 4.0]]).dot(row_sums(2))
    array([[3., 3.],
           [7., 7.]])
    """
    return np.ones((num_devices, num_devices if num_devices <= _REPEATED_SUMS else 1))


def row_maxima(values: Array) -> Array:
    """Largest number of each row of an (N, K) array, (N,); NaN where the row holds one.

    NumPy is quicker to find where it is than how large it is.

    Examples
    --------
    >>> row_maxima(np.array([[1.0, 2.0], [4.0, 3.0]]))
    array([2., 4.])
    """
    return _one_of_each_row(values, values.argmax(axis=1))


def row_minima(values: Array) -> Array:
    """Smallest number of each row of an (N, K) array, (N,), as :func:`row_maxima`.

    Examples
    --------
    >>> row_minima(np.array([[1.0, 2.0], [4.0, 3.0]]))
    array([1., 3.])
    """
    return _one_of_each_row(values, values.argmin(axis=1))


def _one_of_each_row(values: Array, position: NDArray[np.intp]) -> Array:
    taken: Array = values.take(position + _remembered_starts(*values.shape))
    return taken


def row_starts(num_rows: int, length: int) -> NDArray[np.intp]:
    """Where each row of a (num_rows, length) table starts when it is flattened, (num_rows,).

    Examples
    --------
    >>> row_starts(3, 10)
    array([ 0, 10, 20])
    """
    return np.arange(0, num_rows * length, length)


_remembered_starts = lru_cache(maxsize=32)(row_starts)
"""For tables without a third axis: a step asks for the same ones again and again."""
