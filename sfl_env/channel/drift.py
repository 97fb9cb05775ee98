"""Gauss-Markov mobility: devices that drift with a velocity which changes smoothly."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.channel.area import Annulus, distance_m
from sfl_env.channel.mobility import apart
from sfl_env.checks import require_positive, require_range

_MOST_BOUNCES = 8
"""Of one part of a step."""

_MOST_PARTS = 64
"""Parts of one step at most. They lead a quarter of the cell's diameter, or less, until all is forgotten."""

_FORGOTTEN_CROSSINGS = 5.0
"""Whoever drifts for so many times as long as the cell takes to cross may be anywhere, and is drawn anew."""


class DriftState(NamedTuple):
    """Devices with a velocity that changes smoothly."""

    position_m: Array  # (N, K, 2)
    velocity_m_per_s: Array  # (N, K, 2)


@dataclass(frozen=True)
class GaussMarkov:
    r"""Each device drifts with a velocity that remembers the last one; it bounces off the edges of the area.

    In each of the two directions the velocity is an Ornstein-Uhlenbeck process with the memory :math:`\tau`: over
    t seconds

    .. math:: v' = a v + \sqrt{1 - a^2}\, \sigma w, \quad a = e^{-t / \tau}

    with w standard normal and :math:`\sigma` such that the mean speed is as given (speeds are Rayleigh
    distributed: :math:`\sigma` is the mean speed over :math:`\sqrt{\pi / 2}`). The position is its exact integral,
    drawn together with it, so that two steps in a row are one of their sum. Edges reflect devices as mirrors do
    light; steps that lead far are made in parts for that. Positions are uniform over the area at all times.
    Source: B. Liang, Z. J. Haas, "Predictive distance-based mobility management for PCS networks", INFOCOM 1999,
    with a mean velocity of zero.

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

    @cached_property
    def _forgotten_s(self) -> float:
        """As long as the whole cell takes several times, straight or, with a shorter memory, astray."""
        if self.mean_speed_m_per_s == 0.0:
            return math.inf
        straight_s = 2.0 * self.area.outer_m / self.mean_speed_m_per_s
        return max(_FORGOTTEN_CROSSINGS * straight_s, straight_s * (straight_s / self.memory_s))

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> DriftState:
        """Uniform positions, velocities from their stationary distribution."""
        position = self.area.sample(rng, (n, num_devices))
        velocity = rng.standard_normal(position.shape)
        velocity *= self._velocity_std
        return DriftState(position, velocity)

    def step(self, state: DriftState, elapsed_s: Array, rng: np.random.Generator) -> tuple[DriftState, Array]:
        """Positions so many seconds (N,) later, and the metres walked, (N, K)."""
        rng = apart(rng)
        anew = elapsed_s >= self._forgotten_s
        followed_s = np.where(anew, 0.0, elapsed_s)
        parts = max(math.ceil(min(float(followed_s.max(initial=0.0)) / self._longest_part_s, _MOST_PARTS)), 1)
        lengths = _OfPart(followed_s[:, None, None] / parts, self._velocity_std, self.memory_s)
        walked = np.zeros(state.position_m.shape[:2])
        for _ in range(parts):
            state = self._part(state, lengths, walked, rng)
        if count := int(np.count_nonzero(anew)):
            fresh = self.initial(rng, count, state.position_m.shape[1])
            state.position_m[anew], state.velocity_m_per_s[anew] = fresh.position_m, fresh.velocity_m_per_s
            walked[anew] = self.mean_speed_m_per_s * elapsed_s[anew, None]
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
        end = state.position_m + moved
        hits = self.area.is_left(end) | self.area.is_crossed(state.position_m, end)
        if np.count_nonzero(hits):
            end[hits], velocity[hits] = self._bounced(state.position_m[hits], end[hits], velocity[hits], rng)
        return DriftState(end, velocity)

    def _bounced(self, start: Array, end: Array, velocity: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Reflect what is left of ways (m, 2) at the edges that they hit, and the velocities with them."""
        area, velocity = self.area, velocity.copy()
        open_ = np.arange(len(start))
        for _ in range(_MOST_BOUNCES):
            one, other = start[open_], end[open_]
            with np.errstate(divide="ignore", invalid="ignore"):  # of the edge that is not hit
                part = np.where(area.is_crossed(one, other), area.entered(one, other), area.left(one, other))
            edge = area.clip(one + (other - one) * part[:, None])
            normal = edge / distance_m(edge)[:, None]
            start[open_], end[open_] = edge, edge + _reflected(other - edge, normal)
            velocity[open_] = _reflected(velocity[open_], normal)
            again = area.is_left(end[open_]) | area.is_crossed(edge, end[open_])
            open_ = open_[again]
            if not len(open_):
                return area.clip(end), velocity
        end[open_] = area.sample(rng, open_.shape)  # ways much longer than the cell is wide lead anywhere
        return area.clip(end), velocity


def _reflected(vectors: Array, normal: Array) -> Array:
    """Vectors (m, 2) with the part along the normals turned round."""
    reflected: Array = vectors - 2.0 * (vectors * normal).sum(axis=-1, keepdims=True) * normal
    return reflected


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
