"""Blockage: what passes or stands between a device that stays where it is and its base station, for a while."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant
from sfl_env.checks import Range, require_positive, require_range

State = TypeVar("State", bound=tuple[Any, ...])


class Blockage(Protocol[State]):
    """What the composite channel asks of a blockage model."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Links of n environments at the start."""
        ...

    def step(self, state: State, elapsed_s: Array, rng: np.random.Generator) -> State:
        """Links after so many seconds, (N,); the very same object if nothing has changed."""
        ...

    def factor(self, state: State) -> Array | None:
        """Factor of the power gain, (N, K), above 0, at most 1; ``None`` for 1 everywhere."""
        ...


class BlockageState(NamedTuple):
    """Which links are blocked."""

    blocked: NDArray[np.bool_]  # (N, K)


class FreeState(NamedTuple):
    """Nothing is ever in the way."""


@dataclass(frozen=True)
class TwoStateBlockage:
    r"""Links that are free or blocked, a Markov process in continuous time.

    A blocked link becomes free at the rate :math:`1/h`, a free one blocked at :math:`p / (h (1 - p))`, with the
    mean time blocked :math:`h` and the fraction of time blocked :math:`p`. After t seconds it is blocked with the
    probability

    .. math:: p + (b - p)\, e^{-t / (h (1 - p))}, \quad b \in \{0, 1\} \text{ blocked before}

    so that two steps in a row are one of their sum, however long rounds are.

    Parameters
    ----------
    loss_db : float
        What a blocked link loses, dB, 0 to 200.
    fraction : float
        Fraction of time that it is blocked, at least 0 and below 1.
    hold_s : float
        Mean time that it stays blocked, s, above 0.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> blockage = TwoStateBlockage(loss_db=10.0, fraction=0.25, hold_s=60.0)
    >>> state = blockage.initial(np.random.default_rng(0), 1, 3)
    >>> blockage.step(state, np.array([20.0]), np.random.default_rng(1)).blocked.shape
    (1, 3)
    """

    loss_db: float
    fraction: float
    hold_s: float

    def __post_init__(self) -> None:
        require_range("loss_db", self.loss_db, 0.0, 200.0)
        Range(0.0, 1.0, high_open=True).require("fraction", self.fraction)
        require_positive("hold_s", self.hold_s)

    @cached_property
    def _decay_per_s(self) -> float:
        return -1.0 / (self.hold_s * (1.0 - self.fraction))

    @cached_property
    def _of_blocked(self) -> Array:
        return constant(10.0 ** (-self.loss_db / 10.0))

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> BlockageState:
        """Links from the stationary distribution."""
        return BlockageState(rng.random((n, num_devices)) < self.fraction)

    def step(self, state: BlockageState, elapsed_s: Array, rng: np.random.Generator) -> BlockageState:
        """Links after so many seconds, (N,)."""
        blocked = state.blocked
        decay = np.exp(elapsed_s * self._decay_per_s)[:, None]
        becomes = self.fraction * (1.0 - decay)
        return BlockageState(rng.random(blocked.shape) < np.where(blocked, becomes + decay, becomes))

    def factor(self, state: BlockageState) -> Array:
        """Factor of the power gain, (N, K)."""
        return np.where(state.blocked, self._of_blocked, 1.0)


@dataclass(frozen=True)
class NoBlockage:
    """Nothing is ever in the way.

    Examples
    --------
    >>> NoBlockage().factor(NoBlockage().initial(np.random.default_rng(0), 1, 2)) is None
    True
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> FreeState:
        """Nothing to remember."""
        return FreeState()

    def step(self, state: FreeState, elapsed_s: Array, rng: np.random.Generator) -> FreeState:
        """Return the state as it is."""
        return state

    def factor(self, state: FreeState) -> None:
        """Return nothing: the gain stays."""
