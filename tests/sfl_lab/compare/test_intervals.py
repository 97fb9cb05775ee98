"""Intervals cover the mean as often as they say, and say so where that is less than 95 %."""

import numpy as np
import pytest

from sfl_lab.compare.intervals import caution, coverage, mean_interval


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = [
        interval.low <= 1.0 <= interval.high
        for interval in (mean_interval(rng.exponential(size=50)) for _ in range(100))
    ]
    # 95 of 100, less what a percentile interval loses on 50 skewed values, within three standard deviations.
    assert 84 <= sum(covered) <= 100


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 9, 20])
def test_of_few_normal_values_the_interval_covers_the_mean_as_often_as_is_said(n: int) -> None:
    rng, trials = np.random.default_rng(n), 400
    intervals = [mean_interval(rng.normal(size=n)) for _ in range(trials)]
    covered = np.mean([interval.low <= 0.0 <= interval.high for interval in intervals])
    said = coverage(n)
    assert covered == pytest.approx(said, abs=3.0 * np.sqrt(said * (1.0 - said) / trials) + 0.015)


def test_few_values_are_cautioned_about_and_many_are_not() -> None:
    assert caution(2, "episodes") == (
        "; rough, since 2 episodes are few: about 50 % of such intervals hold the true mean"
    )
    assert all(caution(n, "seeds") for n in range(2, 10))
    assert not any(caution(n, "seeds") for n in range(10, 100))
