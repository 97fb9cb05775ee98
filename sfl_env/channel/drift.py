"""Gauss-Markov mobility: devices that drift with a velocity which changes smoothly."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.channel.area import Annulus, distance_m
from sfl_env.checks import require_positive, require_range

_MOST_PARTS = 64
"""Parts of one step at most; where they are not enough to follow a device, it may be anywhere."""


class DriftState(NamedTuple):
    """Devices with a velocity that changes smoothly."""

    position_m: Array  # (N, K, 2)
    velocity_m_per_s: Array  # (N, K, 2)


@dataclass(frozen=True)
class GaussMarkov:
    r"""Each device drifts with a velocity that remembers the last one; it bounces off the edges of the area.

    In each of the two directions the velocity is an Ornstein-Uhlenbeck process with the memory :math:`\tau`: over t
    seconds

    .. math:: v' = a v + \sqrt{1 - a^2}\, \sigma w, \quad a = e^{-t / \tau}

    with w standard normal and :math:`\sigma` such that the mean speed is as given (speeds are Rayleigh distributed:
    :math:`\sigma` is the mean speed over :math:`\sqrt{\pi / 2}`). The position is its exact integral, drawn together
    with it, so that two steps in a row are one of their sum. Steps in which devices would come far are made in parts,
    for the sake of the bounces. Positions start uniform over the area and stay nearly so. Source: B. Liang, Z. J. Haas,
    "Predictive distance-based mobility management for PCS networks", INFOCOM 1999, with a mean velocity of zero.

    Parameters
    ----------
    area : Annulus
        Where the devices are.
    mean_speed_m_per_s : float
        Mean speed, m/s, at least 0.
    memory_s : float
        :math:`\tau`, time over which the velocity's correlation falls to 1/e, s, above 0; the default is ours.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> mobility = GaussMarkov(Annulus(10.0, 200.0), mean_speed_m_per_s=10.0)
    >>> rng = np.random.default_rng(0)
    >>> state = mobility.initial(rng, 1000, 3)
    >>> round(float(distance_m(state.velocity_m_per_s).mean()))
    10
    """

    area: Annulus
    mean_speed_m_per_s: float = 1.4
    memory_s: float = 100.0

    def __post_init__(self) -> None:
        require_range("mean_speed_m_per_s", self.mean_speed_m_per_s, 0.0)
        require_positive("memory_s", self.memory_s)

    @cached_property
    def _velocity_std(self) -> float:
        return self.mean_speed_m_per_s / math.sqrt(0.5 * math.pi)

    @cached_property
    def _longest_part_s(self) -> float:
        """A quarter of the way across, or half the memory, over which a way is hardly longer than its chord."""
        across_m = 0.25 * (self.area.outer_m - self.area.inner_m)
        if across_m >= self.mean_speed_m_per_s * 0.5 * self.memory_s:
            return 0.5 * self.memory_s
        return max(across_m / self.mean_speed_m_per_s, 1e-300)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> DriftState:
        """Uniform positions, velocities from their stationary distribution."""
        position = self.area.sample(rng, (n, num_devices))
        velocity = rng.standard_normal(position.shape)
        velocity *= self._velocity_std
        return DriftState(position, velocity)

    def step(self, state: DriftState, elapsed_s: Array, rng: np.random.Generator) -> tuple[DriftState, Array]:
        """Positions so many seconds (N,) later, and the metres walked, (N, K)."""
        longest_s = min(float(elapsed_s.max(initial=0.0)) / self._longest_part_s, _MOST_PARTS)
        parts = max(math.ceil(longest_s), 1)
        lengths = _OfPart(elapsed_s[:, None, None] / parts, self._velocity_std, self.memory_s)
        walked = np.zeros(state.position_m.shape[:2])
        for _ in range(parts):
            state = self._part(state, lengths, walked, rng)
        return state, walked

    def _part(self, state: DriftState, of: "_OfPart", walked: Array, rng: np.random.Generator) -> DriftState:
        """Positions a part of the step later; adds what they have walked."""
        shape = state.velocity_m_per_s.shape
        draw = rng.standard_normal(shape)
        moved = state.velocity_m_per_s * of.way_s
        moved += draw * of.shared_m
        moved += rng.standard_normal(shape) * of.own_m
        velocity = state.velocity_m_per_s * of.kept
        draw *= of.changed_m_per_s
        velocity += draw
        walked += distance_m(moved)
        moved += state.position_m
        distance = distance_m(moved)
        outside = (distance > self.area.outer_m) | (distance < self.area.inner_m)
        if np.count_nonzero(outside):
            moved[outside], velocity[outside] = self._bounced(moved[outside], velocity[outside], rng)
        return DriftState(moved, velocity)

    def _bounced(self, position: Array, velocity: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Mirror positions (m, 2) at the edge they have crossed, and the radial part of their velocities."""
        edge = self.area.clip(position)
        normal = edge / distance_m(edge)[:, None]
        radial = (velocity * normal).sum(axis=-1, keepdims=True)
        mirrored = 2.0 * edge - position
        lost = ~self.area.contains(mirrored)
        if np.count_nonzero(lost):  # a leap longer than the cell: the device may be anywhere
            mirrored[lost] = self.area.sample(rng, (int(np.count_nonzero(lost)),))
        return mirrored, velocity - 2.0 * radial * normal


class _OfPart:
    """The joint normal distribution of what a velocity becomes and how far it leads, after times (N, 1, 1)."""

    def __init__(self, part_s: Array, std: float, memory_s: float) -> None:
        ratio = part_s / memory_s
        changed = -np.expm1(-ratio)  # 1 - a
        self.kept = 1.0 - changed
        self.way_s = memory_s * changed
        spread = np.sqrt(changed * (1.0 + self.kept))  # the root of 1 - a^2
        self.changed_m_per_s = std * spread
        shared = np.divide(changed * changed, spread, out=np.zeros_like(spread), where=spread > 0.0)
        self.shared_m = std * memory_s * shared
        # Var = 2 r - 3 + 4 a - a^2 in units of (std x memory)^2, 2 r^3 / 3 for short parts, where digits cancel.
        whole = np.where(ratio < 1e-3, ratio**3 / 1.5, 2.0 * ratio - 2.0 * changed - changed * changed)
        self.own_m = std * memory_s * np.sqrt(np.maximum(whole - shared * shared, 0.0))
