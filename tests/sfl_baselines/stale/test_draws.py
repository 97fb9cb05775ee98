"""The present power of Rayleigh fading, given an old one: noncentral chi-squared, and all there is to know."""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import ks_2samp, kstest, ncx2

from sfl_baselines.stale.draws import mean_power, present_power, spread_normals
from sfl_env.arrays import Array
from sfl_env.channel import BlockFading
from tests.sfl_baselines.stale.cells import episodes_at, known

UNLIKELY = 1e-3
"""Draws are seeded: a test of significance fails always or never."""


def quantile_of(power: Array, old_power: Array, correlation: float) -> Array:
    """Return which quantile a present power is of its distribution, given the old one."""
    scale = 0.5 * (1.0 - correlation**2)
    return np.asarray(ncx2.cdf(power / scale, 2, correlation**2 * old_power / scale))


@pytest.mark.parametrize("old_power", [0.0, 0.01, 1.0, 6.0])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_present_power_is_noncentral_chi_squared(correlation: float, old_power: float) -> None:
    normals = spread_normals(np.random.default_rng(0), 20_000, 1)
    power = present_power(np.array([[old_power]]), correlation, normals)[:, 0, 0]
    assert kstest(quantile_of(power, np.array(old_power), correlation), "uniform").pvalue > UNLIKELY
    known, rest = correlation**2 * old_power, 1.0 - correlation**2
    assert power.mean() == pytest.approx(known + rest, rel=0.02)
    assert power.var() == pytest.approx(rest * (rest + 2.0 * known), rel=0.06)
    assert mean_power(np.array([[old_power]]), correlation).item() == pytest.approx(known + rest)


@pytest.mark.parametrize(("correlation", "delay"), [(0.0, 1), (0.5, 1), (0.9, 1), (0.9, 3)])
def test_the_environments_channel_is_what_is_drawn(correlation: float, delay: int) -> None:
    episodes, seen = episodes_at(600, rounds=delay, fading_correlation=correlation, csi_delay_rounds=delay)
    told = known(episodes, seen)
    assert told.correlation == pytest.approx(correlation**delay)
    channel = episodes.now.state.channel
    power = channel.gain / channel.large_scale_gain
    assert kstest(told.old_power.ravel(), "expon").pvalue > UNLIKELY
    quantile = quantile_of(power, told.old_power, told.correlation)
    assert kstest(quantile.ravel(), "uniform").pvalue > UNLIKELY


def test_neither_older_powers_nor_the_phase_tell_more_than_the_last_power() -> None:
    correlation, n = 0.7, 200_000
    fading, rng = BlockFading(correlation), np.random.default_rng(0)
    states = [fading.initial(rng, n, 1)]
    for _ in range(2):
        states.append(fading.step(states[-1], rng))
    older, last, present = (fading.power(state, np.zeros((n, 1)))[:, 0] for state in states)
    in_phase, quadrature = states[1].scatter[:, :, 0].T
    quantile = quantile_of(present, last, correlation)
    for half in (older > np.median(older), in_phase > 0.0, quadrature > in_phase):
        assert ks_2samp(quantile[half], quantile[~half]).pvalue > UNLIKELY
    # The last power does tell, and so would the older one without it.
    assert ks_2samp(present[older > np.median(older)], present[older <= np.median(older)]).pvalue < 1e-9


def test_fading_that_stays_is_known() -> None:
    old = np.random.default_rng(0).exponential(size=(3, 2))
    power = present_power(old, 1.0, spread_normals(np.random.default_rng(1), 8, 2))
    np.testing.assert_allclose(power, np.broadcast_to(old, power.shape))


def test_one_draw_lies_in_every_interval() -> None:
    normals = spread_normals(np.random.default_rng(0), 100, 3)
    assert normals.shape == (2, 100, 3)
    place = np.sort(np.floor(100 * ndtr(normals * np.sqrt(2.0))), axis=1)
    np.testing.assert_array_equal(place, np.broadcast_to(np.arange(100)[None, :, None], place.shape))
    flat = normals.transpose(1, 0, 2).reshape(100, -1)
    assert np.abs(np.corrcoef(flat.T) - np.eye(6)).max() < 0.35
