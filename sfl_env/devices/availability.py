"""How much of a device's speed training gets now: other programs come and go."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from sfl_env.arrays import Array, constant
from sfl_env.checks import Range, require_positive, require_range
from sfl_env.errors import ScenarioError

State = TypeVar("State", bound=tuple[Any, ...])


class AvailabilityState(NamedTuple):
    """Share of the nominal FLOP/s that each device has for training."""

    fraction: Array  # (N, K), above 0, at most 1


class Availability(Protocol[State]):
    """What the environment asks of an availability model; its state has ``.fraction`` (N, K), above 0."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Availability in n environments at the start."""
        ...

    def step(self, state: State, elapsed_s: Array, rng: np.random.Generator) -> State:
        """Availability after a round of so many seconds, (N,); the very same object if nothing has changed."""
        ...


def edges_between(weights: tuple[float, ...]) -> Array:
    """Where a uniform number passes from one weighted choice to the next, (choices - 1,).

    The last choice that has a weight ends at 1 exactly, so that none without weight is ever drawn.

    Examples
    --------
    >>> edges_between((1.0, 1.0, 2.0, 0.0))
    array([0.25, 0.5 , 1.  ])
    """
    sums = np.cumsum(weights)
    edges: Array = sums[:-1] / sums[-1]
    return edges


@dataclass(frozen=True)
class MarkovAvailability:
    """Markov process over a few levels: now and then a device's load is drawn anew.

    A load lasts for an exponentially distributed time; then a device draws its level from the weights. The weights
    are the stationary distribution, and the fraction's autocorrelation over t seconds is exp(-t / hold_s), so that
    two rounds change as much as one of their sum.

    Parameters
    ----------
    levels : tuple of float
        Fractions of the nominal speed, above 0, at most 1, in any order; a level that is named twice is drawn
        twice as often.
    weights : tuple of float, optional
        Stationary weight of each level, at least 0, not all 0; need not sum to 1. Equal by default.
    hold_s : float
        Mean time until a level is drawn anew, which may be the same one, s, above 0.

    Raises
    ------
    ScenarioError
        If there are no levels, the weights do not fit them or a number is out of its range.

    Examples
    --------
    >>> availability = MarkovAvailability(levels=(0.5, 1.0), hold_s=60.0)
    >>> rng = np.random.default_rng(0)
    >>> state = availability.initial(rng, 1, 4)
    >>> availability.step(state, np.array([20.0]), rng).fraction.shape
    (1, 4)
    """

    levels: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    weights: tuple[float, ...] = ()
    hold_s: float = 200.0

    def __post_init__(self) -> None:
        if not self.levels:
            raise ScenarioError("levels is empty; give at least one fraction, such as 1.0.")
        for index, level in enumerate(self.levels):
            Range(0.0, 1.0, low_open=True).require(f"levels[{index}]", level)
        if self.weights and len(self.weights) != len(self.levels):
            raise ScenarioError(
                f"weights has {len(self.weights)} entries for {len(self.levels)} levels; give one for each level."
            )
        for index, weight in enumerate(self.weights):
            require_range(f"weights[{index}]", weight, 0.0)
        if self.weights and sum(self.weights) == 0.0:
            raise ScenarioError("weights are all 0; at least one has to be above 0.")
        require_positive("hold_s", self.hold_s)

    @cached_property
    def _fractions(self) -> Array:
        return np.array(self.levels)

    @cached_property
    def _edges(self) -> Array:
        """Where a uniform number passes from one level to the next, (levels - 1,)."""
        return edges_between(self.weights or (1.0,) * len(self.levels))

    @cached_property
    def _rate_per_s(self) -> Array:
        return constant(-1.0 / self.hold_s)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> AvailabilityState:
        """Levels from the stationary distribution."""
        level = self._edges.searchsorted(rng.random((n, num_devices)), side="right")
        return AvailabilityState(self._fractions[level])

    def step(self, state: AvailabilityState, elapsed_s: Array, rng: np.random.Generator) -> AvailabilityState:
        """Levels so many seconds (N,) later."""
        draws = rng.random(state.fraction.shape)
        # One number says both whether a device switches (it is below p) and, scaled back by p, where to.
        chance = -np.expm1(elapsed_s * self._rate_per_s)[:, None]
        (switched,) = (draws < chance).ravel().nonzero()
        if not switched.size:
            return state
        fraction = state.fraction.copy()
        scaled = draws.take(switched) / chance.take(switched // fraction.shape[1])
        level = self._edges.searchsorted(scaled, side="right")
        fraction.put(switched, self._fractions.take(level))
        return AvailabilityState(fraction)


@dataclass(frozen=True)
class AlwaysAvailable:
    """Every device gives training its whole speed all the time.

    Examples
    --------
    >>> AlwaysAvailable().initial(np.random.default_rng(0), 1, 2).fraction
    array([[1., 1.]])
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> AvailabilityState:
        """Ones."""
        return AvailabilityState(np.ones((n, num_devices)))

    def step(self, state: AvailabilityState, elapsed_s: Array, rng: np.random.Generator) -> AvailabilityState:
        """Return the state as it is."""
        return state
