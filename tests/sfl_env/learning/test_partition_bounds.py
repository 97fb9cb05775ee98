"""Partitions at the ends of their ranges: the fewest samples, the fewest devices, no skew left."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sfl_env.errors import DataError
from sfl_env.learning.partition import dirichlet, iid, quantity_skew, scheme, shards

LABELS: NDArray[np.int64] = np.repeat(np.arange(4), 10)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_as_many_devices_as_samples_hold_one_each() -> None:
    assert (iid(LABELS, generator(), num_devices=40).sizes == 1).all()
    assert (shards(LABELS, generator(), num_devices=40, shards_per_device=1).sizes == 1).all()
    assert (quantity_skew(LABELS, generator(), num_devices=40, concentration=0.1).sizes == 1).all()


def test_what_every_device_has_to_have_may_be_all_there_is() -> None:
    split = quantity_skew(LABELS, generator(), num_devices=4, concentration=0.1, min_samples=10)
    assert split.sizes.tolist() == [10, 10, 10, 10]
    with pytest.raises(
        DataError, match=r"^40 samples cannot give 4 devices 11 each; take fewer devices or more data"
    ):
        quantity_skew(LABELS, generator(), num_devices=4, concentration=0.1, min_samples=11)


def test_a_single_device_holds_everything() -> None:
    for name in ("iid", "dirichlet", "shards", "quantity-skew"):
        draw = scheme(name, 1, concentration=0.1, min_samples=40, shards_per_device=40)
        assert draw(LABELS, generator()).sizes.tolist() == [40]


def test_a_device_that_asks_for_no_sample_hears_of_none() -> None:
    for draw in (dirichlet, quantity_skew):
        for none in (-1, 0):
            with pytest.raises(
                DataError, match=f"min_samples is {none}; it has to be a whole number of at least 1"
            ):
                draw(LABELS, generator(), num_devices=2, concentration=1.0, min_samples=none)
        with pytest.raises(DataError, match=r"concentration is 0\.0"):
            draw(LABELS, generator(), num_devices=2, concentration=0.0)


def test_every_device_has_a_sample_where_nothing_else_is_said() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert dirichlet(LABELS, rng, num_devices=8, concentration=0.5).sizes.min() >= 1
        assert quantity_skew(LABELS, rng, num_devices=8, concentration=0.01).sizes.min() >= 1


def test_a_hopeless_draw_is_told_with_its_numbers_and_ways_out() -> None:
    said = (
        r"draws of Dirichlet\(0\.01\) left a device with fewer than 10 of 40 samples over 4 devices\. "
        "Take a larger concentration, fewer devices or a smaller batch"
    )
    with pytest.raises(DataError, match=said):
        dirichlet(np.zeros(40, dtype=np.int64), generator(), num_devices=4, concentration=0.01, min_samples=10)


def test_without_skew_every_class_and_every_size_is_even() -> None:
    even = dirichlet(LABELS, generator(), num_devices=5, concentration=1e12)
    assert (even.label_histogram(LABELS, 4) == 2).all()
    assert (quantity_skew(LABELS, generator(), num_devices=5, concentration=1e12).sizes == 8).all()


def test_sizes_follow_the_shares_that_were_drawn() -> None:
    labels = np.zeros(100_000, dtype=np.int64)
    shares = generator().dirichlet(np.full(6, 0.7))
    split = quantity_skew(labels, generator(), num_devices=6, concentration=0.7, min_samples=100)
    assert split.sizes == pytest.approx(100 + (100_000 - 600) * shares, abs=1.0)


def test_two_shards_of_sorted_classes_are_dealt_to_each_device() -> None:
    split = shards(LABELS, generator(), num_devices=4)
    histogram = split.label_histogram(LABELS, 4)
    # Eight shards of five samples, each within its class.
    assert set(histogram.ravel().tolist()) <= {0, 5, 10}
    assert (histogram.sum(axis=1) == 10).all()
    held = np.concatenate(split.indices)
    assert not np.array_equal(held, np.sort(held))


def test_samples_of_a_class_are_mixed_before_they_are_handed_out() -> None:
    labels = np.zeros(1000, dtype=np.int64)
    for name in ("iid", "dirichlet", "shards", "quantity-skew"):
        draw = scheme(name, 2, concentration=10.0, min_samples=1, shards_per_device=1)
        first = draw(labels, generator()).indices[0]
        # Its mean is that of all samples and not that of either half.
        assert 400.0 < first.mean() < 600.0


def test_no_device_gets_fewer_than_asked_for_where_only_an_even_split_will_do() -> None:
    labels = np.repeat(np.arange(2), 20)
    for seed in range(10):
        split = dirichlet(labels, np.random.default_rng(seed), num_devices=4, concentration=50.0, min_samples=10)
        assert split.sizes.tolist() == [10, 10, 10, 10]
