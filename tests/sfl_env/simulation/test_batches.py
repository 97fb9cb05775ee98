"""Whether memory holds the first cut is decided when the environment is made, never in a later episode."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import Scenario, ScenarioError, SFLEnv, SFLVectorEnv
from sfl_env.devices import DeviceBatch, Population
from sfl_env.devices.catalogue import get, names
from sfl_env.simulation.batches import batch_sizes, largest_batch_size
from sfl_env.simulation.simulator import Simulator
from tests.sfl_env.boards import boards


@given(size=st.integers(1, 10**6), spread=st.floats(1.0, 1e3), seed=st.integers(0, 99))
def test_no_mini_batch_is_larger_than_the_largest(size: int, spread: float, seed: int) -> None:
    scenario = Scenario(batch_size=size, batch_size_spread=spread)
    drawn = batch_sizes(scenario, np.random.default_rng(seed), (10, 10))
    assert 1 <= drawn.min() <= drawn.max() <= largest_batch_size(scenario)


class Highest(np.random.Generator):
    """Draws the upper ends, which a real generator may come close to at any time."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.full(size, np.nextafter(high, low))


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(st.sampled_from(names()), min_size=1, max_size=3, unique=True),
    rare=st.sampled_from([0.0, 1e-12, 1.0]),
    size=st.integers(1, 600),
    spread=st.sampled_from([1.0, 1.5, 4.0, 30.0]),
    model=st.sampled_from(["resnet18", "vgg16-224", "transformer", "lenet5"]),
)
def test_what_is_made_holds_every_mini_batch_on_every_device_that_may_come(
    kinds: list[str], rare: float, size: int, spread: float, model: str
) -> None:
    fields: dict[str, Any] = {
        "device_types": (*kinds, "iot-gateway"),
        "device_weights": (*(1.0 for _ in kinds), rare),
        "batch_size": size,
        "batch_size_spread": spread,
        "model": model,
    }
    occurring = [*kinds, *(["iot-gateway"] if rare else [])]
    largest = largest_batch_size(Scenario(**fields))
    work = Simulator(Scenario(model=model, batch_size=1, device_types=("laptop",), device_weights=(1.0,))).workload
    memory_bytes = np.array([get(kind).memory_bytes for kind in occurring])
    if (work.deepest_cut(np.full(len(occurring), largest), memory_bytes) < 0).any():
        with pytest.raises(ScenarioError, match="too little for the first cut"):
            Simulator(Scenario(**fields))
        return
    simulator = Simulator(Scenario(num_devices=20, **fields))
    for kind in occurring:
        alone = Simulator(simulator.scenario.replace(device_types=(kind,), device_weights=(1.0,)))
        assert (alone.initial(Highest(), 2).setup.deepest_cut >= 0).all()


def test_a_rare_device_is_refused_before_it_comes() -> None:
    fields: dict[str, Any] = {"model": "vgg16-224", "batch_size": 64, "reference_latency_s": 1.0}
    types: dict[str, Any] = {"device_types": ("laptop", "iot-gateway"), "device_weights": (1.0, 1e-9)}
    said = (
        r"Device type 'iot-gateway' has 2\.5e\+08 bytes of memory, too little for the first cut of vgg16-224,.*\. "
        "Take a smaller network or batch_size, or devices with more memory in device_types"
    )
    with pytest.raises(ScenarioError, match=said):
        gym.make("SFL-v0", **fields, **types)
    gym.make("SFL-v0", **fields, **(types | {"device_weights": (1.0, 0.0)}))


def test_a_rare_mini_batch_is_refused_before_it_comes() -> None:
    fields: dict[str, Any] = {"device_types": ("laptop",), "device_weights": (1.0,), "model": "vgg16-224"}
    gym.make("SFL-v0", batch_size=32, **fields)
    with pytest.raises(ScenarioError, match="mini-batch of 32000 samples, the largest of batch_size_spread 1000"):
        gym.make("SFL-v0", batch_size=32, batch_size_spread=1000.0, **fields)


def test_an_own_mixture_of_the_packages_types_is_checked_alike() -> None:
    with pytest.raises(ScenarioError, match="Device type 'iot-gateway'"):
        SFLEnv(model="vgg16-224", batch_size=64, population=Population(("laptop", "iot-gateway"), (1.0, 1e-9)))


class Boards:
    """Devices that are all alike, with a memory that can be taken away."""

    def __init__(self) -> None:
        self.memory_bytes = 4e9

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        return boards(n, num_devices, memory_bytes=self.memory_bytes)


def test_an_own_populations_memory_is_checked_in_every_episode() -> None:
    boards = Boards()
    envs = SFLVectorEnv(2, population=boards)
    envs.reset(seed=0)
    boards.memory_bytes = 1e3
    with pytest.raises(ScenarioError, match=r"Device \d has .* bytes of memory, too little"):
        envs.reset(seed=0)
