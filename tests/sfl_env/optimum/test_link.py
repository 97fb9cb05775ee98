"""Where the solvers start: shares that let all devices send about equally many bits."""

import numpy as np
import pytest

from sfl_env.optimum.link import Band
from sfl_env.rounds.curves import SHANNON, RateCurve, TruncatedShannon
from sfl_env.rounds.fading_levels import fading_levels
from sfl_env.rounds.radio import uplink_rate_bps

CURVES = [SHANNON, TruncatedShannon()]


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("rician_k", [np.inf, 0.0, 8.0])
def test_the_start_gives_the_weaker_device_more_and_brings_their_rates_together(
    curve: RateCurve, rician_k: float
) -> None:
    rng = np.random.default_rng(0)
    snr_hz = 1e6 * 10.0 ** rng.uniform(-1.0, 2.0, (40, 6))
    levels = fading_levels(np.full((40, 6), rician_k))
    share = Band(snr_hz, np.full((40, 6), 1e8), np.full(40, 1e6), curve, levels).link().equal_bits_shares()
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(
        np.take_along_axis(share, (-snr_hz).argsort(axis=1), axis=1), np.sort(share, axis=1)
    )
    ends = [uplink_rate_bps(s, 1e6, snr_hz, curve, levels) for s in (share, np.full((40, 6), 1 / 6))]
    spread, spread_of_equal_shares = (rates.max(axis=1) / rates.min(axis=1) for rates in ends)
    assert (spread < spread_of_equal_shares).all()


@pytest.mark.parametrize("curve", CURVES)
def test_devices_that_are_alike_start_with_equal_shares(curve: RateCurve) -> None:
    alike = Band(np.full((1, 4), 3e6), np.full((1, 4), 1e8), np.array([1e6]), curve, None)
    np.testing.assert_allclose(alike.link().equal_bits_shares(), 0.25, rtol=1e-12)
