"""Where the devices are: positions around the base station, which stands at the origin."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import require_positive, require_range
from sfl_env.errors import ScenarioError

State = TypeVar("State", bound=tuple[Any, ...])


class Mobility(Protocol[State]):
    """What the composite channel asks of a mobility model; its state has ``.position_m`` (N, K, 2)."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Positions in n environments at the start."""
        ...

    def step(self, state: State, rng: np.random.Generator) -> State:
        """Positions one round later; the very same object if nobody has moved."""
        ...


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
        draws = rng.random((2, *shape))
        distance = np.sqrt(inner + (outer - inner) * draws[0])
        angle = draws[1] * (2.0 * math.pi)
        return np.stack((distance * np.cos(angle), distance * np.sin(angle)), axis=-1)

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


def distance_m(position_m: Array) -> Array:
    """Horizontal distance (...) of points (..., 2) to the base station, m."""
    x, y = position_m[..., 0], position_m[..., 1]
    distance: Array = np.sqrt(x * x + y * y)
    return distance


class StaticState(NamedTuple):
    """Devices that stay."""

    position_m: Array  # (N, K, 2)


class WaypointState(NamedTuple):
    """Devices on their way to a place."""

    position_m: Array  # (N, K, 2)
    waypoint_m: Array  # (N, K, 2)
    speed_m_per_s: Array  # (N, K)


class DriftState(NamedTuple):
    """Devices with a velocity that changes smoothly."""

    position_m: Array  # (N, K, 2)
    velocity_m_per_s: Array  # (N, K, 2)


@dataclass(frozen=True)
class Static:
    """Devices that stay where they are for the whole episode, uniform over the area.

    Examples
    --------
    >>> mobility = Static(Annulus(10.0, 200.0))
    >>> state = mobility.initial(np.random.default_rng(0), 1, 3)
    >>> mobility.step(state, np.random.default_rng(1)) is state
    True
    """

    area: Annulus

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> StaticState:
        """Uniform positions."""
        return StaticState(self.area.sample(rng, (n, num_devices)))

    def step(self, state: StaticState, rng: np.random.Generator) -> StaticState:
        """Return the very same state."""
        return state


