"""Observations relative to the round: what the columns say, that scales drop out, and that solvers find back."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sfl_baselines
from sfl_env import Decision, Scenario, SFLVectorEnv
from sfl_env.optimum import proportional_decision
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import SERVER_COMPUTE, phase_latency_s
from sfl_env.simulation.simulator import Simulator
from sfl_env.spaces import DeviceRows, ProblemRows
from sfl_env.spaces.sensible import SensibleDecisions
from sfl_env.spaces.view import View

_LOG_RANGE = np.log(1e3)

FIELDS = Conditions._fields[:8]
"""Those that are arrays (N, K) in any case."""


def made(n: int = 4, **fields: Any) -> tuple[SFLVectorEnv, NDArray[np.float64]]:
    envs = SFLVectorEnv(n, observation_mode="problem", **fields)
    rows, _ = envs.reset(seed=1)
    return envs, rows.astype(np.float64)


def by_cut(envs: SFLVectorEnv, rows: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """A block of columns, one for each cut; the last four blocks are fixed, uplink, downlink and fits."""
    num_cuts = envs.episodes.simulator.workload.num_cuts
    first = rows.shape[-1] - (4 - block) * num_cuts
    return rows[..., first : first + num_cuts]


@pytest.mark.parametrize("fields", [{}, {"model": "vgg16"}, {"num_devices": 1}, {"battery_share": 0.3}])
def test_seconds_are_those_of_the_problem_over_the_sensible_round(fields: dict[str, Any]) -> None:
    envs, rows = made(**fields)
    problem = envs.observed_problem()
    sensible_s = problem.latency_s(proportional_decision(problem))[:, None]
    n, k, num_cuts = problem.shape
    fits = by_cut(envs, rows, 3) > 0.0
    np.testing.assert_array_equal(fits, np.isfinite(problem.fixed_s))
    equal = np.full((n, k), 1.0 / k)
    for cut in range(num_cuts):
        own = Decision(np.full((n, k), cut), equal)
        air_s = problem.without_computing().device_latency_s(own)
        told = [np.exp(by_cut(envs, rows, block)[..., cut] * _LOG_RANGE) for block in range(3)]
        inside = fits[..., cut] & (air_s / sensible_s < 500.0) & (problem.fixed_s[..., cut] / sensible_s < 500.0)
        inside &= problem.fixed_s[..., cut] / sensible_s > 2e-3
        np.testing.assert_allclose((told[1] + told[2])[inside], (air_s / sensible_s)[inside], rtol=1e-4)
        np.testing.assert_allclose(told[0][inside], (problem.fixed_s[..., cut] / sensible_s)[inside], rtol=1e-4)


def test_the_sensible_round_is_told_device_by_device() -> None:
    envs, rows = made()
    problem = envs.observed_problem()
    sensible = proportional_decision(problem)
    device_s = problem.device_latency_s(sensible)
    first = envs.episodes.simulator.workload.num_cuts * -4 - 6
    share, length, seconds, fixed, cut = (rows[..., first + place] for place in range(1, 6))
    round_s = device_s.max(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.exp(share * _LOG_RANGE), sensible.bandwidth_share * 10, rtol=1e-5)
    np.testing.assert_allclose((seconds + 1.0) / 2.0, device_s / round_s, rtol=1e-5)
    np.testing.assert_allclose((fixed + 1.0) / 2.0, problem.at_cut(sensible.cut)[0] / round_s, rtol=1e-4)
    np.testing.assert_allclose(
        np.exp(length * _LOG_RANGE), round_s / envs.episodes.reference_latency_s + 0.0 * length, rtol=1e-5
    )
    np.testing.assert_allclose((cut + 1.0) / 2.0 * (problem.shape[-1] - 1), sensible.cut, atol=1e-5)


@pytest.mark.parametrize(
    "fields", [{}, {"csi_delay_rounds": 1}, {"battery_share": 0.3}, {"message_latency_s": 2.0}]
)
def test_with_barriers_rows_tell_every_phase_and_all_else_as_without(fields: dict[str, Any]) -> None:
    plain, without = made(**fields)
    envs, rows = made(barriers="every-phase", **fields)
    k, num_cuts = rows.shape[1], plain.episodes.simulator.workload.num_cuts
    late = "csi_delay_rounds" in fields
    first = without.shape[-1] - 4 * num_cuts - 6 - late
    phases = np.exp(rows[..., first : first + 7 * num_cuts] * np.log(1e6)).reshape(*rows.shape[:2], 7, num_cuts)
    rest = np.delete(rows, slice(first, first + 7 * num_cuts), axis=-1)
    np.testing.assert_array_equal(rest[..., :first], without[..., :first])
    reference_s = [made_of.episodes.reference_latency_s for made_of in (envs, plain)]
    assert reference_s[0] == reference_s[1]
    np.testing.assert_array_equal(rest, without)
    simulator, now = envs.episodes.simulator, envs.episodes.now.observed
    sensible_s = plain.observed_problem().latency_s(proportional_decision(plain.observed_problem()))
    for cut in range(num_cuts):
        decision = np.full((4, k), cut), np.full((4, k), 1.0 / k)
        seconds = phase_latency_s(simulator.workload, simulator.resources, now, *decision)
        seconds[SERVER_COMPUTE] /= k
        relative = seconds / sensible_s[:, None]
        known = relative > 2e-6
        np.testing.assert_allclose(np.moveaxis(phases[..., cut], -1, 0)[known], relative[known], rtol=1e-4)


def test_solvers_lose_nothing_by_reading_these_rows() -> None:
    envs = SFLVectorEnv(20, observation_mode="problem", info_optimum=True)
    rows, _ = envs.reset(seed=3)
    infos = envs.step(sfl_baselines.make("exact", envs).predict(rows)[0])[4]
    np.testing.assert_allclose(infos["latency_s"], infos["optimal_latency_s"], rtol=1e-5)


def test_a_system_that_is_slower_in_everything_looks_the_same() -> None:
    scenario = Scenario(message_latency_s=0.0)
    simulator = Simulator(scenario)
    rng = np.random.default_rng(0)
    state = simulator.initial(rng, 5)
    now = simulator.conditions(state)
    slower = now._replace(**{name: getattr(now, name) / 7.0 for name in now._fields[:6]})
    resources = simulator.resources._replace(
        uplink_bandwidth_hz=simulator.resources.uplink_bandwidth_hz / 7.0,
        server_flops_per_s=simulator.resources.server_flops_per_s / 7.0,
    )
    relative = []
    for conditions, shared, reference_s in ((now, simulator.resources, 1.0), (slower, resources, 7.0)):
        absolute = DeviceRows(simulator.workload.num_cuts, with_battery=False)
        encoder = ProblemRows(absolute, SensibleDecisions(simulator.workload, shared), reference_s, 20)
        view = View(conditions, state.setup.devices, state.charge, state.setup.charge_per_j, np.full(5, -1.0))
        relative.append(encoder.per_round(view, encoder.per_episode(view))[..., absolute.num_features :])
    np.testing.assert_allclose(relative[0], relative[1], atol=1e-5)


def test_renumbering_the_devices_renumbers_the_rows() -> None:
    envs, _ = made()
    encoder, now = envs.episodes.observation_encoder, envs.episodes.now
    order = np.random.default_rng(0).permutation(10)
    view = View(
        now.observed, now.state.setup.devices, now.state.charge, now.state.setup.charge_per_j, np.full(4, -1.0)
    )
    fading = type(now.observed.fading)(now.observed.fading.rician_k[:, order])
    assert now.observed.takes_part is None
    arrays: dict[str, Any] = {name: getattr(now.observed, name)[:, order] for name in FIELDS}
    turned = view._replace(conditions=now.observed._replace(**arrays, fading=fading))
    rows = encoder.per_round(view, encoder.per_episode(view))
    np.testing.assert_allclose(
        encoder.per_round(turned, encoder.per_episode(turned)), rows[:, order], rtol=1e-5, atol=1e-6
    )


def test_devices_that_are_out_leave_the_rows_within_their_space() -> None:
    envs, _ = made(6, cell_radius_m=5000.0, path_loss="macro", min_distance_m=35.0)
    for _ in range(3):
        rows = envs.step(envs.action_space.sample())[0]
        assert envs.observation_space.contains(rows)


def test_a_channel_observed_late_is_told_without_its_fading_too() -> None:
    envs, rows = made(fading="block", rician_k_db=-40.0, csi_delay_rounds=1)
    observed, num_cuts = envs.episodes.now.observed, envs.episodes.simulator.workload.num_cuts
    assert observed.large_scale is not None
    ratio, without = (np.exp(rows[..., -4 * num_cuts - place] * np.log(1e6)) for place in (6, 7))
    np.testing.assert_allclose(
        without / ratio, observed.large_scale.uplink_snr_hz / observed.uplink_snr_hz, rtol=1e-3
    )


def test_with_batteries_rows_tell_what_the_sensible_round_takes_of_a_budget() -> None:
    envs, _ = made(battery_share=0.02, num_devices=5, max_rounds=8)
    for _ in range(3):
        rows = envs.step(envs.action_space.sample())[0].astype(np.float64)
    absolute, state = rows.shape[-1] - 10 - 4 * envs.observed_problem().shape[-1], envs.episodes.now.state
    left = np.exp((rows[..., absolute] + 1.0) / 2.0 * _LOG_RANGE)
    np.testing.assert_allclose(left, 8 - 3, rtol=1e-5)
    problem = envs.observed_problem()
    sensible_s = problem.latency_s(proportional_decision(problem))[:, None]
    devices = state.setup.devices
    states = (devices.computing_w, devices.transmitting_w, devices.receiving_w)
    for column, watts in enumerate(states, absolute + 1):
        drain = np.maximum(watts - devices.idle_w, 0.0) * state.setup.charge_per_j * sensible_s
        with np.errstate(divide="ignore", invalid="ignore"):
            told = np.clip(drain / (state.charge / 5.0), 1e-3, 1e3)
        here = (state.charge > 0.0) & (drain > 0.0)
        assert here.any()
        np.testing.assert_allclose(np.exp(rows[..., column] * _LOG_RANGE)[here], told[here], rtol=1e-4)
