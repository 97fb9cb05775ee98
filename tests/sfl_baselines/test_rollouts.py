"""One loop plays all episodes: every policy meets the same devices and random numbers, whatever it does."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import sfl_baselines
from sfl_agents.training.evaluation import evaluate
from sfl_agents.vec_env import SFLVecEnv
from sfl_baselines.environments import make_batch, make_single
from sfl_baselines.rollouts import play, play_to_the_end
from tests.sfl_env.boards import ON_BATTERY, end_when_all_are_empty

SMALL = {"num_devices": 4, "max_rounds": 5}


FROZEN: dict[str, Any] = {"mobility": "static", "blockage_fraction": 0.0, "availability_levels": (0.8,)}
"""Nothing changes by the time that rounds last; block fading changes by their number."""

OTHERS = ("federated", "random")


def played_with(name: str, env_id: str, fields: Any, rounds: int = 8, n: int = 3) -> list[Any]:
    envs = make_batch(env_id, n, fields)
    return list(itertools.islice(play(sfl_baselines.make(name, envs), envs.episodes, seed=5), rounds))


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Phones-v0", "SFL-StaleCSI-v0", "SFL-Battery-v0"])
def test_every_policy_meets_the_same_devices_and_starts_from_the_same_channels(env_id: str) -> None:
    ours = played_with("exact", env_id, {})
    for other in OTHERS:
        theirs = played_with(other, env_id, {})
        np.testing.assert_array_equal(np.stack(ours[0].true[:5]), np.stack(theirs[0].true[:5]))
        for one, another in zip(ours, theirs, strict=True):
            for name in ("samples", "deepest_cut"):
                np.testing.assert_array_equal(getattr(one.true, name), getattr(another.true, name))
            # Speeds go up and down with what is free, all of a device's alike.
            for name in ("backward_flops_per_s", "forward_bytes_per_s", "backward_bytes_per_s"):
                slower = [getattr(each, name) / each.forward_flops_per_s for each in (one.true, another.true)]
                np.testing.assert_allclose(slower[0], slower[1], rtol=1e-12)


@pytest.mark.parametrize("mobility", ["random-waypoint", "gauss-markov"])
def test_every_policy_meets_the_same_random_numbers(mobility: str) -> None:
    def drawn(name: str) -> list[Any]:
        envs = make_batch("SFL-v0", 3, {"mobility": mobility, "fading": "block"})
        rounds = itertools.islice(play(sfl_baselines.make(name, envs), envs.episodes, seed=5), 8)
        return [envs.episodes.now.state.channel.fading.scatter for _ in rounds]

    for other in OTHERS:
        np.testing.assert_array_equal(drawn("exact"), drawn(other))


def test_every_policy_meets_the_same_channels_where_they_do_not_move_by_the_time() -> None:
    def met(name: str) -> list[Any]:
        return [np.stack(played.true[:5]) for played in played_with(name, "SFL-v0", FROZEN | {"fading": "block"})]

    for other in OTHERS:
        np.testing.assert_array_equal(met("exact"), met(other))


def test_episodes_that_end_early_draw_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_all_are_empty(monkeypatch)
    fields = FROZEN | {"fading": "block", "battery_share": 0.008, **ON_BATTERY, "max_rounds": 20}

    def met(name: str) -> tuple[list[Any], list[int]]:
        rounds = played_with(name, "SFL-Battery-v0", fields, 20, n=6)
        return [played.true.uplink_snr_hz for played in rounds], [int(played.running.sum()) for played in rounds]

    (ours, still), (theirs, others_still) = met("federated"), met("shallow")
    assert still != others_still
    np.testing.assert_array_equal(ours, theirs)


def test_playing_is_what_the_environment_does_step_by_step() -> None:
    env = make_single("SFL-v0", SMALL)
    policy = sfl_baselines.make("equal-bandwidth", env)
    played = list(play_to_the_end(policy, env.episodes, seed=3))
    assert len(played) == SMALL["max_rounds"]
    observation, _ = env.reset(seed=3)
    for ours in played:
        observation, reward, terminated, truncated, info = env.step(policy.predict(observation)[0])
        assert (ours.done.reward[0], ours.done.terminated[0], ours.done.truncated[0]) == (
            reward,
            terminated,
            truncated,
        )
        np.testing.assert_array_equal(ours.done.observation[0], observation)
        assert ours.done.infos["latency_s"][0] == info["latency_s"]


def test_an_evaluation_is_the_mean_over_episodes_and_rounds() -> None:
    batch = make_batch("SFL-v0", 3, SMALL, info_optimum=True)
    policy = sfl_baselines.make("equal-bandwidth", batch)
    found = evaluate(policy, batch, seed=9)
    observation, _ = batch.reset(seed=9)
    rewards, latencies, ratios = [], [], []
    for _ in range(SMALL["max_rounds"]):
        observation, reward, _, _, infos = batch.step(policy.predict(observation)[0])
        rewards.append(reward)
        latencies.append(infos["latency_s"])
        ratios.append(infos["latency_s"] / infos["optimal_latency_s"])
    assert found.mean_return == pytest.approx(np.sum(rewards, axis=0).mean(), rel=1e-12)
    assert found.mean_latency_s == pytest.approx(np.mean(latencies), rel=1e-12)
    assert found.mean_ratio == pytest.approx(np.mean(ratios), rel=1e-12)


def test_sb3s_evaluate_policy_runs_baselines_on_the_batch() -> None:
    envs = SFLVecEnv(make_batch("SFL-v0", 3, SMALL, autoreset_mode="SameStep"))
    envs.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the batch reports episodes itself, without SB3's Monitor
        returns = {
            name: evaluate_policy(sfl_baselines.make(name, envs), envs, n_eval_episodes=3)[0]
            for name in ("oracle", "federated")
        }
    assert 0.0 > float(np.mean(returns["oracle"])) > float(np.mean(returns["federated"]))
