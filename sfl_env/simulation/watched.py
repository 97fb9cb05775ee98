"""A user's own parts of the system behind their protocols: what they give is looked at each time."""

from typing import Any

import numpy as np

from sfl_env.channel.model import ChannelModel
from sfl_env.checks import Range
from sfl_env.devices.availability import Availability
from sfl_env.devices.population import DeviceBatch, DeviceSampler
from sfl_env.simulation.probing import FREE, GAIN, check_devices, check_state, in_doubles


class _Watched:
    """A time-varying part whose states tell of every device."""

    def __init__(self, part: str, process: Any, told: tuple[str, Range, str]) -> None:
        self._part = part
        self._process = process
        self._told = told

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        """Return states (N, K) at the start of their episodes."""
        state = self._process.initial(rng, n, num_devices)
        check_state(f"{self._part}.initial(rng, n, num_devices)", state, (n, num_devices), self._told)
        return state

    def step(self, state: Any, rng: np.random.Generator) -> Any:
        """Return the states of the next round."""
        later = self._process.step(state, rng)
        shape = getattr(state, self._told[0]).shape
        check_state(f"{self._part}.step(state, rng)", later, shape, self._told)
        return later


def watched_channel(channel: ChannelModel[Any]) -> ChannelModel[Any]:
    """Return a channel that raises a ``ScenarioError`` where the user's gives no gains of links."""
    return _Watched("channel", channel, GAIN)


def watched_availability(availability: Availability[Any]) -> Availability[Any]:
    """Return an availability that raises a ``ScenarioError`` where the user's gives no fractions."""
    return _Watched("availability", availability, FREE)


class WatchedPopulation:
    """A population that raises a ``ScenarioError`` where the user's gives no devices."""

    def __init__(self, population: DeviceSampler) -> None:
        self._population = population

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        """Return devices (N, K), with all that is computed with as doubles."""
        devices = self._population.sample(rng, n, num_devices)
        check_devices("population.sample(rng, n, num_devices)", devices, (n, num_devices))
        return in_doubles(devices)
