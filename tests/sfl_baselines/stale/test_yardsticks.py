"""Yardsticks for old channels: each decides by what may be known, and refuses where it does not know."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import make_batch
from sfl_baselines.policies import ConditionsPolicy
from sfl_baselines.stale import SampleAverage, Statistics, rules
from sfl_baselines.stale.draws import spread_normals
from sfl_baselines.stale.rules import expected_s
from sfl_env import SFLEnv
from sfl_env.errors import PolicyError, SolverError
from sfl_env.optimum import solve_exact
from sfl_env.spaces.observation import DeviceRows
from tests.sfl_baselines.stale.cells import ID, episodes_at

YARDSTICKS = ("sample-average", "statistics")


@pytest.mark.parametrize(("correlation", "delay"), [(0.0, 1), (0.5, 1), (0.9, 1), (0.9, 2)])
def test_the_sample_average_is_best_in_expectation(correlation: float, delay: int) -> None:
    episodes, seen = episodes_at(24, fading_correlation=correlation, csi_delay_rounds=delay)
    fresh = spread_normals(np.random.default_rng(99), 1000, 10)
    sample_average, statistics, exact = (
        expected_s(episodes, seen, decision, fresh).mean()
        for decision in (
            SampleAverage(episodes, draws=64)(seen),
            Statistics(episodes)(seen),
            solve_exact(episodes.observed_problem()).decision,
        )
    )
    assert sample_average < 0.99 * statistics
    assert sample_average < 0.97 * exact


def test_expected_rounds_are_those_that_are_played() -> None:
    n = 1500
    envs = make_batch(ID, n, {"num_devices": 4, "cell_radius_m": 50.0})
    episodes, rng = envs.episodes, np.random.default_rng(0)
    observation = episodes.reset(rng)
    action, _ = sfl_baselines.make("statistics", envs).predict(observation)
    seen = episodes.conditions_of(observation)
    decision = episodes.action_encoder.decode(action, seen)
    expected = expected_s(episodes, seen, decision, spread_normals(rng, 300, 4))
    played = episodes.step(action, rng).infos["latency_s"]
    apart = played - expected
    assert abs(apart.mean()) < 4.0 * apart.std() / np.sqrt(n)
    assert apart.std() / np.sqrt(n) < 0.02 * expected.mean()


def test_a_channel_that_stays_is_decided_as_the_optimum_decides_it() -> None:
    episodes, seen = episodes_at(10, fading_correlation=1.0)
    best = solve_exact(episodes.observed_problem())
    found = episodes.observed_problem().latency_s(SampleAverage(episodes, draws=2)(seen))
    assert (found <= best.latency_s * 1.005).all()


def test_statistics_do_not_look_at_the_fading_that_was_seen() -> None:
    episodes, seen = episodes_at(5)
    one = Statistics(episodes)(seen)
    other = Statistics(episodes)(seen._replace(uplink_snr_hz=seen.uplink_snr_hz * 7.0))
    np.testing.assert_array_equal(one.cut, other.cut)
    np.testing.assert_array_equal(one.bandwidth_share, other.bandwidth_share)
    drawn = SampleAverage(episodes, draws=8)
    assert (drawn(seen).bandwidth_share != drawn(seen._replace(uplink_snr_hz=seen.uplink_snr_hz * 7.0))[1]).any()


def test_rounds_are_decided_alike_alone_and_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    episodes, seen = episodes_at(6, num_devices=4)
    whole = SampleAverage(episodes, draws=8)(seen)
    monkeypatch.setattr(rules, "AT_ONCE", 8 * 4 * 2)
    parts = SampleAverage(episodes, draws=8)(seen)
    np.testing.assert_array_equal(whole.cut, parts.cut)
    np.testing.assert_allclose(whole.bandwidth_share, parts.bandwidth_share, rtol=1e-9)


@pytest.mark.parametrize("name", YARDSTICKS)
def test_they_act_in_single_environments_and_batches_in_every_action_mode(name: str) -> None:
    for mode in ("continuous", "cut", "discrete"):
        env, envs = gym.make(ID, action_mode=mode), gym.make_vec(ID, num_envs=2, action_mode=mode)
        policy, batched = sfl_baselines.make(name, env), sfl_baselines.make(name, envs)
        observation, _ = env.reset(seed=0)
        observations, _ = envs.reset(seed=1)
        action, _ = policy.predict(observation)
        assert env.action_space.contains(action)
        actions, _ = batched.predict(observations)
        assert envs.action_space.contains(actions)
        again, _ = batched.predict(np.stack([observation, observations[1]]))
        np.testing.assert_allclose(again, np.stack([action, actions[1]]), rtol=1e-5)
        assert np.isfinite(envs.step(actions)[-1]["latency_s"]).all()


def test_a_device_that_was_out_of_reach_is_given_no_band() -> None:
    envs = make_batch(ID, 40, {"cell_radius_m": 250.0})
    observation = envs.episodes.reset(np.random.default_rng(0))
    out = ~np.asarray(envs.episodes.now.observed.takes_part)
    assert out.any()
    for name in YARDSTICKS:
        action, _ = sfl_baselines.make(name, envs).predict(observation)
        share = envs.episodes.action_encoder.decode(action, envs.episodes.now.observed).bandwidth_share
        assert (share[out] == 0.0).all()
        assert (share[~out] > 0.0).all()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"csi_delay_rounds": 0}, "csi_delay_rounds is 0. The present channel is known: 'exact' is optimal"),
    ({"fading": "averaged"}, "fading is 'averaged'. The rate is the mean over the fading already: 'exact'"),
    ({"fading": "none"}, "fading is 'none'. 'exact' decides by the channel as observed"),
    ({"mobility": "random-waypoint"}, "mobility is 'random-waypoint'. 'exact' decides"),
    ({"blockage_fraction": 0.2}, r"blockage_fraction is 0.2 \(0 is none\). 'exact'"),
    ({"rician_k_db": None}, r"rician_k_db is None \(it has to be at most -30 dB\)"),
    ({"rician_k_db": 6.0}, r"rician_k_db is 6.0"),
    ({"barriers": "adaptsfl"}, "system is 'staged'. No yardstick knows the optimum"),
    ({"schedule": "sequence"}, "system is 'sequence'"),
]


@pytest.mark.parametrize(("fields", "told"), REFUSED, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("name", YARDSTICKS)
def test_they_refuse_what_they_do_not_know(name: str, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError, match=f"'{name}' is for links that stay and fade in blocks.*{told}"):
        sfl_baselines.make(name, gym.make(ID, **fields))


@pytest.mark.parametrize(
    "fields", [{"fading_correlation": 0.9}, {"rician_k_db": -30.0}, {"path_loss": "macro", "rician_k_db": None}]
)
def test_they_take_what_they_know(fields: dict[str, Any]) -> None:
    for name in YARDSTICKS:
        sfl_baselines.make(name, gym.make(ID, **fields))


class OwnChannel:
    """The scenario's channel in a class of the user's."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Any:
        return self.channel.initial(rng, n, num_devices)

    def step(self, state: Any, elapsed_s: np.ndarray, rng: np.random.Generator) -> Any:
        return self.channel.step(state, elapsed_s, rng)


