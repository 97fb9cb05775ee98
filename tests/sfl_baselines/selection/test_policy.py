"""Policies that leave devices out, as they come to through environments."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import HELD_OUT_SEED
from sfl_baselines.selection import solve_selection
from sfl_env import Scenario
from sfl_env.errors import PolicyError

SELECTING = ("selection", "fedcs")


def played(name: str, count: int = 3, n: int = 16, **fields: Any) -> Any:
    """Yield each round's problem, samples and infos."""
    envs = gym.make_vec("SFL-Deadline-v0", num_envs=n, **fields)
    episodes = cast(Any, envs.unwrapped).episodes
    policy = sfl_baselines.make(name, envs)
    observation, _ = envs.reset(seed=HELD_OUT_SEED)
    for _ in range(count):
        problem, samples = episodes.true_problem(), episodes.now.true.samples
        observation, reward, _, _, infos = envs.step(policy.predict(observation)[0])
        yield problem, samples, reward, infos


def test_through_the_action_space_selection_has_all_samples_in_time_that_can_be() -> None:
    best = np.zeros(2)
    for problem, samples, reward, infos in played("selection"):
        found = solve_selection(problem, samples, 90.0)
        assert found.is_proven.all()
        in_time = (samples * infos["takes_part"]).sum(axis=1)
        assert (in_time <= found.bound_samples).all()
        best += [(in_time == found.bound_samples).sum(), len(in_time)]
        # The reward says so: the round's length, and what is missed.
        missed = 1.0 - in_time / samples.sum(axis=1)
        np.testing.assert_allclose(infos["reward_terms"]["missed"], -1.5 * missed, rtol=1e-12, atol=1e-12)
        terms = infos["reward_terms"]
        np.testing.assert_allclose(reward, terms["latency"] + terms["missed"], rtol=1e-12)
    assert best[0] >= 0.95 * best[1]  # but where the last thousandth of the band decides


@pytest.mark.parametrize("name", SELECTING)
def test_who_is_left_out_is_late_and_holds_next_to_nothing(name: str) -> None:
    for _, _, _, infos in played(name, count=6):
        out, share = ~infos["takes_part"], infos["bandwidth_share"]
        least = np.exp(-10.0) * share.max(axis=1, keepdims=True)
        np.testing.assert_array_equal(out, share <= 1.001 * least)  # nobody else is late, not even by a hair
        assert 0 < out.sum() < out.size
        assert (infos["device_latency_s"][out] > 90.0).all()
        assert (np.where(out, share, 0.0).sum(axis=1) < 10 * np.exp(-10.0)).all()
        somebody = out.any(axis=1)
        assert (infos["latency_s"][somebody] == 90.0).all()
        assert (infos["latency_s"][~somebody] < 90.0).all()


def test_selection_is_ahead_of_fedcs_and_that_of_who_waits_for_all() -> None:
    totals = {}
    for name in (*SELECTING, "equal-bandwidth", "exact"):
        totals[name] = float(np.mean([reward for _, _, reward, _ in played(name)]))
    assert sorted(totals, key=totals.__getitem__, reverse=True) == list(totals)


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("fields", [{}, {"barriers": "adaptsfl"}, {"schedule": "sequence", "deadline_s": 9.0}])
def test_without_a_deadline_to_select_for_they_are_refused(name: str, fields: dict[str, Any]) -> None:
    env = gym.make("SFL-v0", **fields)
    assert name not in sfl_baselines.names(Scenario(**fields))
    with pytest.raises(
        PolicyError, match=rf"'{name}' is for .* deadline: .*SFL-Deadline-v0.*there are oracle, exact"
    ):
        sfl_baselines.make(name, env)


def test_the_queue_of_splitfed_v2_is_refused() -> None:
    fields: dict[str, Any] = {"mode": "accuracy", "server": "splitfed-v2", "deadline_s": 1.0}
    with pytest.raises(PolicyError, match="server='splitfed-v2'"):
        sfl_baselines.make("selection", gym.make("SFL-v0", **fields))


@pytest.mark.parametrize("name", SELECTING)
def test_one_and_many_are_decided_alike(name: str) -> None:
    env, envs = gym.make("SFL-Deadline-v0"), gym.make_vec("SFL-Deadline-v0", num_envs=4)
    one, many = sfl_baselines.make(name, env), sfl_baselines.make(name, envs)
    observations, _ = envs.reset(seed=3)
    actions = many.predict(observations)[0]
    for observation, action in zip(observations, actions, strict=True):
        np.testing.assert_array_equal(one.predict(observation)[0], action)


@pytest.mark.parametrize("name", SELECTING)
def test_empty_batteries_are_not_selected(name: str) -> None:
    envs = gym.make_vec("SFL-Deadline-v0", num_envs=8, battery_share=0.01)
    episodes = cast(Any, envs.unwrapped).episodes
    policy = sfl_baselines.make(name, envs)
    observation, _ = envs.reset(seed=0)
    for _ in range(12):
        transition = episodes.step(policy.predict(observation)[0], envs.unwrapped.np_random)
        observation = transition.observation
    there = episodes.now.true.takes_part
    assert there.any()
    assert not there.all()
    infos = episodes.step(policy.predict(observation)[0], envs.unwrapped.np_random).infos
    assert (infos["bandwidth_share"][~there] == 0.0).all()
    assert not infos["takes_part"][~there].any()
    # Their samples are missed, too.
    samples = episodes.now.true.samples
    missed = (samples * ~infos["takes_part"]).sum(axis=1) / samples.sum(axis=1)
    np.testing.assert_allclose(infos["reward_terms"]["missed"], -1.5 * missed, rtol=1e-12)


def test_where_somebody_is_left_out_the_selected_learn() -> None:
    found = {}
    for name in ("selection", "exact"):
        env = gym.make("SFL-Accuracy-v0", deadline_s=0.8, target_accuracy=None, torch_device="cpu")
        policy = sfl_baselines.make(name, env)
        observation, info = env.reset(seed=HELD_OUT_SEED)
        before, took_part = info["accuracy"], []
        for _ in range(6):
            observation, *_, info = env.step(policy.predict(observation)[0])
            took_part.append(info["takes_part"].mean())
        found[name] = float(info["accuracy"] - before), float(np.mean(took_part))
    assert found["selection"][1] > 0.5 > found["exact"][1]
    assert found["selection"][0] > found["exact"][0] + 0.1