@dataclass(frozen=True)
class RandomWaypoint:
    """Each device walks straight to a random place, then on to another, each leg at its own speed.

    A leg ends in the round in which its place is reached. A leg that would cross the innermost part of the cell
    ends at its edge. Positions start uniform over the area; walking gathers them towards the middle, as is
    known of this model. Source: D. B. Johnson, D. A. Maltz, "Dynamic source routing in ad hoc wireless networks",
    1996. Speeds start well above 0 because legs at speeds near 0 would hardly ever end (J. Yoon, M. Liu,
    B. Noble, "Random waypoint considered harmful", INFOCOM 2003).

    Parameters
    ----------
    area : Annulus
        Where devices and their waypoints are.
    interval_s : float
        Time between two rounds, s.
    slowest_m_per_s, fastest_m_per_s : float
        Range of the uniform speed, m/s, at least 0; where it is 0, nobody moves.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> mobility = RandomWaypoint(Annulus(10.0, 200.0), interval_s=1.0)
    >>> rng = np.random.default_rng(0)
    >>> state = mobility.initial(rng, 1, 3)
    >>> moved_m = distance_m(mobility.step(state, rng).position_m - state.position_m)
    >>> bool((moved_m <= 1.5).all())
    True
    """

    area: Annulus
    interval_s: float
    slowest_m_per_s: float = 0.5
    fastest_m_per_s: float = 1.5

    def __post_init__(self) -> None:
        require_range("interval_s", self.interval_s, 0.0)
        require_range("slowest_m_per_s", self.slowest_m_per_s, 0.0)
        require_range("fastest_m_per_s", self.fastest_m_per_s, self.slowest_m_per_s)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> WaypointState:
        """Uniform positions, each with a first place to go."""
        shape = (n, num_devices)
        position = self.area.sample(rng, shape)
        return WaypointState(position, self.area.sample(rng, shape), self._speed(rng, shape))

    def step(self, state: WaypointState, rng: np.random.Generator) -> WaypointState:
        """Positions one round later."""
        remaining = state.waypoint_m - state.position_m
        remaining_m = distance_m(remaining)
        reach_m = state.speed_m_per_s * self.interval_s
        arrived = reach_m >= remaining_m
        part = np.divide(reach_m, remaining_m, out=np.ones_like(reach_m), where=~arrived)
        position = state.position_m + remaining * part[..., None]
        blocked = distance_m(position) < self.area.inner_m
        ended = arrived | blocked
        if not ended.any():
            return WaypointState(position, state.waypoint_m, state.speed_m_per_s)
        position[blocked] = self.area.clip(position[blocked])
        shape = (int(np.count_nonzero(ended)),)
        waypoint, speed = state.waypoint_m.copy(), state.speed_m_per_s.copy()
        waypoint[ended] = self.area.sample(rng, shape)
        speed[ended] = self._speed(rng, shape)
        return WaypointState(position, waypoint, speed)

    def _speed(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.uniform(self.slowest_m_per_s, self.fastest_m_per_s, shape)


@dataclass(frozen=True)
class GaussMarkov:
    r"""Each device drifts with a velocity that remembers the last one; it bounces off the edges of the area.

    .. math:: v' = a v + \sqrt{1 - a^2}\, \sigma w

    in each of the two directions, with w standard normal and :math:`\sigma` such that the mean speed is as given
    (speeds are Rayleigh distributed: :math:`\sigma` is the mean speed over :math:`\sqrt{\pi / 2}`). Positions
    start uniform over the area and stay nearly so. Source: B. Liang, Z. J. Haas, "Predictive distance-based
    mobility management for PCS networks", INFOCOM 1999, with a mean velocity of zero.

    Parameters
    ----------
    area : Annulus
        Where the devices are.
    interval_s : float
        Time between two rounds, s.
    mean_speed_m_per_s : float
        Mean speed, m/s, at least 0.
    velocity_correlation : float
        :math:`a`, correlation of the velocity from one round to the next, 0 (erratic) to 1 (straight on).

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> mobility = GaussMarkov(Annulus(10.0, 200.0), interval_s=1.0, mean_speed_m_per_s=10.0)
    >>> rng = np.random.default_rng(0)
    >>> state = mobility.initial(rng, 1000, 3)
    >>> round(float(distance_m(state.velocity_m_per_s).mean()))
    10
    """

    area: Annulus
    interval_s: float
    mean_speed_m_per_s: float = 1.0
    velocity_correlation: float = 0.9

    def __post_init__(self) -> None:
        require_range("interval_s", self.interval_s, 0.0)
        require_range("mean_speed_m_per_s", self.mean_speed_m_per_s, 0.0)
        require_range("velocity_correlation", self.velocity_correlation, 0.0, 1.0)

    @cached_property
    def _velocity_std(self) -> float:
        return self.mean_speed_m_per_s / math.sqrt(0.5 * math.pi)

    @cached_property
    def _innovation_std(self) -> float:
        return self._velocity_std * math.sqrt(1.0 - self.velocity_correlation**2)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> DriftState:
        """Uniform positions, velocities from their stationary distribution."""
        position = self.area.sample(rng, (n, num_devices))
        velocity = rng.standard_normal(position.shape)
        velocity *= self._velocity_std
        return DriftState(position, velocity)

    def step(self, state: DriftState, rng: np.random.Generator) -> DriftState:
        """Positions one round later."""
        velocity = rng.standard_normal(state.velocity_m_per_s.shape)
        velocity *= self._innovation_std
        velocity += state.velocity_m_per_s * self.velocity_correlation
        position = state.position_m + velocity * self.interval_s
        distance = distance_m(position)
        outside = (distance > self.area.outer_m) | (distance < self.area.inner_m)
        if outside.any():
            position[outside], velocity[outside] = self._bounced(position[outside], velocity[outside])
        return DriftState(position, velocity)

    def _bounced(self, position: Array, velocity: Array) -> tuple[Array, Array]:
        """Mirror positions (m, 2) at the edge they have crossed, and the radial part of their velocities."""
        edge = self.area.clip(position)
        normal = edge / distance_m(edge)[:, None]
        radial = (velocity * normal).sum(axis=-1, keepdims=True)
        # A leap longer than the cell would land outside again after mirroring, hence the second clip.
        return self.area.clip(2.0 * edge - position), velocity - 2.0 * radial * normal