def test_a_channel_of_ones_own_is_refused() -> None:
    own = OwnChannel(SFLEnv(fading="block").episodes.simulator.channel)
    with pytest.raises(PolicyError, match="the channel is one of the user's own"):
        sfl_baselines.make("statistics", SFLEnv(channel=own, csi_delay_rounds=1))


class WithoutLargeScale(DeviceRows):
    """Tells what the default encoder tells, but not of links without fading."""

    def decode(self, observation: Any) -> Any:
        return super().decode(observation)._replace(large_scale=None)


def test_an_encoder_that_tells_no_large_scale_is_named() -> None:
    rows: Any = gym.make(ID, num_devices=3).unwrapped
    encoder = WithoutLargeScale(rows.episodes.observation_encoder.num_cuts, False, with_large_scale=True)
    env = gym.make(ID, num_devices=3, observation=encoder)
    policy = sfl_baselines.make("statistics", env)
    with pytest.raises(PolicyError, match=r"WithoutLargeScale\.decode\(\) returns have no large_scale"):
        policy.predict(env.reset(seed=0)[0])


def test_an_encoder_without_a_way_back_is_named() -> None:
    env = gym.make(ID, num_devices=3)
    policy = ConditionsPolicy(env, Statistics)
    encoder: Any = type("OneWay", (), {})()
    policy.episodes.observation_encoder = encoder
    with pytest.raises(PolicyError, match=r"OneWay has no decode\(\)"):
        policy.predict(env.reset(seed=0)[0])


def test_draws_are_a_whole_number_from_2() -> None:
    episodes, _ = episodes_at(1)
    for wrong in (1, 0, 2.5, True):
        with pytest.raises(SolverError, match="draws"):
            SampleAverage(episodes, draws=wrong)  # type: ignore[arg-type]  # the mistake under test
