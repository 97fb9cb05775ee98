"""Channels and free speeds move by as long as rounds last, and what is seen of them may be an earlier round's."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from sfl_env import Scenario, ScenarioError, SFLVectorEnv
from sfl_env.simulation.past import rician_k_from
from sfl_env.simulation.simulator import Simulator

ACTIONS = np.zeros((2, 3, 2), np.float32)


class Passed(NamedTuple):
    seconds: np.ndarray  # (N,)
    gain: np.ndarray
    fraction: np.ndarray


class Clock:
    """A channel or an availability that counts the seconds."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Passed:
        return Passed(np.zeros(n), rng.uniform(1e-9, 1e-8, (n, num_devices)), np.ones((n, num_devices)))

    def step(self, state: Passed, elapsed_s: np.ndarray, rng: np.random.Generator) -> Passed:
        assert elapsed_s.shape == state.seconds.shape
        return state._replace(seconds=state.seconds + elapsed_s)


@pytest.mark.parametrize(
    "fields", [{}, {"schedule": "sequence"}, {"barriers": "every-phase"}, {"deadline_s": 3.0}]
)
def test_what_passes_for_the_parts_is_the_length_of_the_round(fields: dict[str, Any]) -> None:
    envs = SFLVectorEnv(2, num_devices=3, channel=Clock(), availability=Clock(), **fields)
    envs.reset(seed=0)
    passed = np.zeros(2)
    for _ in range(3):
        passed += envs.step(ACTIONS)[-1]["latency_s"]
        state = envs.episodes.now.state
        np.testing.assert_allclose(state.channel.seconds, passed, rtol=1e-12)
        np.testing.assert_allclose(state.availability.seconds, passed, rtol=1e-12)


def test_rounds_before_the_first_last_as_long_as_the_nominal_one() -> None:
    simulator = Simulator(Scenario(num_devices=3, csi_delay_rounds=4), channel=Clock())
    state = simulator.initial(np.random.default_rng(0), 2)
    np.testing.assert_allclose(state.channel.seconds, 4.0 * simulator.nominal_round_s, rtol=1e-12)


def test_the_nominal_round_needs_no_past() -> None:
    with_delay, without = (Simulator(Scenario(csi_delay_rounds=rounds)).nominal_round_s for rounds in (3, 0))
    assert with_delay == without


@pytest.mark.parametrize("fading", ["averaged", "block", "none"])
def test_an_old_channel_is_seen_with_its_own_gain_and_rician_factor(fading: Any) -> None:
    envs = SFLVectorEnv(2, num_devices=3, csi_delay_rounds=2, fading=fading)
    envs.reset(seed=0)
    true: list[Any] = []
    for _ in range(5):
        now: Any = envs.episodes.now
        if len(true) >= 2:
            np.testing.assert_allclose(now.observed.fading.rician_k, true[-2].fading.rician_k, rtol=1e-9)
            np.testing.assert_array_equal(now.observed.uplink_snr_hz, true[-2].uplink_snr_hz)
        true.append(now.true)
        envs.step(ACTIONS)
    fades = np.isfinite(np.stack([each.fading.rician_k for each in true]))
    assert fades.all() if fading == "averaged" else not fades.any()


@pytest.mark.parametrize("fading", ["averaged", "block", "none"])
def test_an_old_channel_is_seen_without_its_fading_too(fading: Any) -> None:
    envs = SFLVectorEnv(2, num_devices=3, csi_delay_rounds=2, fading=fading, blockage_hold_s=20.0)
    observed, _ = envs.reset(seed=0)
    channels: list[Any] = []
    for _ in range(5):
        now, simulator = envs.episodes.now, envs.episodes.simulator
        assert now.true.large_scale is None
        if len(channels) >= 2:
            seen, old = now.observed, channels[-2]
            assert seen.large_scale is not None
            blocked = np.where(old.blockage.blocked, 10.0 ** (-envs.scenario.blockage_loss_db / 10.0), 1.0)
            gain = old.place.large_scale_gain * blocked
            np.testing.assert_array_equal(old.large_scale_gain, gain)
            uplink_snr_hz, downlink_sinr = seen.large_scale
            np.testing.assert_allclose(seen.uplink_snr_hz / uplink_snr_hz, old.gain / gain, rtol=1e-12)
            rate = simulator.downlink.rate_at(downlink_sinr * old.gain / gain, seen.fading.levels)
            np.testing.assert_allclose(seen.downlink_full_rate_bps, rate, rtol=1e-12)
            told = envs.episodes.conditions_of(observed).large_scale
            assert told is not None
            np.testing.assert_allclose(np.stack(told), np.stack(seen.large_scale), rtol=1e-5)
        channels.append(now.state.channel)
        observed = envs.step(ACTIONS)[0]
    faded = [(channel.gain != channel.large_scale_gain).all() for channel in channels]
    assert all(faded) if fading == "block" else not any(faded)


def test_a_channel_that_tells_only_its_gain_is_seen_twice() -> None:
    envs = SFLVectorEnv(2, num_devices=3, csi_delay_rounds=1, channel=Clock())
    envs.reset(seed=0)
    seen = envs.episodes.now.observed
    assert seen.large_scale is not None
    np.testing.assert_array_equal(seen.large_scale.uplink_snr_hz, seen.uplink_snr_hz)


def test_shares_of_scattered_power_are_told_back_to_the_last_digits() -> None:
    factors = np.array([0.0, 1e-6, 7.9, 1e6, np.inf])
    np.testing.assert_allclose(rician_k_from(1.0 / (1.0 + factors)), factors, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blockage_fraction", 1.0),
        ("blockage_fraction", -0.1),
        ("blockage_loss_db", -1.0),
        ("blockage_hold_s", 0.0),
        ("availability_hold_s", 0.0),
        ("shadowing_correlation_m", 0.0),
        ("rician_k_db", 100.0),
        ("fading", "rayleigh"),
        ("fading_correlation", 1.1),
    ],
)
def test_fields_out_of_range_are_named(field: str, value: Any) -> None:
    with pytest.raises(ScenarioError, match=f"^{field} is "):
        Scenario(**{field: value})
