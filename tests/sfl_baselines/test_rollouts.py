"""One loop plays all episodes: every policy meets the same conditions, whatever it does."""

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

SMALL = {"num_devices": 4, "max_rounds": 5}


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Phones-v0", "SFL-StaleCSI-v0", "SFL-Battery-v0"])
def test_every_policy_meets_the_same_channels_and_devices(env_id: str) -> None:
    def met(name: str) -> list[Any]:
        envs = make_batch(env_id, 3)
        rounds = itertools.islice(play(sfl_baselines.make(name, envs), envs.episodes, seed=5), 8)
        return [np.stack(played.true[:5]) for played in rounds]

    for other in ("federated", "random"):
        np.testing.assert_array_equal(met("exact"), met(other))


def test_episodes_that_end_early_draw_nothing_from_the_others() -> None:
    def met(name: str) -> tuple[list[Any], list[int]]:
        envs = make_batch("SFL-Battery-v0", 6, {"battery_j": 60.0, "max_rounds": 20})
        rounds = list(itertools.islice(play(sfl_baselines.make(name, envs), envs.episodes, seed=0), 20))
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
