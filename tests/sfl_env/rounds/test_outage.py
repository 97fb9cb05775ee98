"""Outage is a state of a link: its device misses the round, and a round without any device is a wait."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_env  # noqa: F401  (registers its ids)
from sfl_env.errors import ScenarioError
from sfl_env.optimum import solve_exact, solve_in_turn
from sfl_env.rounds.curves import SHANNON, Modes, TruncatedShannon
from sfl_env.rounds.outage import LEAST_RATE_BPS, Outage
from sfl_env.rounds.radio import uplink_rate_bps

FAR: dict[str, Any] = {
    "path_loss": "macro",
    "cell_radius_m": 3_000.0,
    "min_distance_m": 1_500.0,
    "num_devices": 6,
}
"""A cell in which many devices are out of reach."""

HOPELESS: dict[str, Any] = {**FAR, "min_sinr_db": 21.0, "cell_radius_m": 80_000.0, "min_distance_m": 70_000.0}


def test_an_uplink_is_out_where_the_narrowest_band_does_not_bring_it_to_the_curves_start() -> None:
    for curve, start in ((TruncatedShannon(min_sinr_db=-10.0), 0.1), (Modes((10.0, 20.0), (1.0, 2.0)), 10.0)):
        assert Outage(curve, 20e6, 360e3).least_snr_hz == pytest.approx(start * 360e3, rel=1e-9)


def test_an_uplink_is_out_where_the_whole_band_carries_next_to_nothing() -> None:
    least = Outage(SHANNON, 20e6, 360e3).least_snr_hz
    rate = uplink_rate_bps(np.array([[1.0]]), 20e6, np.array([[least]]), SHANNON)
    assert rate == pytest.approx(LEAST_RATE_BPS, rel=1e-6)


def rounds(fields: dict[str, Any], n: int = 40) -> tuple[Any, dict[str, Any]]:
    envs: Any = gym.make_vec("SFL-v0", num_envs=n, **fields)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    return envs, envs.step(envs.action_space.sample())[4]


def test_a_device_that_is_out_takes_no_part_and_the_others_go_on() -> None:
    _, infos = rounds(FAR)
    out = ~infos["takes_part"]
    some = out.any(axis=1) & ~out.all(axis=1)
    assert some.sum() > 5
    assert (infos["device_latency_s"][out] == 0.0).all()
    assert (infos["phase_latency_s"][out] == 0.0).all()
    assert np.isfinite(infos["latency_s"]).all()
    np.testing.assert_allclose(infos["latency_s"][some], infos["device_latency_s"][some].max(axis=1))


def test_a_round_that_reaches_nobody_is_a_wait() -> None:
    envs, infos = rounds({**HOPELESS, "outage_wait_s": 7.0}, n=3)
    assert not infos["takes_part"].any()
    np.testing.assert_array_equal(infos["latency_s"], 7.0)
    problem = envs.unwrapped.true_problem()
    solution = solve_exact(problem)
    np.testing.assert_array_equal(solution.latency_s, 7.0)
    np.testing.assert_allclose(solution.lower_bound_s, 7.0, rtol=1e-12)


@pytest.mark.parametrize("fields", [FAR, HOPELESS], ids=["some", "all"])
def test_in_turn_the_optimum_is_that_of_the_devices_that_can_be_reached(fields: dict[str, Any]) -> None:
    envs: Any = gym.make_vec("SFL-v0", num_envs=20, schedule="sequence", outage_wait_s=7.0, **fields)
    envs.reset(seed=0)
    optimum = solve_in_turn(envs.unwrapped.true_problem())
    infos = envs.step(
        envs.unwrapped.episodes.action_encoder.encode(optimum.decision, envs.unwrapped.episodes.now.observed)
    )[4]
    np.testing.assert_allclose(infos["latency_s"], optimum.latency_s, rtol=1e-9)
    nobody = ~infos["takes_part"].any(axis=1)
    np.testing.assert_allclose(optimum.latency_s[nobody], 7.0, rtol=1e-12)
    assert nobody.any()
    assert nobody.all() == (fields is HOPELESS)


@pytest.mark.parametrize("fields", [FAR, HOPELESS], ids=["some", "all"])
def test_the_problem_knows_who_is_out_and_so_does_the_observation(fields: dict[str, Any]) -> None:
    envs: Any = gym.make_vec("SFL-v0", num_envs=40, **fields)
    envs.reset(seed=1)
    true, seen = envs.unwrapped.true_problem(), envs.unwrapped.observed_problem()
    out = ~envs.unwrapped.episodes.now.true.takes_part
    assert out.any()
    for problem in (true, seen):
        np.testing.assert_array_equal(problem.needs_band.any(axis=-1), ~out)
    np.testing.assert_allclose(solve_exact(seen).latency_s, solve_exact(true).latency_s, rtol=1e-4)


def test_an_outage_ends_no_episode() -> None:
    envs: Any = gym.make_vec("SFL-v0", num_envs=3, **HOPELESS)
    envs.reset(seed=0)
    for _ in range(3):
        _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert not terminated.any()
        assert not truncated.any()


@pytest.mark.parametrize("fields", [{}, {"action_mode": "cut"}, {"schedule": "sequence"}, {"battery_share": 0.5}])
def test_with_delayed_csi_who_was_out_of_reach_is_not_asked_and_nobody_waits_for_him(
    fields: dict[str, Any],
) -> None:
    comes_and_goes = {**FAR, "blockage_loss_db": 30.0, "blockage_fraction": 0.5, "blockage_hold_s": 5.0}
    envs: Any = gym.make_vec("SFL-v0", num_envs=20, csi_delay_rounds=1, **comes_and_goes, **fields)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    now = envs.unwrapped.episodes.now
    present = envs.unwrapped.episodes.simulator.conditions(now.state).takes_part
    seen = now.observed.takes_part
    assert (present & ~seen).any()
    assert (seen & ~present).any()
    problem = envs.unwrapped.true_problem()
    np.testing.assert_array_equal(problem.needs_band.any(axis=-1), present & seen)
    infos = envs.step(envs.action_space.sample())[4]
    np.testing.assert_array_equal(infos["takes_part"], present & seen)
    assert (infos["device_latency_s"][~(present & seen)] == 0.0).all()
    assert (infos["latency_s"] < 1e9).all()


def test_the_weakest_links_that_the_fields_allow_are_out_and_their_problem_is_one() -> None:
    weakest = {
        "path_loss": "macro",
        "cell_radius_m": 1e5,
        "min_distance_m": 9e4,
        "blockage_loss_db": 100.0,
        "blockage_fraction": 0.99,
        "noise_density_dbm_per_hz": 0.0,
        "noise_figure_db": 60.0,
        "uplink_noise_rise_db": 100.0,
    }
    envs, infos = rounds(weakest, n=3)
    assert not infos["takes_part"].any()
    assert (infos["latency_s"] == envs.unwrapped.scenario.outage_wait_s).all()
    np.testing.assert_array_equal(solve_exact(envs.unwrapped.true_problem()).latency_s, infos["latency_s"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uplink_attenuation": 1e-6}, r"uplink band of 1e\+07 Hz carries 73\.2 bit/s at best"),
        (
            {"downlink_attenuation": 1e-6, "downlink_bandwidth_hz": 1e6},
            r"downlink band of 1e\+06 Hz carries 9\.97",
        ),
        ({"downlink_curve": Modes((0.0,), (1e-6,))}, r"downlink band of 1e\+07 Hz carries 10 bit/s"),
    ],
)
def test_a_band_that_could_never_reach_a_device_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        gym.make("SFL-v0", **fields)
    for name in fields.keys() & {"uplink_attenuation", "downlink_attenuation"}:
        gym.make("SFL-v0", **{**fields, name: 2e-5})
