"""Populations mix types by their weights and scatter speeds log-uniformly."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.devices import DeviceBatch, Population, catalogue
from sfl_env.errors import ScenarioError


def test_types_occur_as_often_as_their_weights_say() -> None:
    population = Population(("iot-gateway", "laptop", "cloud-vm"), weights=(1.0, 0.0, 3.0))
    index = population.sample(np.random.default_rng(0), 200, 500).type_index
    # Standard error sqrt(0.25 x 0.75 / 100,000) = 0.0014.
    assert (index == 0).mean() == pytest.approx(0.25, abs=0.007)
    assert (index == 1).sum() == 0


def test_types_are_equally_frequent_by_default() -> None:
    index = Population(("iot-gateway", "laptop")).sample(np.random.default_rng(1), 200, 500).type_index
    assert index.mean() == pytest.approx(0.5, abs=0.008)


def test_devices_have_their_types_figures() -> None:
    types = ("raspberry-pi-4", "laptop")
    batch = Population(types).sample(np.random.default_rng(2), 5, 8)
    for env, device in np.ndindex(5, 8):
        kind = catalogue.get(types[batch.type_index[env, device]])
        for field in DeviceBatch._fields[1:]:
            assert getattr(batch, field)[env, device] == getattr(kind, field)


def test_speeds_scatter_log_uniformly_around_their_types() -> None:
    batch = Population(("laptop",), spread=4.0).sample(np.random.default_rng(3), 200, 500)
    factor = np.log(batch.forward_flops_per_s / catalogue.get("laptop").forward_flops_per_s) / math.log(4.0)
    assert (np.abs(factor) <= 1.0).all()
    # Uniform from -1 to 1: mean 0, variance 1/3, a quarter in each half of each side.
    assert factor.mean() == pytest.approx(0.0, abs=0.01)
    assert factor.var() == pytest.approx(1.0 / 3.0, abs=0.006)
    assert (factor > 0.5).mean() == pytest.approx(0.25, abs=0.007)


def test_a_devices_four_speeds_scatter_together() -> None:
    kind = catalogue.get("laptop")
    batch = Population(("laptop",), spread=4.0).sample(np.random.default_rng(3), 20, 50)
    factor = batch.forward_flops_per_s / kind.forward_flops_per_s
    for name in ("forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s"):
        np.testing.assert_allclose(getattr(batch, name), factor * getattr(kind, name), rtol=1e-12)


@settings(max_examples=30)
@given(
    spread=st.floats(1.0, 1e6),
    n=st.integers(1, 3),
    num_devices=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_batches_are_positive_and_repeat_with_the_seed(spread: float, n: int, num_devices: int, seed: int) -> None:
    population = Population(catalogue.names(), spread=spread)
    one, other = (population.sample(np.random.default_rng(seed), n, num_devices) for _ in range(2))
    for name, values, same in zip(DeviceBatch._fields, one, other, strict=True):
        assert values.shape == (n, num_devices)
        assert (values == same).all()
        assert name == "type_index" or ((values > 0.0) & (np.isfinite(values) | (name == "battery_j"))).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Population(()), "types is empty"),
        (lambda: Population(("raspberry-pi",)), r"did you mean 'raspberry-pi-4'\?"),
        (lambda: Population(("laptop",), weights=(0.5, 0.5)), "weights has 2 entries for 1 types"),
        (lambda: Population(("laptop",), weights=(-1.0,)), "weight of 'laptop' is -1.0"),
        (lambda: Population(("laptop",), weights=(0.0,)), "weights are all 0"),
        (lambda: Population(("laptop",), spread=0.9), "spread is 0.9; .* at least 1"),
    ],
)
def test_bad_parameters_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()
