"""Where the solvers start: shares that let all devices send about equally many bits."""

import numpy as np

from sfl_env.optimum.link import make_link
from sfl_env.rounds.radio import uplink_rate_bps


def test_the_start_gives_the_weaker_device_more_and_brings_their_rates_together() -> None:
    rng = np.random.default_rng(0)
    snr_hz = 1e6 * 10.0 ** rng.uniform(-1.0, 4.0, (40, 6))
    share = make_link(snr_hz, np.full((40, 6), 1e8), np.full(40, 1e6)).equal_bits_shares()
    np.testing.assert_allclose(share.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(share.argsort(axis=1), (-snr_hz).argsort(axis=1))
    ends = [uplink_rate_bps(s, 1e6, snr_hz) for s in (share, np.full((40, 6), 1 / 6))]
    spread, spread_of_equal_shares = (rates.max(axis=1) / rates.min(axis=1) for rates in ends)
    assert (spread < spread_of_equal_shares).all()


def test_devices_that_are_alike_start_with_equal_shares() -> None:
    share = make_link(np.full((1, 4), 3e6), np.full((1, 4), 1e8), np.array([1e6])).equal_bits_shares()
    np.testing.assert_allclose(share, 0.25, rtol=1e-12)
