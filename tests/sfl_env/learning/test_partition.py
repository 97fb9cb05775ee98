"""Partitions hand out every sample once, skewed as asked."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.errors import DataError
from sfl_env.learning.partition import Partition, dirichlet, iid, quantity_skew, scheme, shards
from sfl_env.scenario import PartitionName

SCHEMES = get_args(PartitionName)
LABELS = np.random.default_rng(0).integers(0, 10, 1000)
OPTIONS = {"concentration": 0.5, "min_samples": 4, "shards_per_device": 2}


@given(name=st.sampled_from(SCHEMES), num_devices=st.integers(1, 20), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_every_sample_belongs_to_one_device(name: Any, num_devices: int, seed: int) -> None:
    partition = scheme(name, num_devices, **OPTIONS)(LABELS, np.random.default_rng(seed))
    assert partition.num_devices == num_devices
    held = np.sort(np.concatenate(partition.indices))
    assert np.array_equal(held, np.arange(len(LABELS)))
    assert partition.label_histogram(LABELS, 10).sum(axis=0).tolist() == np.bincount(LABELS).tolist()


@pytest.mark.parametrize("name", SCHEMES)
def test_the_same_seed_gives_the_same_partition(name: str) -> None:
    draw = scheme(name, 7, **OPTIONS)
    first, second, other = (draw(LABELS, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first.indices, second.indices, strict=True))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first.indices, other.indices, strict=True))


def share_of_the_commonest_class(concentration: float) -> Any:
    partitions = [
        dirichlet(LABELS, np.random.default_rng(seed), num_devices=10, concentration=concentration)
        for seed in range(5)
    ]
    histograms = np.concatenate([partition.label_histogram(LABELS, 10) for partition in partitions])
    return (histograms.max(axis=1) / histograms.sum(axis=1)).mean()


def test_a_smaller_concentration_lets_one_class_prevail() -> None:
    strong, some, none = (share_of_the_commonest_class(c) for c in (0.05, 0.5, 1000.0))
    assert strong > 0.6 > some > 0.25 > none


def test_a_large_concentration_is_nearly_even() -> None:
    sizes = dirichlet(LABELS, np.random.default_rng(0), num_devices=10, concentration=1e6).sizes
    assert sizes.min() >= 90
    assert sizes.max() <= 110


def test_dirichlet_keeps_to_the_smallest_size_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert dirichlet(LABELS, rng, num_devices=10, concentration=0.1, min_samples=16).sizes.min() >= 16


def test_quantity_skew_varies_sizes_but_not_classes() -> None:
    split = quantity_skew(LABELS, np.random.default_rng(0), num_devices=5, concentration=0.5, min_samples=20)
    assert split.sizes.max() > 3 * split.sizes.min()
    histogram = split.label_histogram(LABELS, 10) / split.sizes[:, None]
    assert np.abs(histogram[split.sizes > 150] - 0.1).max() < 0.08


def test_shards_show_a_device_few_classes() -> None:
    split = shards(np.sort(LABELS), np.random.default_rng(0), num_devices=20, shards_per_device=1)
    assert (split.label_histogram(np.sort(LABELS), 10) > 0).sum(axis=1).max() <= 2


def test_a_device_without_samples_is_named() -> None:
    with pytest.raises(DataError, match="Device 1 of 2 has no samples"):
        Partition((np.array([0]), np.array([], dtype=int)))
    with pytest.raises(DataError, match="at least one device"):
        Partition(())


@pytest.mark.parametrize(
    ("draw", "options", "message"),
    [
        (iid, {"num_devices": 0}, "num_devices is 0"),
        (iid, {"num_devices": 1001}, "1000 samples cannot give 1001 devices 1 each"),
        (shards, {"num_devices": 501, "shards_per_device": 2}, "cannot give 501 devices 2 each"),
        (shards, {"num_devices": 5, "shards_per_device": 0}, "shards_per_device is 0"),
        (dirichlet, {"num_devices": 5, "concentration": -1.0}, "concentration is -1.0"),
        (quantity_skew, {"num_devices": 5, "concentration": float("nan")}, "concentration is nan"),
        (
            dirichlet,
            {"num_devices": 50, "concentration": 0.01, "min_samples": 19},
            r"draws of Dirichlet\(0.01\) left a device with fewer than 19 of 1000 samples",
        ),
    ],
)
def test_what_cannot_be_is_refused(draw: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        draw(LABELS, np.random.default_rng(0), **options)
