"""Shadowing is standard normal in its own units and decorrelates with the distance moved (Gudmundson)."""

import math

import numpy as np
import pytest

from sfl_env.channel import CorrelatedShadowing, NoShadowing
from sfl_env.errors import ScenarioError

SHAPE = (200, 1000)


@pytest.mark.parametrize("moved_m", [0.0, 1.0, 13.0, 30.0, 1000.0])
def test_correlation_after_moving(moved_m: float) -> None:
    shadowing, rng = CorrelatedShadowing(correlation_distance_m=13.0), np.random.default_rng(0)
    before = shadowing.initial(rng, *SHAPE)
    after = shadowing.step(before, np.full(SHAPE, moved_m), rng)
    measured = np.corrcoef(before.latent.ravel(), after.latent.ravel())[0, 1]
    # Standard error at most 1 / sqrt(200,000) = 0.0022.
    assert measured == pytest.approx(math.exp(-moved_m / 13.0), abs=0.011)
    assert after.latent.mean() == pytest.approx(0.0, abs=0.012)
    assert after.latent.std() == pytest.approx(1.0, abs=0.008)


def test_many_short_moves_decorrelate_like_one_long_move() -> None:
    shadowing, rng = CorrelatedShadowing(correlation_distance_m=10.0), np.random.default_rng(1)
    before = after = shadowing.initial(rng, *SHAPE)
    for _ in range(8):
        after = shadowing.step(after, np.full(SHAPE, 1.5), rng)
    measured = np.corrcoef(before.latent.ravel(), after.latent.ravel())[0, 1]
    assert measured == pytest.approx(math.exp(-12.0 / 10.0), abs=0.011)


def test_who_stays_keeps_the_shadowing_exactly() -> None:
    shadowing, rng = CorrelatedShadowing(), np.random.default_rng(2)
    before = shadowing.initial(rng, 1, 3)
    after = shadowing.step(before, np.array([[0.0, 5.0, 0.0]]), rng)
    assert after.latent[0, 0] == before.latent[0, 0]
    assert after.latent[0, 1] != before.latent[0, 1]
    assert after.latent[0, 2] == before.latent[0, 2]


def test_no_shadowing_is_zero_wherever_one_goes() -> None:
    rng = np.random.default_rng(3)
    state = NoShadowing().initial(rng, 2, 3)
    assert (NoShadowing().step(state, np.full((2, 3), 100.0), rng).latent == 0.0).all()


def test_a_distance_that_is_not_above_zero_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"correlation_distance_m is 0\.0; it has to be a number above 0"):
        CorrelatedShadowing(correlation_distance_m=0.0)
