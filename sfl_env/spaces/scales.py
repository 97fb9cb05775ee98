"""Quantities that span decades, as numbers from -1 to 1 on logarithmic scales."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class LogScale:
    """A positive quantity on a logarithmic scale from -1 (``low``) to 1 (``high``), clipped there.

    The logarithm is taken in single precision of the quantity over the middle of its scale: rounding is least
    there, and a value comes back to about 1e-6.
    """

    low: float
    high: float

    @cached_property
    def unit(self) -> np.float32:
        """One over the quantity in the middle, at 0."""
        return np.float32(1.0 / math.sqrt(self.low * self.high))

    @cached_property
    def highest(self) -> np.float32:
        """The quantity at 1, over that in the middle."""
        return np.float32(math.sqrt(self.high / self.low))

    @cached_property
    def half_length(self) -> np.float32:
        """Natural logarithm of :attr:`highest`: how far the scale goes up, and down, from its middle."""
        return np.float32(np.log(self.highest))

    @cached_property
    def lowest(self) -> np.float32:
        """The quantity at -1, over that in the middle: the smallest number that rounding takes no further."""
        lowest = 1.0 / self.highest
        while np.log(lowest) < -self.half_length:
            lowest = np.nextafter(lowest, np.float32(1.0))
        return lowest

    def encode(self, values: Array) -> Rows:
        """Scale values, whatever their shape; :class:`LogScales` is faster for columns of several scales.

        Examples
        --------
        >>> LogScale(1e-3, 1e3).encode(np.array([0.0, 1.0, 1e3, np.inf])).round(6)
        array([-1.,  0.,  1.,  1.], dtype=float32)
        """
        scaled = np.asarray(values, np.float32) * self.unit
        np.maximum(scaled, self.lowest, out=scaled)
        np.minimum(scaled, self.highest, out=scaled)
        np.log(scaled, out=scaled)
        scaled /= self.half_length
        return scaled

    def decode(self, scaled: NDArray[np.floating]) -> Array:
        """Undo the scaling.

        Examples
        --------
        >>> float(LogScale(1e3, 1e9).decode(np.array(0.0)).round())
        1000000.0
        """
        return np.exp(scaled * np.float64(self.half_length)) / np.float64(self.unit)


class LogScales:
    """Several quantities scaled in one pass, each to a column of its own.

    Examples
    --------
    >>> rows = np.empty((1, 2, 2), np.float32)
    >>> scales = LogScales(LogScale(1e3, 1e9), LogScale(1.0, 100.0))
    >>> scales.encode(np.array([[1e6, 1e12]]), np.array([[10.0, 1.0]]), out=rows)
    >>> rows.round(6) + 0.0
    array([[[ 0.,  0.],
            [ 1., -1.]]], dtype=float32)
    """

    def __init__(self, *scales: LogScale) -> None:
        self._scales = scales
        self._constants = lru_cache(maxsize=32)(self._repeated)

    def encode(self, *quantities: Array, out: Rows) -> None:
        """Write the scaled (N, K) quantities, within [-1, 1], along the last axis of ``out``."""
        scaled = np.array(quantities, np.float32)
        unit, lowest, highest, half_length = self._constants(scaled.shape)
        scaled *= unit
        np.maximum(scaled, lowest, out=scaled)
        np.minimum(scaled, highest, out=scaled)
        np.log(scaled, out=scaled)
        # Seen this way round, NumPy walks along whole columns of `out` and not through three numbers at a time.
        np.divide(scaled, half_length, out=out.transpose(2, 0, 1))

    def _repeated(self, shape: tuple[int, ...]) -> list[Rows]:
        """Repeat each scale's constants over (N, K): NumPy takes longer to broadcast than to read them."""
        return [
            np.stack([np.full(shape[1:], getattr(scale, name)) for scale in self._scales])
            for name in ("unit", "lowest", "highest", "half_length")
        ]
