"""Intervals hold the true figure as often as they say, at the numbers of values that comparisons have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sfl_env.arrays import Array
from sfl_env.errors import RunError
from sfl_lab.compare.intervals import CONFIDENCE, GEOMETRIC_MEAN, MEAN, MEDIAN, Estimator, Interval, sureness

TRIALS = 1000
Draw = Callable[[np.random.Generator, int], Array]

NORMAL: Draw = lambda rng, n: rng.normal(5.0, 1.0, n)  # noqa: E731
SKEWED: Draw = lambda rng, n: rng.lognormal(0.0, 0.5, n)  # noqa: E731  # as ratios are
HEAVY: Draw = lambda rng, n: rng.lognormal(0.0, 1.0, n)  # noqa: E731  # as seconds are

CASES: dict[str, tuple[Estimator, Draw, float]] = {
    "mean of normal values": (MEAN, NORMAL, 5.0),
    "geometric mean of ratios": (GEOMETRIC_MEAN, SKEWED, 1.0),
    "geometric mean of wide ratios": (GEOMETRIC_MEAN, HEAVY, 1.0),
    "median of normal values": (MEDIAN, NORMAL, 5.0),
    "median of ratios": (MEDIAN, SKEWED, 1.0),
    "median of seconds": (MEDIAN, HEAVY, 1.0),
}
ESTIMATORS = (MEAN, GEOMETRIC_MEAN, MEDIAN)


@pytest.mark.parametrize("n", [5, 7, 20])
@pytest.mark.parametrize("case", CASES)
def test_an_interval_covers_the_true_figure_as_often_as_it_says(case: str, n: int) -> None:
    estimator, draw, truth = CASES[case]
    rng = np.random.default_rng(n)
    found = [estimator.interval(draw(rng, n)) for _ in range(TRIALS)]
    covered = np.mean([entry.low <= truth <= entry.high for entry in found])
    said = found[0].confidence
    assert said >= 0.9375
    assert covered == pytest.approx(said, abs=4.0 * np.sqrt(said * (1.0 - said) / TRIALS))


def test_the_mean_of_heavy_tails_cannot_be_covered_so_which_is_why_seconds_have_medians() -> None:
    rng = np.random.default_rng(0)
    found = [MEAN.interval(HEAVY(rng, 7)) for _ in range(TRIALS)]
    assert np.mean([entry.low <= np.exp(0.5) <= entry.high for entry in found]) < 0.88


@pytest.mark.parametrize("n", range(2, 40))
def test_the_median_lies_between_the_narrowest_order_statistics_that_are_sure_enough(n: int) -> None:
    found = MEDIAN.interval(np.arange(float(n)))
    left_out = int(found.low)
    assert found.high == n - 1 - left_out
    # Scipy's own test of a quantile has the same interval, by the same distribution.
    if n > 5:
        theirs: Any = scipy.stats.quantile_test(np.arange(float(n)), p=0.5).confidence_interval(CONFIDENCE)
        assert (found.low, found.high) == (theirs.low, theirs.high)
        assert found.confidence >= CONFIDENCE
    else:
        assert left_out == 0
        assert found.confidence == 1.0 - 2.0 ** (1 - n)


def test_intervals_of_means_are_those_of_students_test() -> None:
    values = np.random.default_rng(1).normal(size=9)
    theirs = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(CONFIDENCE)
    ours = MEAN.interval(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


POSITIVE = arrays(np.float64, st.integers(2, 12), elements=st.floats(1e-3, 1e3))


@given(POSITIVE, st.floats(0.1, 10.0))
def test_another_unit_changes_an_interval_by_its_factor(values: Array, factor: float) -> None:
    for estimator in ESTIMATORS:
        ours, theirs = estimator.interval(values), estimator.interval(factor * values)
        ends = [factor * end for end in (ours.low, ours.value, ours.high)]
        np.testing.assert_allclose([theirs.low, theirs.value, theirs.high], ends, rtol=1e-6, atol=1e-6)
        assert ours.low <= ours.value * (1 + 1e-12)
        assert ours.value <= ours.high * (1 + 1e-12)


@given(POSITIVE)
def test_which_of_two_is_put_over_the_other_does_not_matter_for_ratios(ratios: Array) -> None:
    ours, theirs = GEOMETRIC_MEAN.interval(ratios), GEOMETRIC_MEAN.interval(1.0 / ratios)
    np.testing.assert_allclose([1.0 / theirs.high, 1.0 / theirs.low], [ours.low, ours.high], rtol=1e-6)


def test_several_training_seeds_are_the_unit_and_one_is_not() -> None:
    groups = [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([8.0, 9.0])]
    assert MEAN.over(groups) == MEAN.interval(np.array([1.5, 3.5, 8.5]))
    assert MEAN.over(groups[:1]) == MEAN.interval(groups[0])
    assert GEOMETRIC_MEAN.over(groups).value == pytest.approx(scipy.stats.gmean(np.concatenate(groups)))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.statistic)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"at least 2 values, not shape \(0,\)"),
        ([1.0], r"at least 2 values, not shape \(1,\)"),
        ([[1.0, 2.0]], r"not shape \(1, 2\)"),
        ([1.0, np.nan, 2.0], "Value 1 of 3 is nan; .* needs finite numbers"),
        ([1.0, 2.0, np.inf], "Value 2 of 3 is inf"),
    ],
)
def test_no_interval_is_made_of_what_cannot_have_one(estimator: Estimator, values: object, message: str) -> None:
    with pytest.raises(RunError, match=message):
        estimator.interval(np.array(values))


def test_a_ratio_is_above_zero() -> None:
    with pytest.raises(RunError, match=r"Value 1 of 2 is 0\.0; a geometric mean needs positive numbers"):
        GEOMETRIC_MEAN.interval(np.array([1.0, 0.0]))


def test_equal_values_have_no_width() -> None:
    for estimator in ESTIMATORS:
        found = estimator.interval(np.ones(7))
        assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_what_cannot_be_is_cut_off() -> None:
    assert Interval("mean", 0.9, 0.7, 1.1, 0.95, 3).within(0.0, 1.0) == Interval("mean", 0.9, 0.7, 1.0, 0.95, 3)


def test_few_values_are_said_to_be_few() -> None:
    assert all("compare at least 6" in sureness(n, "episodes") for n in range(2, 6))
    assert not any("compare at least 6" in sureness(n, "episodes") for n in range(6, 100))
