"""Extremes of rows are those that NumPy finds, with infinities and NaN."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sfl_env.arrays import Array, row_maxima, row_minima

TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2), elements=st.floats())


@given(values=TABLES)
def test_extremes_of_rows_are_those_of_numpy(values: Array) -> None:
    np.testing.assert_array_equal(row_maxima(values), values.max(axis=1))
    np.testing.assert_array_equal(row_minima(values), values.min(axis=1))
    flipped = np.asfortranarray(values)
    np.testing.assert_array_equal(row_maxima(flipped), values.max(axis=1))
