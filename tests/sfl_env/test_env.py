"""The single environment: what an episode is, what infos hold, what the tiers change."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sfl_env import Decision, SFLEnv
from sfl_env.optimum.joint import solve_exact
from sfl_env.presets import PRESETS
from sfl_env.rounds.latency import PHASES
from tests.sfl_env.boards import ON_BATTERY
from tests.sfl_env.shared import assert_same

IDS = tuple(PRESETS)


def make(env_id: str = "SFL-v0", **fields: Any) -> SFLEnv:
    env = gym.make(env_id, **fields).unwrapped
    assert isinstance(env, SFLEnv)
    return env


def rollout(env: SFLEnv, seed: int, rounds: int) -> list[Any]:
    """Everything that an episode under random actions gives back."""
    env.action_space.seed(seed)
    seen: list[Any] = [env.reset(seed=seed)]
    for _ in range(rounds):
        seen.append(env.step(env.action_space.sample()))
    return seen


@pytest.mark.parametrize("env_id", IDS)
def test_the_same_seed_gives_the_same_episode(env_id: str) -> None:
    assert_same(rollout(make(env_id), 3, 12), rollout(make(env_id), 3, 12))


@pytest.mark.parametrize("env_id", IDS)
def test_different_seeds_give_different_episodes(env_id: str) -> None:
    env = make(env_id)
    first, _ = env.reset(seed=3)
    other, _ = env.reset(seed=4)
    assert not np.array_equal(first, other)


def test_a_second_episode_goes_on_from_the_first_ones_randomness() -> None:
    env = make()
    first, _ = env.reset(seed=3)
    second, _ = env.reset()
    again, _ = make().reset(seed=3)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)


def test_the_return_is_minus_the_total_time_over_the_reference() -> None:
    env = make(reference_latency_s=7.5, max_rounds=15)
    steps = rollout(env, 0, 15)[1:]
    total_reward = sum(step[1] for step in steps)
    total_s = sum(step[4]["latency_s"] for step in steps)
    assert total_reward == pytest.approx(-total_s / 7.5, rel=1e-12)


def test_the_reward_is_the_sum_of_its_named_terms() -> None:
    env = make("SFL-Battery-v0", energy_weight=0.5, dropout_weight=2.0, battery_share=0.01)
    for _, reward, *_, info in rollout(env, 1, 10)[1:]:
        terms = info["reward_terms"]
        assert set(terms) == {"latency", "energy", "dropout"}
        assert reward == pytest.approx(sum(terms.values()), rel=1e-12)
        assert terms["energy"] == pytest.approx(
            -0.5 * info["energy_j"].mean() / env.scenario.reference_energy_j, rel=1e-12
        )


def test_an_episode_is_truncated_at_its_round_limit_and_not_before() -> None:
    steps = rollout(make(max_rounds=4), 0, 4)[1:]
    assert [step[3] for step in steps] == [False, False, False, True]
    assert not any(step[2] for step in steps)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_observations_stay_in_their_space(env_id: str, action_mode: str) -> None:
    env = make(env_id, action_mode=action_mode)
    for observation, *_ in rollout(env, 5, 20):
        assert env.observation_space.contains(observation)


@pytest.mark.parametrize("env_id", [name for name in IDS if name != "SFL-Barrier-v0"])
def test_the_round_is_its_straggler_and_a_devices_time_the_sum_of_its_phases(env_id: str) -> None:
    env = make(env_id)
    for *_, info in rollout(env, 2, 8)[1:]:
        assert info["phase_latency_s"].shape[-1] == len(PHASES)
        assert (info["phase_latency_s"] >= 0.0).all()
        np.testing.assert_allclose(info["phase_latency_s"].sum(axis=-1), info["device_latency_s"], rtol=1e-12)
        assert info["latency_s"] == min(info["device_latency_s"].max(), env.scenario.deadline_s or np.inf)


@pytest.mark.parametrize("env_id", [name for name in IDS if name != "SFL-Barrier-v0"])
@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_infos_are_what_the_true_problem_says_of_the_decision(env_id: str, action_mode: str) -> None:
    env = make(env_id, action_mode=action_mode)
    env.action_space.seed(0)
    env.reset(seed=6)
    for _ in range(6):
        problem = env.true_problem()
        *_, info = env.step(env.action_space.sample())
        decision = Decision(info["cut"][None], info["bandwidth_share"][None])
        problem.check(decision)
        np.testing.assert_allclose(problem.device_latency_s(decision)[0], info["device_latency_s"], rtol=1e-12)
        straggler_s = problem.as_parallel().latency_s(decision)[0]
        waited_s = min(straggler_s, env.scenario.deadline_s or np.inf)
        np.testing.assert_allclose(waited_s, info["latency_s"], rtol=1e-12)


@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_all_of_the_band_is_given_out_and_no_more(action_mode: str) -> None:
    for *_, info in rollout(make(action_mode=action_mode), 2, 10)[1:]:
        assert (info["bandwidth_share"] >= 0.0).all()
        assert info["bandwidth_share"].sum() == pytest.approx(1.0, abs=1e-9)


def test_no_round_is_faster_than_its_optimum() -> None:
    env = make(info_optimum=True)
    for *_, info in rollout(env, 8, 20)[1:]:
        assert info["regret_s"] == info["latency_s"] - info["optimal_latency_s"]
        assert info["latency_s"] >= info["optimal_latency_s"] * (1.0 - 1e-9)


def test_the_optimum_acted_through_the_action_space_is_the_optimum() -> None:
    env = make(info_optimum=True)
    env.reset(seed=9)
    for _ in range(10):
        solution = solve_exact(env.observed_problem())
        *_, info = env.step(env.episodes.action_encoder.encode(solution.decision, env.episodes.now.observed)[0])
        assert abs(info["regret_s"]) <= 1e-5 * info["optimal_latency_s"]


def test_in_cut_mode_the_band_is_split_so_that_devices_finish_together() -> None:
    for *_, info in rollout(make(action_mode="cut"), 4, 5)[1:]:
        np.testing.assert_allclose(info["device_latency_s"], info["latency_s"], rtol=1e-6)


# Memory


def test_memory_bounds_the_cut_and_the_info_says_so() -> None:
    env = make(model="vgg16-224", device_types=["pi-zero-2", "laptop"], device_weights=[1, 1], batch_size=2)
    env.reset(seed=0)
    deepest = np.isfinite(env.true_problem().fixed_s[0]).sum(axis=-1) - 1
    last = env.profile.num_cuts - 1
    # Half of the installed memory holds three copies of the parameters of some layers, but not of all.
    assert (deepest < last).any()
    assert (deepest == last).any()
    action = np.zeros((len(deepest), 2), np.float32)
    action[:, 0] = 1.0
    *_, info = env.step(action)
    np.testing.assert_array_equal(info["cut"], deepest)
    np.testing.assert_array_equal(info["cut_limited"], deepest < last)


# Stale CSI


@pytest.mark.parametrize("delay", [1, 3])
def test_a_stale_observation_shows_the_channel_of_earlier_rounds(delay: int) -> None:
    env = make(csi_delay_rounds=delay)
    observation, _ = env.reset(seed=1)
    true_snr, true_down = [], []
    for now in range(8):
        true, observed = env.true_problem(), env.observed_problem()
        true_snr.append(true.uplink_snr_hz)
        true_down.append(true.downlink_full_rate_bps)
        shown = env.episodes.problem_of(observation[None])
        if now >= delay:
            np.testing.assert_array_equal(observed.uplink_snr_hz, true_snr[now - delay])
            np.testing.assert_array_equal(observed.downlink_full_rate_bps, true_down[now - delay])
            np.testing.assert_allclose(shown.uplink_snr_hz, true_snr[now - delay], rtol=1e-5)
        assert not np.array_equal(observed.uplink_snr_hz, true.uplink_snr_hz)
        # Everything but the channel is known as it is.
        np.testing.assert_array_equal(observed.fixed_s, true.fixed_s)
        observation, *_ = env.step(env.action_space.sample())


def test_without_delay_the_observed_problem_is_the_true_one() -> None:
    env = make()
    env.reset(seed=1)
    np.testing.assert_array_equal(env.observed_problem().uplink_snr_hz, env.true_problem().uplink_snr_hz)


# Batteries


def test_energy_drains_batteries_and_empty_devices_leave() -> None:
    env = make("SFL-Battery-v0", battery_share=0.03, num_devices=6, **ON_BATTERY)
    env.reset(seed=2)
    devices = env.episodes.now.state.setup.devices
    full = left = 0.03 * devices.battery_j[0]
    rounds_without_anybody = 0
    for number in range(1, 201):
        active = left > 0.0
        action = np.zeros((6, 2), np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        out = ~active
        rounds_without_anybody += bool(out.all())
        for gone in ("device_latency_s", "energy_j", "bandwidth_share"):
            assert (info[gone][out] == 0.0).all()
        assert (info["phase_latency_s"][out] == 0.0).all()
        assert (info["energy_j"][active] > 0.0).all()
        assert info["bandwidth_share"].sum() == pytest.approx(float(active.any()))
        waiting_j = devices.idle_w[0] * info["latency_s"] * active
        left = np.maximum(left - (info["energy_j"] - waiting_j), 0.0)
        # Columns of the observation: takes part, and what is left.
        np.testing.assert_allclose((observation[:, 11] + 1.0) / 2.0, left / full, atol=1e-6)
        np.testing.assert_array_equal(observation[:, 10] > 0.0, left > 0.0)
        # Whoever has left is paid for to the last round, and nobody's leaving ends the episode.
        assert reward == pytest.approx(
            -info["latency_s"] / env.episodes.reference_latency_s
            - env.scenario.charged_for_dropouts * (left == 0.0).mean()
        )
        assert not terminated
        assert truncated == (number >= env.scenario.max_rounds)
        if rounds_without_anybody == 2:
            break
    assert rounds_without_anybody == 2


def test_a_round_without_devices_lasts_the_servers_wait_and_costs_no_energy() -> None:
    env = make("SFL-Battery-v0", battery_share=1e-12, num_devices=3, **ON_BATTERY)
    env.reset(seed=2)
    env.step(np.zeros((3, 2), np.float32))
    *_, terminated, _, info = env.step(np.zeros((3, 2), np.float32))
    assert not terminated
    assert info["latency_s"] == env.scenario.outage_wait_s
    assert not info["takes_part"].any()
    assert (info["energy_j"] == 0.0).all()


# Stages


def test_waiting_for_each_other_more_often_never_shortens_a_round() -> None:
    # With the server's time out of the way: its jobs in turn may be faster than side by side.
    action = np.random.default_rng(0).uniform(-1.0, 1.0, (10, 2)).astype(np.float32)
    for seed in range(5):
        infos = []
        for barriers in ("none", "adaptsfl", "every-phase"):
            env = make(barriers=barriers, server_flops_per_s=1e21)
            env.reset(seed=seed)
            infos.append(env.step(action)[-1])
        for free, bound in itertools.pairwise(infos):
            others = [0, 1, 2, 4, 5, 6]  # all phases but the server's
            np.testing.assert_array_equal(free["phase_latency_s"][:, others], bound["phase_latency_s"][:, others])
            assert bound["latency_s"] >= free["latency_s"] * (1.0 - 1e-9)


def test_infos_hold_no_clock_time_and_no_key_of_a_wrapper() -> None:
    *_, info = rollout(make(), 0, 1)[-1]
    assert set(info) == {
        "latency_s",
        "device_latency_s",
        "phase_latency_s",
        "cut",
        "cut_limited",
        "bandwidth_share",
        "energy_j",
        "takes_part",
        "reward_terms",
    }


def test_stepping_past_the_last_round_stays_within_the_observation_space() -> None:
    env = make("SFL-v0", max_rounds=2)
    env.reset(seed=0)
    for _ in range(4):
        observation, _, _, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
    assert truncated
