"""The seven phases agree with the formulae written out as a plain loop, and scale as physics says."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from sfl_env import SFLEnv
from sfl_env.dnn import catalogue
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.curves import TruncatedShannon
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import PHASES, SERVER_COMPUTE, phase_latency_s
from sfl_env.rounds.stages import STAGES, staged_latency_s
from sfl_env.rounds.workload import workload
from sfl_env.scenario import Barriers

COMMUNICATION = tuple(
    PHASES.index(name) for name in ("model_download", "smashed_upload", "gradient_download", "model_upload")
)
SPEEDS = ("forward_flops_per_s", "forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s")
DEVICE_COMPUTE = (PHASES.index("device_forward"), PHASES.index("device_backward"))

ODD_FIELDS: dict[str, Any] = {
    "model": "mobilenetv2",
    "num_devices": 7,
    "activation_bits": 8,
    "parameter_bits": 16,
    "training_bits": 24,
    "message_latency_s": 0.02,
    "label_bits": 4,
    "batch_size": 24,
    "batch_size_spread": 2.0,
    "local_iterations": 3,
    "bandwidth_hz": 7e6,
    "downlink_bandwidth_hz": 11e6,
    "base_station_power_w": 3.0,
    "noise_density_dbm_per_hz": -170.0,
    "noise_figure_db": 5.0,
    "uplink_noise_rise_db": 1.0,
    "downlink_noise_rise_db": 2.0,
    "rate_curve": "truncated-shannon",
    "uplink_attenuation": 0.5,
    "downlink_attenuation": 0.7,
    "min_sinr_db": -8.0,
    "uplink_max_sinr_db": 20.0,
    "downlink_max_sinr_db": 25.0,
    "fading": "none",
    "server_flops_per_s": 3e12,
}


@pytest.mark.parametrize("seed", range(4))
def test_phases_equal_the_formulae_in_a_plain_loop(seed: int) -> None:
    env = SFLEnv(**ODD_FIELDS)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    for _ in range(3):
        state = env.episodes.now.state
        *_, info = env.step(env.action_space.sample())
        for k in range(7):
            expected = plain_phases(
                env,
                cut=int(info["cut"][k]),
                share=float(info["bandwidth_share"][k]),
                gain=float(state.channel.gain[0, k]),
                speeds=[float(state.setup.devices[i][0, k]) for i in range(1, 5)],
                free=float(state.availability.fraction[0, k]),
                power_w=float(state.setup.devices.transmit_power_w[0, k]),
                samples=float(state.setup.samples[0, k]),
            )
            np.testing.assert_allclose(info["phase_latency_s"][k], expected, rtol=1e-12)


def plain_phases(
    env: SFLEnv,
    *,
    cut: int,
    share: float,
    gain: float,
    speeds: list[float],
    free: float,
    power_w: float,
    samples: float,
) -> list[float]:
    """Write the formulae out for one device, from the profile and the scenario alone."""
    profile, fields = env.profile, ODD_FIELDS
    noise_w_per_hz = (
        1e-3 * 10 ** (fields["noise_density_dbm_per_hz"] / 10) * 10 ** (fields["noise_figure_db"] / 10)
    )
    up_noise, down_noise = (
        noise_w_per_hz * 10 ** (fields[f"{way}_noise_rise_db"] / 10) for way in ("uplink", "downlink")
    )
    least, most_up, most_down = (
        10 ** (fields[name] / 10) for name in ("min_sinr_db", "uplink_max_sinr_db", "downlink_max_sinr_db")
    )
    band_hz = min(share * fields["bandwidth_hz"], power_w * gain / (up_noise * least))
    up_sinr = min(power_w * gain / (up_noise * band_hz), most_up)
    up_bps = band_hz * fields["uplink_attenuation"] * math.log2(1 + up_sinr)
    down_hz = fields["downlink_bandwidth_hz"]
    down_sinr = min(fields["base_station_power_w"] * gain / (down_noise * down_hz), most_down)
    assert down_sinr > least
    down_bps = share * down_hz * fields["downlink_attenuation"] * math.log2(1 + down_sinr)
    whole = cut == profile.num_cuts - 1
    model_bits = (profile.device_parameters[cut] + profile.device_buffers[cut]) * fields["parameter_bits"]
    gradient_bits = profile.smashed_elements[cut] * fields["activation_bits"]
    smashed_bits = 0.0 if whole else gradient_bits + fields["label_bits"]
    forward_flops, forward_bytes, backward_flops, backward_bytes = (free * speed for speed in speeds)
    traffic = profile.device_activation_elements[cut] * fields["training_bits"] / 8
    message, iterations = fields["message_latency_s"], fields["local_iterations"]
    split = 0.0 if whole else message * iterations
    server_speed = fields["server_flops_per_s"] / fields["num_devices"]
    server_flops = profile.server_forward_flops[cut] + profile.server_backward_flops[cut]
    return [
        model_bits / down_bps + message,
        samples * (profile.device_forward_flops[cut] / forward_flops + traffic / forward_bytes),
        samples * smashed_bits / up_bps + split,
        samples * server_flops / server_speed,
        samples * gradient_bits / down_bps + split,
        samples * (profile.device_backward_flops[cut] / backward_flops + traffic / backward_bytes),
        model_bits / up_bps + message,
    ]


def conditions(rng: np.random.Generator, shape: tuple[int, int]) -> Conditions:
    return Conditions(
        uplink_snr_hz=10.0 ** rng.uniform(4, 10, shape),
        downlink_full_rate_bps=10.0 ** rng.uniform(6, 9, shape),
        forward_flops_per_s=10.0 ** rng.uniform(9, 12, shape),
        forward_bytes_per_s=10.0 ** rng.uniform(7, 10, shape),
        backward_flops_per_s=10.0 ** rng.uniform(9, 12, shape),
        backward_bytes_per_s=10.0 ** rng.uniform(7, 10, shape),
        samples=rng.integers(1, 500, shape).astype(float),
        deepest_cut=np.full(shape, 9),
        takes_part=None,
        fading=SmallScaleFading(rng.exponential(3.0, shape)),
    )


NOW = conditions(np.random.default_rng(0), (3, 5))
CUT = np.random.default_rng(1).integers(0, 9, (3, 5))
SHARE = np.random.default_rng(2).dirichlet(np.ones(5), 3)
RESOURCES = Resources(
    uplink_bandwidth_hz=2e7, server_flops_per_s=1e12, uplink_curve=TruncatedShannon(), outage_wait_s=10.0
)
FORMATS: dict[str, Any] = {"activation_bits": 16, "parameter_bits": 16, "label_bits": 16, "optimizer_slots": 1}


def phases(now: Conditions = NOW, resources: Resources = RESOURCES, **formats: Any) -> np.ndarray:
    work = workload(catalogue.load("resnet18"), **(FORMATS | formats))
    return phase_latency_s(work, resources, now, CUT, SHARE)


def changed(phase: int, factor: float) -> np.ndarray:
    expected = np.ones(len(PHASES))
    expected[phase] = factor
    return expected[:, None, None]


def test_twice_the_bits_take_twice_the_air_time_and_nothing_else() -> None:
    factor = np.ones((len(PHASES), 1, 1))
    factor[list(COMMUNICATION)] = 2.0
    np.testing.assert_allclose(
        phases(activation_bits=32, parameter_bits=32, label_bits=32), phases() * factor, rtol=1e-14
    )


def test_twice_the_speed_takes_half_the_computation_and_nothing_else() -> None:
    factor = np.ones((len(PHASES), 1, 1))
    factor[list(DEVICE_COMPUTE)] = 0.5
    fast = NOW._replace(**{name: 2.0 * getattr(NOW, name) for name in SPEEDS})
    np.testing.assert_allclose(phases(fast), phases() * factor, rtol=1e-14)


def test_a_server_twice_as_fast_takes_half_its_time_and_nothing_else() -> None:
    fast = RESOURCES._replace(server_flops_per_s=2e12)
    np.testing.assert_allclose(phases(resources=fast), phases() * changed(SERVER_COMPUTE, 0.5), rtol=1e-14)


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_a_slower_pass_lengthens_itself_alone(name: str) -> None:
    fields = [f"{name}_flops_per_s", f"{name}_bytes_per_s"]
    slow = NOW._replace(**{field: getattr(NOW, field) / 3.0 for field in fields})
    phase = PHASES.index(f"device_{name}")
    np.testing.assert_allclose(phases(slow), phases() * changed(phase, 3.0), rtol=1e-14)


def test_a_memory_without_limit_leaves_the_flops_alone() -> None:
    endless = NOW._replace(
        forward_bytes_per_s=np.full((3, 5), np.inf), backward_bytes_per_s=np.full((3, 5), np.inf)
    )
    profile, found = catalogue.load("resnet18"), phases(endless)
    for name, flops, speed in (
        ("device_forward", profile.device_forward_flops, NOW.forward_flops_per_s),
        ("device_backward", profile.device_backward_flops, NOW.backward_flops_per_s),
    ):
        np.testing.assert_allclose(found[PHASES.index(name)], flops[CUT] * NOW.samples / speed, rtol=1e-14)


def test_half_the_training_bits_halve_the_traffic_and_change_nothing_that_is_sent() -> None:
    whole, half = phases(training_bits=32), phases(training_bits=16)
    endless = NOW._replace(
        forward_bytes_per_s=np.full((3, 5), np.inf), backward_bytes_per_s=np.full((3, 5), np.inf)
    )
    flops = phases(endless)
    np.testing.assert_allclose(half - flops, (whole - flops) / 2.0, rtol=1e-9, atol=1e-12 * whole.max())
    np.testing.assert_array_equal(half[list(COMMUNICATION)], whole[list(COMMUNICATION)])


def test_every_message_takes_its_latency_and_a_phase_without_messages_none() -> None:
    work, late = (
        workload(catalogue.load("resnet18"), local_iterations=3, message_latency_s=seconds, **FORMATS)
        for seconds in (0.0, 0.5)
    )
    last = work.num_cuts - 1
    cut = np.array([[0, 1, last, last, 2]] * 3)
    extra = phase_latency_s(late, RESOURCES, NOW, cut, SHARE) - phase_latency_s(work, RESOURCES, NOW, cut, SHARE)
    for k, messages in enumerate(np.where(cut[0] == last, 2, 8)):
        np.testing.assert_allclose(extra[:, :, k].sum(axis=0), 0.5 * messages, rtol=1e-9)
    np.testing.assert_allclose(extra[:, 0, 0], [0.5, 0.0, 1.5, 0.0, 1.5, 0.0, 0.5], atol=1e-9)


def test_twice_the_band_and_power_double_every_rate() -> None:
    wide = RESOURCES._replace(uplink_bandwidth_hz=2.0 * RESOURCES.uplink_bandwidth_hz)
    strong = NOW._replace(
        uplink_snr_hz=2.0 * NOW.uplink_snr_hz, downlink_full_rate_bps=2.0 * NOW.downlink_full_rate_bps
    )
    factor = np.ones((len(PHASES), 1, 1))
    factor[list(COMMUNICATION)] = 0.5
    np.testing.assert_allclose(phases(strong, wide), phases() * factor, rtol=1e-14)


def test_twice_the_samples_leave_only_the_model_transfers_as_they_are() -> None:
    factor = np.full((len(PHASES), 1, 1), 2.0)
    factor[[PHASES.index("model_download"), PHASES.index("model_upload")]] = 1.0
    np.testing.assert_allclose(phases(NOW._replace(samples=2.0 * NOW.samples)), phases() * factor, rtol=1e-14)


def test_the_whole_network_on_the_device_needs_no_server_and_no_smashed_data() -> None:
    work = workload(catalogue.load("resnet18"), **FORMATS)
    last = np.full((3, 5), work.num_cuts - 1)
    found = phase_latency_s(work, RESOURCES, NOW, last, SHARE)
    for name in ("smashed_upload", "server_compute", "gradient_download"):
        assert (found[PHASES.index(name)] == 0.0).all()


@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
def test_rounds_in_stages_add_the_slowest_of_each_stage_and_all_server_jobs_in_turn(barriers: Barriers) -> None:
    found = phases()
    stages = STAGES[barriers]
    assert [phase for stage in stages for phase in stage] == list(range(len(PHASES)))
    num_devices = found.shape[-1]
    expected = []
    for env in range(found.shape[1]):
        total = 0.0
        for stage in stages:
            times = [sum(found[phase, env, k] for phase in stage) for k in range(num_devices)]
            total += sum(times) if stage == (SERVER_COMPUTE,) else max(times)
        expected.append(total)
    np.testing.assert_allclose(staged_latency_s(found, stages), expected, rtol=1e-13)


def test_profiles_of_ones_own_are_charged_like_stored_ones() -> None:
    profile = dataclasses.replace(catalogue.load("lenet5"), name="mine")
    env = SFLEnv(profile=profile, num_devices=3)
    other = SFLEnv(model="lenet5", num_devices=3)
    for one in (env, other):
        one.reset(seed=0)
    action = np.zeros((3, 2), np.float32)
    np.testing.assert_array_equal(
        env.step(action)[-1]["phase_latency_s"], other.step(action)[-1]["phase_latency_s"]
    )
