"""What agents see tells the problem that they are to solve."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import DecisionError, SFLEnv, SFLVectorEnv
from sfl_env.devices import DeviceBatch
from sfl_env.optimum import solve_exact
from sfl_env.rounds.problem_values import ARRAYS
from sfl_env.spaces.scales import LogScale, LogScales
from tests.ids import BATCHED_IDS
from tests.sfl_env.boards import ON_BATTERY, boards

DISTANT: dict[str, Any] = {"path_loss": "macro", "cell_radius_m": 3_000.0, "min_distance_m": 1_500.0}
"""Some devices of such a cell are out of reach."""


def make(env_id: str, **fields: Any) -> SFLEnv:
    env = gym.make(env_id, **fields).unwrapped
    assert isinstance(env, SFLEnv)
    return env


@pytest.mark.parametrize("env_id", BATCHED_IDS)
def test_an_observation_decodes_to_the_observed_problem(env_id: str) -> None:
    env = make(env_id, batch_size_spread=1.0 if "Accuracy" in env_id else 2.0)
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        shown, observed = env.episodes.problem_of(observation[None]), env.observed_problem()
        assert shown.system == observed.system
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(shown, name), getattr(observed, name), rtol=1e-5, err_msg=name)
        observation, *_ = env.step(env.action_space.sample())


def test_with_batteries_and_an_outage_an_observation_decodes_to_the_observed_problem() -> None:
    envs = SFLVectorEnv(20, num_devices=6, battery_share=0.01, dropout_weight=1.0, **DISTANT, **ON_BATTERY)
    envs.action_space.seed(0)
    observation, _ = envs.reset(seed=0)
    causes = set()
    for _ in range(12):
        now = envs.episodes.now
        told = envs.episodes.observation_encoder.decode(observation)
        takes_part = np.ones((20, 6), np.bool_) if now.observed.takes_part is None else now.observed.takes_part
        np.testing.assert_array_equal(told.takes_part, takes_part)
        # A link's factor comes from its spread, 1 / sqrt(1 + K), that single precision rounds.
        np.testing.assert_allclose(told.fading.spread, now.observed.fading.spread, atol=1e-7)
        shown, observed = envs.episodes.problem_of(observation), envs.observed_problem()
        for name in ARRAYS:
            rtol, atol = (1e-4, 1e-6) if name == "rician_k" else (1e-5, 0.0)
            np.testing.assert_allclose(
                getattr(shown, name), getattr(observed, name), rtol=rtol, atol=atol, err_msg=name
            )
        np.testing.assert_allclose(solve_exact(shown).latency_s, solve_exact(observed).latency_s, rtol=1e-4)
        charged = now.state.charge > 0.0
        causes |= {*zip(charged[~takes_part].tolist(), strict=True)}
        assert charged[takes_part].all()
        observation, *_ = envs.step(envs.action_space.sample())
    assert causes == {(True,), (False,)}  # some could not be reached, and some were empty


def test_columns_are_on_the_documented_scales() -> None:
    def log(value: np.ndarray, low: float, high: float) -> np.ndarray:
        scaled: np.ndarray = 2.0 * np.log(value / low) / math.log(high / low) - 1.0
        return scaled

    env = make("SFL-Battery-v0", battery_share=0.5, max_rounds=8, model="vgg16-224", batch_size=2)
    env.reset(seed=0)
    observation, *_, info = env.step(
        np.tile(np.array([-1.0, 0.0], np.float32), (10, 1))
    )  # the first cut, equal shares
    state, problem = env.episodes.now.state, env.true_problem()
    devices = state.setup.devices
    usable_j = 0.5 * devices.battery_j[0]

    def drain(watts: np.ndarray) -> np.ndarray:
        return log(np.maximum(watts[0] / usable_j, 1e-9), 1e-9, 1e3)

    expected = [
        log(problem.uplink_snr_hz[0], 1.0, 1e15),
        log((devices.forward_flops_per_s * state.availability.fraction)[0], 1e6, 1e15),
        log(problem.downlink_full_rate_bps[0], 1e2, 1e13),
        2.0 / np.sqrt(1.0 + problem.rician_k[0]) - 1.0,
        np.full(10, 2.0 * 1 / 8 - 1.0),
        log((devices.backward_flops_per_s / devices.forward_flops_per_s)[0], 1e-3, 1e3),
        log((devices.forward_bytes_per_s / devices.forward_flops_per_s)[0], 1e-6, 1e6),
        log((devices.backward_bytes_per_s / devices.backward_flops_per_s)[0], 1e-6, 1e6),
        log(np.full(10, 2.0 * env.scenario.local_iterations), 1.0, 1e9),
        2.0 * (np.isfinite(problem.fixed_s[0]).sum(axis=-1) - 1) / (env.profile.num_cuts - 1) - 1.0,
        np.ones(10),
        2.0 * (1.0 - (info["energy_j"] - devices.idle_w[0] * info["latency_s"]) / usable_j) - 1.0,
        drain(devices.computing_w - devices.idle_w),
        drain(devices.transmitting_w - devices.idle_w),
        drain(devices.receiving_w - devices.idle_w),
    ]
    np.testing.assert_allclose(observation, np.stack(expected, axis=-1), atol=1e-6)


@pytest.mark.parametrize(("first", "fields"), [(10, {}), (15, {"battery_share": 0.5})])
def test_an_old_channel_has_columns_for_its_links_without_fading(first: int, fields: dict[str, Any]) -> None:
    env = SFLEnv(csi_delay_rounds=1, fading="block", num_devices=4, **fields)
    env.reset(seed=0)
    channel = env.episodes.now.state.channel
    observation, *_ = env.step(np.tile(np.array([-1.0, 0.0], np.float32), (4, 1)))
    assert observation.shape == env.observation_space.shape == (4, first + 2)
    simulator, setup = env.episodes.simulator, env.episodes.now.state.setup
    gain = channel.large_scale_gain[0]
    snr_hz = setup.snr_per_gain_hz[0] * gain
    np.testing.assert_allclose(
        observation[:, first:],
        2.0
        * np.stack([np.log(snr_hz) / np.log(1e15), np.log(simulator.downlink.sinr(gain) / 1e-9) / np.log(1e24)]).T
        - 1.0,
        atol=1e-6,
    )
    faded = channel.gain[0] / gain
    np.testing.assert_allclose(env.observed_problem().uplink_snr_hz[0], snr_hz * faded, rtol=1e-12)
    without = SFLEnv(fading="block", num_devices=4, **fields).observation_space.shape
    assert without == (4, first)


def test_devices_that_have_left_are_seen_to_have_left() -> None:
    env = make("SFL-Battery-v0", battery_share=0.005)
    observation, _ = env.reset(seed=0)
    while (env.observed_problem().uplink_bits[0].max(axis=-1) > 0.0).all():
        observation, *_ = env.step(np.zeros((10, 2), np.float32))
    shown = env.episodes.problem_of(observation[None])
    np.testing.assert_array_equal(shown.uplink_bits == 0.0, env.observed_problem().uplink_bits == 0.0)


def test_memory_that_is_too_small_is_seen() -> None:
    env = make("SFL-v0", model="vgg16-224", batch_size=2)
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(
        np.isinf(env.episodes.problem_of(observation[None]).fixed_s), np.isinf(env.true_problem().fixed_s)
    )
    assert np.isinf(env.true_problem().fixed_s).any()


def test_rows_are_devices_a_batch_is_many_environments() -> None:
    envs = SFLVectorEnv(3, num_devices=4)
    observation, _ = envs.reset(seed=0)
    whole = envs.episodes.problem_of(observation)
    for env in range(3):
        part = envs.episodes.problem_of(observation[env : env + 1])
        np.testing.assert_array_equal(part.fixed_s[0], whole.fixed_s[env])


def test_progress_runs_from_minus_one_to_one() -> None:
    env = make("SFL-v0", max_rounds=4)
    observation, _ = env.reset(seed=0)
    seen = [observation[:, 4]]
    for _ in range(4):
        observation, *_ = env.step(env.action_space.sample())
        seen.append(observation[:, 4])
    np.testing.assert_allclose(seen, np.linspace(-1.0, 1.0, 5)[:, None] * np.ones(10), rtol=1e-6)


def test_an_observation_is_the_callers_own() -> None:
    env = make("SFL-v0")
    first, _ = env.reset(seed=0)
    kept = first.copy()
    second, *_ = env.step(env.action_space.sample())
    np.testing.assert_array_equal(first, kept)
    second[:] = 0.0
    assert (env.step(env.action_space.sample())[0] != 0.0).any()


def test_rows_of_another_width_are_refused() -> None:
    env = make("SFL-v0")
    with pytest.raises(DecisionError, match=r"shape \(1, 10, 5\); it has to be \(N, K, 10\)"):
        env.episodes.problem_of(np.zeros((1, 10, 5), np.float32))


@given(st.floats(1e-3, 1e12))
def test_a_logarithmic_scale_comes_back(value: float) -> None:
    scale = LogScale(1e-3, 1e12)
    scaled = np.empty((1, 1, 1), np.float32)
    LogScales(scale).encode(np.array([[value]]), out=scaled)
    assert -1.0 <= scaled.item() <= 1.0
    np.testing.assert_allclose(scale.decode(scaled).item(), value, rtol=1e-5)


def test_what_lies_outside_a_scale_is_clipped() -> None:
    scaled = np.empty((1, 2, 1), np.float32)
    LogScales(LogScale(1e-3, 1e12)).encode(np.array([[1e-9, 1e20]]), out=scaled)
    np.testing.assert_array_equal(scaled[0, :, 0], [-1.0, 1.0])


@pytest.mark.parametrize("name", ["forward_bytes_per_s", "backward_bytes_per_s"])
def test_a_memory_without_limit_is_seen_to_have_none(name: str) -> None:
    class Endless:
        def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
            return boards(n, num_devices, **{name: np.inf})

    env = SFLEnv(population=Endless(), num_devices=3)
    observation, _ = env.reset(seed=0)
    told = env.episodes.observation_encoder.decode(observation[None])
    assert np.isinf(getattr(told, name)).all()
    shown, observed = env.episodes.problem_of(observation[None]), env.observed_problem()
    np.testing.assert_allclose(shown.fixed_s, observed.fixed_s, rtol=1e-5)
