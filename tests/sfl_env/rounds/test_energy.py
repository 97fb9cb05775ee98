"""A round's energy: joules for the FLOPs computed, transmit power for the time on the air, nothing else."""

from typing import Any

import numpy as np
import pytest

from sfl_env import SFLEnv
from sfl_env.rounds.latency import MODEL_UPLOAD, SMASHED_UPLOAD

FLAT = np.zeros((10, 2), np.float32)


def round_energy(**fields: Any) -> tuple[SFLEnv, dict[str, Any]]:
    env = SFLEnv(**fields)
    env.reset(seed=3)
    return env, env.step(FLAT)[-1]


def test_energy_is_that_of_computing_and_of_sending() -> None:
    env, info = round_energy()
    setup = env.episodes.now.state.setup
    devices, samples = setup.devices, setup.samples[0]
    for k, cut in enumerate(info["cut"]):
        sending_s = info["phase_latency_s"][k, SMASHED_UPLOAD] + info["phase_latency_s"][k, MODEL_UPLOAD]
        flops = samples[k] * (env.profile.device_forward_flops[cut] + env.profile.device_backward_flops[cut])
        joules = sending_s * devices.transmit_power_w[0, k] + flops * devices.energy_j_per_flop[0, k]
        assert info["energy_j"][k] == pytest.approx(joules, rel=1e-12)


def test_a_faster_server_and_a_stronger_base_station_save_a_device_no_energy() -> None:
    _, plain = round_energy()
    _, strong = round_energy(server_flops_per_s=1e15, base_station_power_w=1e4)
    np.testing.assert_allclose(plain["energy_j"], strong["energy_j"], rtol=1e-12)
    assert strong["latency_s"] < plain["latency_s"]


def test_free_speed_changes_the_time_of_a_flop_and_not_its_energy() -> None:
    _, busy = round_energy(availability_levels=(0.25,))
    _, idle = round_energy(availability_levels=(1.0,))
    np.testing.assert_allclose(busy["energy_j"], idle["energy_j"], rtol=1e-12)
    assert (busy["device_latency_s"] > idle["device_latency_s"]).all()


def test_half_the_bits_halve_the_energy_of_sending() -> None:
    formats = {"activation_bits": 16, "parameter_bits": 16, "label_bits": 16}
    _, full = round_energy()
    _, half = round_energy(**formats)
    env, _ = round_energy()
    power_w = env.episodes.now.state.setup.devices.transmit_power_w[0]
    sending_s = full["phase_latency_s"][:, [SMASHED_UPLOAD, MODEL_UPLOAD]].sum(axis=-1)
    np.testing.assert_allclose(full["energy_j"] - half["energy_j"], power_w * sending_s / 2.0, rtol=1e-9)
