"""A round's energy: the time in each state times the power that the device draws in it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import SFLEnv
from sfl_env.rounds.energy import Power, energy_j
from sfl_env.rounds.latency import (
    DEVICE_BACKWARD,
    DEVICE_FORWARD,
    GRADIENT_DOWNLOAD,
    MODEL_DOWNLOAD,
    MODEL_UPLOAD,
    SMASHED_UPLOAD,
)

FLAT = np.zeros((10, 2), np.float32)
STATES = {
    "computing_w": [DEVICE_FORWARD, DEVICE_BACKWARD],
    "transmitting_w": [SMASHED_UPLOAD, MODEL_UPLOAD],
    "receiving_w": [MODEL_DOWNLOAD, GRADIENT_DOWNLOAD],
}


def round_energy(**fields: Any) -> tuple[SFLEnv, dict[str, Any]]:
    env = SFLEnv(**fields)
    env.reset(seed=3)
    return env, env.step(FLAT)[-1]


def joules(env: SFLEnv, info: dict[str, Any], k: int, end_s: float) -> float:
    """Add up times times powers, in a plain loop."""
    devices = env.episodes.now.state.setup.devices
    total, active_s = 0.0, 0.0
    for power, phases in STATES.items():
        seconds = sum(float(info["phase_latency_s"][k, phase]) for phase in phases)
        total += seconds * float(getattr(devices, power)[0, k])
        active_s += seconds
    return total + (end_s - active_s) * float(devices.idle_w[0, k])


@pytest.mark.parametrize(
    "fields", [{}, {"schedule": "sequence"}, {"barriers": "adaptsfl"}, {"battery_share": 0.5}]
)
def test_all_of_the_round_is_paid_in_one_state_or_another(fields: dict[str, Any]) -> None:
    env, info = round_energy(**fields)
    for k in range(10):
        assert info["energy_j"][k] == pytest.approx(joules(env, info, k, info["latency_s"]), rel=1e-9)


def test_all_devices_pay_to_the_deadline_at_which_late_ones_stop() -> None:
    _, free = round_energy()
    deadline_s = float(np.median(free["device_latency_s"]))
    env, info = round_energy(deadline_s=deadline_s)
    assert 0 < info["takes_part"].sum() < 10
    for k in range(10):
        left_s = deadline_s
        for phase in range(7):
            info["phase_latency_s"][k, phase] = min(info["phase_latency_s"][k, phase], left_s)
            left_s -= info["phase_latency_s"][k, phase]
        assert info["energy_j"][k] == pytest.approx(joules(env, info, k, deadline_s), rel=1e-9)


def test_next_to_no_band_costs_no_more_energy_than_the_deadline_allows() -> None:
    left_out = FLAT.copy()
    left_out[:5, 1], left_out[5:, 1] = -1.0, 1.0
    env = SFLEnv(deadline_s=90.0)
    env.reset(seed=3)
    info = env.step(left_out)[-1]
    devices = env.episodes.now.state.setup.devices
    assert (info["device_latency_s"][:5] > 1e4).all()
    most_w = np.maximum(devices.transmitting_w, np.maximum(devices.computing_w, devices.receiving_w))[0]
    assert (info["energy_j"] <= 90.0 * most_w).all()


@settings(max_examples=60, deadline=None)
@given(
    phases=st.lists(st.floats(0.0, 1e4), min_size=7, max_size=7),
    waiting_s=st.floats(0.0, 1e4),
    watts=st.floats(1e-3, 1e3),
)
def test_equal_powers_pay_for_the_length_of_the_round(phases: list[float], waiting_s: float, watts: float) -> None:
    power = Power(*(np.full((1, 1), watts) for _ in range(4)))
    end_s = np.array([[sum(phases) + waiting_s]])
    found = energy_j(power, np.array(phases)[:, None, None], end_s)
    assert found[0, 0] == pytest.approx(watts * end_s[0, 0], rel=1e-9, abs=1e-9)


def test_waiting_is_not_free() -> None:
    env, info = round_energy()
    idle_w = env.episodes.now.state.setup.devices.idle_w[0]
    assert (info["energy_j"] >= idle_w * info["latency_s"] * (1.0 - 1e-9)).all()


def test_a_faster_server_saves_a_device_the_waiting_alone() -> None:
    env, plain = round_energy()
    _, strong = round_energy(server_flops_per_s=1e15)
    idle_w = env.episodes.now.state.setup.devices.idle_w[0]
    saved_s = plain["latency_s"] - strong["latency_s"]
    assert saved_s > 0.0
    np.testing.assert_allclose(plain["energy_j"] - strong["energy_j"], idle_w * saved_s, rtol=1e-7)


def test_devices_with_half_their_speed_free_pay_twice_the_time() -> None:
    _, busy = round_energy(availability_levels=(0.5,))
    _, free = round_energy(availability_levels=(1.0,))
    computing = [DEVICE_FORWARD, DEVICE_BACKWARD]
    np.testing.assert_allclose(
        busy["phase_latency_s"][:, computing], 2.0 * free["phase_latency_s"][:, computing], rtol=1e-12
    )
    assert (busy["energy_j"] > free["energy_j"]).all()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_battery_loses_what_the_round_took_of_the_share_that_training_may_use(share: float) -> None:
    env, info = round_energy(battery_share=share, batch_size=2)
    state = env.episodes.now.state
    battery_j = state.setup.devices.battery_j[0]
    added_j = info["energy_j"] - state.setup.devices.idle_w[0] * info["latency_s"]
    expected = np.maximum(1.0 - added_j / (share * battery_j), 0.0)
    np.testing.assert_allclose(state.charge[0], expected, rtol=1e-12)
    assert (state.charge[0][np.isinf(battery_j)] == 1.0).all()
