"""Which devices take part: a sampler over device types."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.checks import require_range
from sfl_env.devices import catalogue
from sfl_env.devices.availability import edges_between
from sfl_env.errors import ScenarioError


class DeviceBatch(NamedTuple):
    """The devices of N environments."""

    type_index: NDArray[np.intp]  # (N, K), position in the population's types
    forward_flops_per_s: Array  # (N, K), of the forward pass with the device's whole speed, memory aside
    forward_bytes_per_s: Array  # (N, K), that the forward pass moves through memory; infinite: FLOPs alone count
    backward_flops_per_s: Array  # (N, K), the same of the backward pass
    backward_bytes_per_s: Array  # (N, K)
    transmit_power_w: Array  # (N, K), radiated
    idle_w: Array  # (N, K), drawn by the whole device while it waits
    computing_w: Array  # (N, K)
    transmitting_w: Array  # (N, K)
    receiving_w: Array  # (N, K)
    memory_bytes: Array  # (N, K)
    battery_j: Array  # (N, K), of a full battery; infinite on mains power


class DeviceSampler(Protocol):
    """What the environment asks of a device population; write one class with this method to bring your own.

    Examples
    --------
    Every device twice as fast as the one before it:

    >>> class Ladder:
    ...     def sample(self, rng, n, num_devices):
    ...         def full(value):
    ...             return np.full((n, num_devices), value)
    ...         speed = full(1e9) * 2.0 ** np.arange(num_devices)
    ...         return DeviceBatch(
    ...             type_index=full(0),
    ...             forward_flops_per_s=speed,
    ...             forward_bytes_per_s=full(np.inf),
    ...             backward_flops_per_s=speed / 2.0,
    ...             backward_bytes_per_s=full(np.inf),
    ...             transmit_power_w=full(0.1),
    ...             idle_w=full(1.0),
    ...             computing_w=full(4.0),
    ...             transmitting_w=full(2.0),
    ...             receiving_w=full(1.5),
    ...             memory_bytes=full(1e9),
    ...             battery_j=full(np.inf),
    ...         )
    >>> Ladder().sample(np.random.default_rng(0), 1, 3).forward_flops_per_s
    array([[1.e+09, 2.e+09, 4.e+09]])
    """

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        """Devices of n environments."""
        ...


@dataclass(frozen=True)
class Population:
    """A mixture of device types whose speeds scatter around their type's.

    Parameters
    ----------
    types : tuple of str
        Names of the catalogue; see :func:`sfl_env.devices.catalogue.names`.
    weights : tuple of float, optional
        How often each type occurs, at least 0, not all 0; need not sum to 1. Equal by default.
    spread : float
        At least 1. Each device's speeds are its type's times a factor from 1 / spread to spread, log-uniform.

    Raises
    ------
    ScenarioError
        If a type is unknown, the weights do not fit the types or a number is out of its range.

    Examples
    --------
    >>> population = Population(("raspberry-pi-4", "laptop"), weights=(3.0, 1.0), spread=1.5)
    >>> devices = population.sample(np.random.default_rng(0), 2, 5)
    >>> devices.forward_flops_per_s.shape
    (2, 5)
    """

    types: tuple[str, ...]
    weights: tuple[float, ...] = ()
    spread: float = 1.0

    def __post_init__(self) -> None:
        if not self.types:
            raise ScenarioError(f"types is empty; name at least one of {', '.join(catalogue.names())}.")
        for name in self.types:
            catalogue.get(name)
        if self.weights and len(self.weights) != len(self.types):
            raise ScenarioError(
                f"weights has {len(self.weights)} entries for {len(self.types)} types; give one for each type."
            )
        for name, weight in zip(self.types, self.weights, strict=False):
            require_range(f"the weight of {name!r}", weight, 0.0)
        if self.weights and sum(self.weights) == 0.0:
            raise ScenarioError("weights are all 0; at least one has to be above 0.")
        require_range("spread", self.spread, 1.0)

    @cached_property
    def _table(self) -> tuple[Array, ...]:
        """One array over the types for each field of a batch after the type's index."""
        kinds = [catalogue.get(name) for name in self.types]
        return tuple(np.array([getattr(kind, name) for kind in kinds]) for name in DeviceBatch._fields[1:])

    @cached_property
    def _edges(self) -> Array:
        """Where a uniform number passes from one type to the next, (types - 1,)."""
        return edges_between(self.weights or (1.0,) * len(self.types))

    @property
    def smallest_memory(self) -> tuple[str, float]:
        """Name and bytes of the type with the least memory among those that occur.

        Examples
        --------
        >>> Population(("pi-zero-2", "raspberry-pi-4", "laptop"), weights=(0.0, 1.0, 1.0)).smallest_memory
        ('raspberry-pi-4', 2000000000.0)
        """
        weights = self.weights or (1.0,) * len(self.types)
        occurring = [name for name, weight in zip(self.types, weights, strict=True) if weight > 0.0]
        smallest = min((catalogue.get(name) for name in occurring), key=lambda kind: kind.memory_bytes)
        return smallest.name, smallest.memory_bytes

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        """Devices of n environments, independent of each other.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of all randomness.
        n, num_devices : int
            Environments N and devices K.

        Returns
        -------
        DeviceBatch
        """
        shape = (n, num_devices)
        index = self._edges.searchsorted(rng.random(shape), side="right")
        columns = [column.take(index) for column in self._table]
        reach = math.log(self.spread)
        factor = np.exp(rng.uniform(-reach, reach, shape))
        for speed in columns[:4]:
            speed *= factor
        return DeviceBatch(index, *columns)
