"""The devices' mini-batches, and whether their memory holds the first cut at them."""

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.devices.population import DeviceBatch, Population
from sfl_env.errors import ScenarioError
from sfl_env.rounds.workload import Workload
from sfl_env.scenario import Scenario

_MEND = "Take a smaller network or batch_size, or devices with more memory"


def batch_sizes(scenario: Scenario, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Draw the samples of each device's mini-batch, (N, K)."""
    return _rounded(scenario, scenario.batch_size_spread ** rng.uniform(-1.0, 1.0, shape))


def largest_batch_size(scenario: Scenario) -> int:
    """Return the largest mini-batch that a device of the scenario may ever draw.

    Examples
    --------
    >>> largest_batch_size(Scenario(batch_size=32, batch_size_spread=1.5))
    48
    """
    return int(_rounded(scenario, np.array(scenario.batch_size_spread)))


def _rounded(scenario: Scenario, factor: Array) -> NDArray[np.int64]:
    return np.maximum(np.rint(scenario.batch_size * factor), 1.0).astype(np.int64)


def check_types_memory(population: Population, scenario: Scenario, workload: Workload, network: str) -> None:
    """Raise unless every type that occurs holds the first cut at the largest mini-batch that occurs.

    What passes here never fails in an episode.

    Raises
    ------
    ScenarioError
        Naming the type and the fields that a smaller need comes from.
    """
    name, memory_bytes = population.smallest_memory
    batch_size = largest_batch_size(scenario)
    needed_bytes = workload.needed_bytes(np.array(batch_size))[0]
    if needed_bytes > memory_bytes:
        spread = scenario.batch_size_spread
        largest = f", the largest of batch_size_spread {spread:g}" if spread != 1.0 else ""
        raise ScenarioError(
            f"Device type {name!r} has {memory_bytes:.3g} bytes of memory, too little for the first cut of "
            f"{network}, which needs {needed_bytes:.3g} at a mini-batch of {batch_size} samples{largest}. {_MEND} "
            "in device_types."
        )


def check_memory(
    deepest_cut: NDArray[np.intp], devices: DeviceBatch, batch_size: NDArray[np.int64], network: str
) -> None:
    """Raise unless every drawn device holds the first cut, which a user's own population may break.

    Raises
    ------
    ScenarioError
        Naming a device that does not.
    """
    if (deepest_cut < 0).any():
        env, device = (int(i) for i in np.argwhere(deepest_cut < 0)[0])
        raise ScenarioError(
            f"Device {device} has {devices.memory_bytes[env, device]:.3g} bytes of memory, too little for the "
            f"first cut of {network} at a mini-batch of {batch_size[env, device]} samples. {_MEND}."
        )
