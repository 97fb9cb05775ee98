"""The served area: where devices are, around the base station, which stands at the origin."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import require_positive
from sfl_env.errors import ScenarioError

_MOSTLY = 0.5


@dataclass(frozen=True)
class Annulus:
    """The served area: a disc around the base station without its innermost part.

    Parameters
    ----------
    inner_m : float
        Smallest distance to the base station, m, above 0.
    outer_m : float
        Radius of the cell, m, above ``inner_m``.

    Raises
    ------
    ScenarioError
        If the radii are out of their ranges.

    Examples
    --------
    >>> area = Annulus(inner_m=10.0, outer_m=200.0)
    >>> position_m = area.sample(np.random.default_rng(0), (4, 3))
    >>> position_m.shape
    (4, 3, 2)
    >>> bool(area.contains(position_m).all())
    True
    """

    inner_m: float = 10.0
    outer_m: float = 250.0

    def __post_init__(self) -> None:
        require_positive("inner_m", self.inner_m)
        require_positive("outer_m", self.outer_m)
        if self.inner_m >= self.outer_m:
            raise ScenarioError(
                f"inner_m is {self.inner_m} and outer_m is {self.outer_m}; the inner radius has to be the smaller."
            )

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Points (*shape, 2) in metres, uniform over the area."""
        inner, outer = self.inner_m**2, self.outer_m**2
        distance, angle = rng.random((2, *shape))
        distance *= outer - inner
        distance += inner
        np.sqrt(distance, out=distance)
        angle *= 2.0 * math.pi
        position = np.empty((*shape, 2))
        np.multiply(distance, np.cos(angle), out=position[..., 0])
        np.multiply(distance, np.sin(angle), out=position[..., 1])
        return position

    def candidates(self, rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, NDArray[np.bool_]]:
        """Points (*shape, 2) in metres, and whether they lie in the area, uniform over it if they do.

        Where most of a square does, drawing from that and dropping some costs less than :meth:`sample`.
        """
        if self.inner_m > _MOSTLY * self.outer_m:
            return self.sample(rng, shape), np.ones(shape, dtype=np.bool_)
        x, y = both = rng.random((2, *shape))
        both -= 0.5
        both *= 2.0 * self.outer_m
        distance2 = x * x + y * y
        within: NDArray[np.bool_] = (distance2 >= self.inner_m**2) & (distance2 <= self.outer_m**2)
        return np.moveaxis(both, 0, -1), within

    def contains(self, position_m: Array) -> NDArray[np.bool_]:
        """Whether points (..., 2) lie in the area, but for rounding."""
        distance = distance_m(position_m)
        within: NDArray[np.bool_] = (distance >= self.inner_m * (1.0 - 1e-12)) & (
            distance <= self.outer_m * (1.0 + 1e-12)
        )
        return within

    def clip(self, position_m: Array) -> Array:
        """Points (..., 2), those outside moved radially to the nearer edge."""
        distance = distance_m(position_m)
        wanted = np.clip(distance, self.inner_m, self.outer_m)
        # A point exactly at the base station has no direction; it leaves along the first axis.
        at_origin = distance == 0.0
        clipped: Array = position_m * (wanted / np.where(at_origin, 1.0, distance))[..., None]
        clipped[..., 0] += at_origin * wanted
        return clipped

    def is_crossed(self, start_m: Array, end_m: Array) -> NDArray[np.bool_]:
        """Whether the straight ways (..., 2) from start to end lead through the innermost part or into it."""
        x, y = start_m[..., 0], start_m[..., 1]
        way_x, way_y = end_m[..., 0] - x, end_m[..., 1] - y
        length2, inwards = way_x * way_x + way_y * way_y, -(x * way_x + y * way_y)
        # The way comes nearest within it, nearer than the edge: |start x way|^2 < (inner |way|)^2. Who starts at
        # the edge itself and goes away does not cross it, whatever rounding says.
        beside = x * way_y - y * way_x
        crossed: NDArray[np.bool_] = (beside * beside < self.inner_m**2 * length2) & (inwards > 0.0)
        crossed &= inwards < length2
        end2 = end_m[..., 0] * end_m[..., 0] + end_m[..., 1] * end_m[..., 1]
        crossed |= end2 < self.inner_m**2 * (1.0 - 1e-13)
        return crossed

    def is_left(self, end_m: Array) -> NDArray[np.bool_]:
        """Whether ways (..., 2) end beyond the cell's edge, by more than rounding."""
        beyond: NDArray[np.bool_] = distance_m(end_m) > self.outer_m * (1.0 + 1e-13)
        return beyond

    def entered(self, start_m: Array, end_m: Array) -> Array:
        """Part (m,) of the straight ways (m, 2), which lead through the innermost part, until they enter it."""
        way = end_m - start_m
        inwards, length2 = -_dot(start_m, way), _dot(way, way)
        outside2 = np.maximum(_dot(start_m, start_m) - self.inner_m**2, 0.0)
        root = np.sqrt(np.maximum(inwards * inwards - length2 * outside2, 0.0))
        part: Array = np.minimum(outside2 / (inwards + root), 1.0)
        return part

    def left(self, start_m: Array, end_m: Array) -> Array:
        """Part (m,) of the straight ways (m, 2), which lead out of the cell, until they leave it."""
        way = end_m - start_m
        inwards, length2 = -_dot(start_m, way), _dot(way, way)
        inside2 = np.maximum(self.outer_m**2 - _dot(start_m, start_m), 0.0)
        part: Array = np.clip((inwards + np.sqrt(inwards * inwards + length2 * inside2)) / length2, 0.0, 1.0)
        return part

    def cut_off(self, start_m: Array, end_m: Array) -> Array:
        """Ends (m, 2) of the straight ways, those through the innermost part where they would enter it."""
        (crossing,) = self.is_crossed(start_m, end_m).nonzero()
        ends = end_m.copy()
        if len(crossing):
            start, end = start_m[crossing], end_m[crossing]
            ends[crossing] = self.clip(start + (end - start) * self.entered(start, end)[:, None])
        return ends


def _dot(one: Array, other: Array) -> Array:
    """Inner products (...) of vectors (..., 2)."""
    product: Array = one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1]
    return product


def distance_m(position_m: Array) -> Array:
    """Horizontal distance (...) of points (..., 2) to the base station, m."""
    x, y = position_m[..., 0], position_m[..., 1]
    distance: Array = np.sqrt(x * x + y * y)
    return distance
