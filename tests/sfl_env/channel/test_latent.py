"""Links' normal numbers: alike over the distance walked, stationary, and their quantiles are lines of sight."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env.channel import ByView, LinkStatistics
from sfl_env.channel.latent import rician_k, sees, standard_normal_cdf, walked_on
from sfl_env.channel.statistics import UMI, without_line_of_sight
from sfl_env.errors import ScenarioError

SHAPE = (200, 1000)


@pytest.mark.parametrize("lengths", [(0.3,), (1.0,), (0.1, 0.2, 0.7)])
def test_correlation_falls_with_the_sum_of_the_walks(lengths: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    first = later = rng.standard_normal(SHAPE)
    for length in lengths:
        later = walked_on(later, np.full(SHAPE, length), rng)
    # Standard error at most 1 / sqrt(200,000) = 0.0022.
    assert np.corrcoef(first.ravel(), later.ravel())[0, 1] == pytest.approx(math.exp(-sum(lengths)), abs=0.011)
    assert later.std() == pytest.approx(1.0, abs=0.008)
    assert later.mean() == pytest.approx(0.0, abs=0.011)


def test_who_stands_keeps_the_number_and_who_walks_far_gets_another() -> None:
    rng = np.random.default_rng(1)
    before = rng.standard_normal((1, 3))
    kept = before.copy()
    after = walked_on(before, np.array([[0.0, 1e-9, 1e9]]), rng)
    assert after[0, 0] == before[0, 0]
    assert after[0, 1] == pytest.approx(before[0, 1], abs=1e-3)
    assert abs(after[0, 2] - before[0, 2]) > 1e-3
    assert (before == kept).all()


@given(st.lists(st.floats(-7.0, 7.0), min_size=1, max_size=20))
def test_the_distribution_function_is_the_library_s_for_few_numbers_and_for_many(values: list[float]) -> None:
    exact = [0.5 * math.erfc(-value / math.sqrt(2.0)) for value in values]
    few = standard_normal_cdf(np.array(values))
    many = standard_normal_cdf(np.tile(values, 100))[: len(values)]
    np.testing.assert_allclose(few, exact, atol=1e-15)
    np.testing.assert_allclose(many, exact, atol=1e-12)


def test_far_tails_end_at_nought_and_one() -> None:
    values = np.tile([-40.0, -8.0, 8.0, 40.0], 50)
    np.testing.assert_allclose(standard_normal_cdf(values), np.tile([0.0, 0.0, 1.0, 1.0], 50), atol=1e-12)


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.6, 1.0])
def test_lines_of_sight_are_as_frequent_as_their_probability(probability: float) -> None:
    free = sees(np.random.default_rng(2).standard_normal(SHAPE), np.full(SHAPE, probability))
    assert free.mean() == pytest.approx(probability, abs=0.0055)


def test_rician_factors_have_the_moments_of_the_table_with_line_of_sight_and_are_nought_without() -> None:
    latent = np.random.default_rng(3).standard_normal(SHAPE)
    los = np.zeros(SHAPE, dtype=np.bool_)
    los[:, ::2] = True
    k = rician_k(latent, los, UMI)
    assert (k[~los] == 0.0).all()
    in_db = 10.0 * np.log10(k[los])
    # Standard error of the mean: 5 / sqrt(100,000) = 0.016.
    assert in_db.mean() == pytest.approx(9.0, abs=0.08)
    assert in_db.std() == pytest.approx(5.0, abs=0.06)


def test_a_fixed_rician_factor_is_that_of_all_links_with_line_of_sight() -> None:
    k = rician_k(np.array([[-2.0, 3.0, 1.0]]), np.array([[True, True, False]]), UMI.with_k_factor(6.0))
    np.testing.assert_allclose(k, [[10.0**0.6, 10.0**0.6, 0.0]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shadowing_std_db": ByView(-1.0, 4.0)}, r"shadowing_std_db\.with_los is -1\.0"),
        ({"shadowing_correlation_m": ByView(10.0, 0.0)}, r"shadowing_correlation_m\.without is 0\.0"),
        ({"los_correlation_m": -3.0}, r"los_correlation_m is -3\.0"),
        ({"k_mean_db": math.nan}, "k_mean_db is nan"),
        ({"k_std_db": -0.1}, r"k_std_db is -0\.1"),
        ({"k_correlation_m": math.inf}, "k_correlation_m is inf"),
    ],
)
def test_figures_out_of_range_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        LinkStatistics(**(vars(UMI) | fields))


def test_statistics_without_line_of_sight_say_so() -> None:
    assert UMI.has_line_of_sight
    assert not without_line_of_sight(8.0, 50.0).has_line_of_sight
    assert UMI.without_shadowing().shadowing_std_db == (0.0, 0.0)
    assert UMI.with_shadowing_correlation(None) is UMI
    assert UMI.with_k_factor(None) is UMI
