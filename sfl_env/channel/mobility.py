"""Where the devices are: positions around the base station, which stands at the origin."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from sfl_env.arrays import Array
from sfl_env.channel.area import Annulus

State = TypeVar("State", bound=tuple[Any, ...])


class Mobility(Protocol[State]):
    """What the composite channel asks of a mobility model; its state has ``.position_m`` (N, K, 2)."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Positions in n environments at the start."""
        ...

    def step(self, state: State, elapsed_s: Array, rng: np.random.Generator) -> tuple[State, Array | None]:
        """Positions so many seconds (N,) later, and how far each device has walked, (N, K), m.

        What stays alike by walking, such as shadowing, follows the way and not the distance as the crow flies.
        ``None`` says that nobody ever walks, with the very same state.
        """
        ...


class StaticState(NamedTuple):
    """Devices that stay."""

    position_m: Array  # (N, K, 2)


@dataclass(frozen=True)
class Static:
    """Devices that stay where they are for the whole episode, uniform over the area.

    Examples
    --------
    >>> mobility = Static(Annulus(10.0, 200.0))
    >>> state = mobility.initial(np.random.default_rng(0), 1, 3)
    >>> mobility.step(state, np.array([20.0]), np.random.default_rng(1))[0] is state
    True
    """

    area: Annulus

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> StaticState:
        """Uniform positions."""
        return StaticState(self.area.sample(rng, (n, num_devices)))

    def step(self, state: StaticState, elapsed_s: Array, rng: np.random.Generator) -> tuple[StaticState, None]:
        """Return the very same state."""
        return state, None


def apart(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator for draws whose number depends on how long a round took.

    It is seeded by one number of the episode's generator, so that all that is drawn from that later is the same
    whatever was done in the round: policies that are compared meet the same random numbers.
    """
    return np.random.Generator(np.random.PCG64(int(rng.integers(2**63))))
