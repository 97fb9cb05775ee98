"""What docs/architecture.md says is written twice comes out the same in both places."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sfl_env  # noqa: F401  (registers its ids)
from sfl_env.optimum.link import Band
from sfl_env.rounds.curves import SHANNON, Modes, RateCurve, TruncatedShannon
from sfl_env.rounds.fading_levels import fading_levels
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.radio import Downlink, uplink_rate_bps

SHARE = st.floats(1e-6, 1.0)
BANDWIDTH_HZ = st.floats(1e3, 1e12)
SNR_HZ = st.floats(1e-3, 1e15)


CURVE = st.sampled_from([SHANNON, TruncatedShannon(), Modes((0.0, 10.0), (0.5, 2.0))])
RICIAN_K = st.sampled_from([0.0, 3.0, np.inf])


@given(share=SHARE, bandwidth_hz=BANDWIDTH_HZ, snr_hz=SNR_HZ, curve=CURVE, rician_k=RICIAN_K)
def test_the_solvers_seconds_per_bit_are_one_over_the_rate(
    share: float, bandwidth_hz: float, snr_hz: float, curve: RateCurve, rician_k: float
) -> None:
    shares, snrs, levels = np.array([[share]]), np.array([[snr_hz]]), fading_levels(np.array([[rician_k]]))
    toll = Band(snrs, np.array([[np.inf]]), np.array([bandwidth_hz]), curve, levels).link().toll(shares)
    rate = uplink_rate_bps(shares, bandwidth_hz, snrs, curve, levels)
    assert toll.up * rate == pytest.approx(1.0, rel=1e-12)


@given(bandwidth_hz=BANDWIDTH_HZ, snr_hz=SNR_HZ)
def test_the_whole_downlink_is_a_band_that_is_held(bandwidth_hz: float, snr_hz: float) -> None:
    rate = Downlink(bandwidth_hz, power_w=snr_hz, noise_w_per_hz=1.0).full_rate_bps(np.array([[1.0]]))
    held = uplink_rate_bps(np.array([[1.0]]), bandwidth_hz, np.array([[snr_hz]]), SHANNON)
    assert rate == pytest.approx(held, rel=1e-12)


@pytest.mark.parametrize("name", ["SFL-v0", "SFL-MacroCell-v0", "SFL-IoT-v0"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_phases_sum_to_the_problems_seconds(name: str, seed: int) -> None:
    env = cast(Any, gym.make(name)).unwrapped
    env.reset(seed=seed)
    problem = env.true_problem()
    env.action_space.seed(seed)
    *_, info = env.step(env.action_space.sample())
    decision = Decision(info["cut"][None], info["bandwidth_share"][None])
    assert info["phase_latency_s"].sum(axis=1) == pytest.approx(problem.device_latency_s(decision)[0], rel=1e-12)
