"""Random waypoints: devices that walk straight to a place, then on to another."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.channel.area import Annulus, distance_m
from sfl_env.channel.mobility import apart
from sfl_env.checks import require_positive, require_range

_TRIES = 200
"""Rounds of draws until all places suit. Where none may, in thin rings, ways end at the inner edge."""

_AT_ONCE = 200
"""Draws that are made together at least, since a round of draws costs more than few draws."""

_FORGOTTEN_RADII = 4.0
"""Whoever walks for as long as so many radii take at the mean speed may be anywhere: no device is on its first leg
any more, and drawing it anew costs less than its way."""

_MOST_LEGS = 200
"""Legs of one step at most; so many occur in rings alone that are too thin to walk in."""


class WaypointState(NamedTuple):
    """Devices on their way to a place."""

    position_m: Array  # (N, K, 2)
    waypoint_m: Array  # (N, K, 2)
    speed_m_per_s: Array  # (N, K)


@dataclass(frozen=True)
class RandomWaypoint:
    """Each device walks straight to a random place, then on to another, each leg at its own uniform speed.

    However long a round is, a device that reaches its place within it walks on to the next. A place is drawn
    uniformly from those that can be reached without crossing the innermost part of the cell.

    Episodes start in the stationary state, so that rounds are alike from the first one on: the leg that a device
    is on is drawn with a probability proportional to the time that it takes, and the device is anywhere on it (W.
    Navidi, T. Camp, "Stationary distributions for the random waypoint mobility model", IEEE Transactions on Mobile
    Computing 3(1), 2004). Devices are thus nearer to the middle than uniform ones. Source of the model: D. B.
    Johnson, D. A. Maltz, "Dynamic source routing in ad hoc wireless networks", 1996. Speeds start well above 0
    because legs at speeds near 0 would hardly ever end (J. Yoon, M. Liu, B. Noble, "Random waypoint considered
    harmful", INFOCOM 2003).

    Parameters
    ----------
    area : Annulus
        Where devices and their waypoints are.
    slowest_m_per_s, fastest_m_per_s : float
        Range of the uniform speed, m/s, above 0.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> mobility = RandomWaypoint(Annulus(10.0, 200.0))
    >>> rng = np.random.default_rng(0)
    >>> state = mobility.initial(rng, 1, 3)
    >>> later, walked_m = mobility.step(state, np.array([10.0]), rng)
    >>> bool((walked_m <= 10.0 * mobility.fastest_m_per_s).all())
    True
    """

    area: Annulus
    slowest_m_per_s: float = 0.4
    fastest_m_per_s: float = 1.2

    def __post_init__(self) -> None:
        require_positive("slowest_m_per_s", self.slowest_m_per_s)
        require_range("fastest_m_per_s", self.fastest_m_per_s, self.slowest_m_per_s)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> WaypointState:
        """Devices anywhere on legs that are drawn by the time that they take."""
        count, shape = n * num_devices, (n, num_devices, 2)
        start, end = self._legs(count, rng)
        position = start + (end - start) * rng.random((count, 1))
        # By the time a leg takes, a speed v is as frequent as 1 / v: its logarithm is uniform.
        slowest, fastest = math.log(self.slowest_m_per_s), math.log(self.fastest_m_per_s)
        speed = np.exp(slowest + (fastest - slowest) * rng.random((n, num_devices)))
        np.clip(speed, self.slowest_m_per_s, self.fastest_m_per_s, out=speed)
        return WaypointState(position.reshape(shape), end.reshape(shape), speed)

    def step(
        self, state: WaypointState, elapsed_s: Array, rng: np.random.Generator
    ) -> tuple[WaypointState, Array]:
        """Positions so many seconds (N,) later, and the metres walked, (N, K)."""
        rng = apart(rng)
        anew = elapsed_s >= self._forgotten_s
        count = np.count_nonzero(anew)
        if not count:
            return self._later(state, elapsed_s, rng)
        fresh = self.initial(rng, int(count), state.speed_m_per_s.shape[1])
        walked_m = fresh.speed_m_per_s * elapsed_s[anew, None]
        if count == len(anew):
            return fresh, walked_m
        kept = ~anew
        later, kept_m = self._later(WaypointState(*(part[kept] for part in state)), elapsed_s[kept], rng)
        wholes = tuple(np.empty_like(part) for part in (*state, state.speed_m_per_s))
        for whole, new, old in zip(wholes, (*fresh, walked_m), (*later, kept_m), strict=True):
            whole[anew], whole[kept] = new, old
        return WaypointState(*wholes[:3]), wholes[3]

    @cached_property
    def _forgotten_s(self) -> float:
        return _FORGOTTEN_RADII * self.area.outer_m / (0.5 * (self.slowest_m_per_s + self.fastest_m_per_s))

    def _later(
        self, state: WaypointState, elapsed_s: Array, rng: np.random.Generator
    ) -> tuple[WaypointState, Array]:
        """Return positions so many seconds (N,) later, and the metres walked, in arrays of their own."""
        way = state.waypoint_m - state.position_m
        way_m = distance_m(way)
        walked = state.speed_m_per_s * elapsed_s[:, None]
        arrived = walked >= way_m
        part = np.divide(walked, way_m, out=np.ones_like(walked), where=~arrived)
        way *= part[..., None]
        way += state.position_m
        later = WaypointState(way, state.waypoint_m.copy(), state.speed_m_per_s.copy())
        (index,) = arrived.ravel().nonzero()
        if len(index):
            np.minimum(walked, way_m, out=walked)
            left_s = elapsed_s.take(index // walked.shape[1])
            left_s -= way_m.take(index) / state.speed_m_per_s.take(index)
            self._walk_on(later, walked, index, np.maximum(left_s, 0.0, out=left_s), rng)
        return later, walked

    def _walk_on(
        self, state: WaypointState, walked: Array, index: NDArray[np.intp], left_s: Array, rng: np.random.Generator
    ) -> None:
        """Let the devices that stand at their waypoints go on for what is left of the time, in place."""
        position, waypoint = state.position_m.reshape(-1, 2), state.waypoint_m.reshape(-1, 2)
        speed, total = state.speed_m_per_s.reshape(-1), walked.reshape(-1)
        here = waypoint.take(index, axis=0)
        for _ in range(_MOST_LEGS):
            there = self._next(here, rng)
            pace = rng.uniform(self.slowest_m_per_s, self.fastest_m_per_s, len(index))
            way = there - here
            leg_m = distance_m(way)
            reach_m = pace * left_s
            arrives = reach_m >= leg_m
            way *= np.divide(reach_m, leg_m, out=np.ones_like(reach_m), where=~arrives)[:, None]
            way += here
            position[index], waypoint[index], speed[index] = way, there, pace
            total[index] += np.minimum(reach_m, leg_m)
            (on,) = arrives.nonzero()
            if not len(on):
                return
            index, here = index.take(on), there.take(on, axis=0)
            left_s = left_s.take(on) - leg_m.take(on) / pace.take(on)

    def _next(self, here: Array, rng: np.random.Generator) -> Array:
        """Draw places (m, 2) that can be reached from here, (m, 2)."""
        there = np.empty_like(here)

        def draw(open_: NDArray[np.intp], times: int) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
            places, suited = self.area.candidates(rng, (len(open_), times))
            suited &= ~self.area.is_crossed(here.take(open_, axis=0)[:, None], places)
            return (places,), suited

        _fill((there,), draw)
        return there

    def _legs(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw legs, ends (count, 2) each, with probabilities proportional to their lengths.

        Waypoints that are drawn uniformly from those within reach are, in the long run, uniform pairs that reach
        each other: the chain is a walk on an undirected graph.
        """
        longest_m = 2.0 * self.area.outer_m
        start, end = np.empty((2, count, 2))

        def draw(open_: NDArray[np.intp], times: int) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
            both, within = self.area.candidates(rng, (2, len(open_), times))
            suited = within[0] & within[1]
            suited &= rng.random((len(open_), times)) * longest_m < distance_m(both[1] - both[0])
            suited &= ~self.area.is_crossed(both[0], both[1])
            return (both[0], both[1]), suited

        _fill((start, end), draw)
        return start, end


def _fill(
    results: tuple[Array, ...],
    draw: Callable[[NDArray[np.intp], int], tuple[tuple[Array, ...], NDArray[np.bool_]]],
) -> None:
    """Fill rows (m, 2) with the first draws that suit: the more at once, the fewer are left."""
    open_ = np.arange(len(results[0]))
    at_once = max(_AT_ONCE, len(open_) // 2)
    for number in range(_TRIES):
        times = max(at_once // max(len(open_), 1), 1)
        drawn, suited = draw(open_, times)
        first = suited.argmax(axis=1)
        first += np.arange(0, first.size * times, times)
        found = suited.take(first)
        (places,) = (found if number + 1 < _TRIES else np.ones_like(found)).nonzero()
        chosen, rows = first.take(places), open_.take(places)
        for whole, part in zip(results, drawn, strict=True):
            for axis in (0, 1):  # whose numbers lie together
                whole[rows, axis] = part[..., axis].take(chosen)
        open_ = open_[~found]
        if not len(open_):
            return
