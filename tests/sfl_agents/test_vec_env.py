"""The adapter keeps the promises that Stable-Baselines3 builds on, as its own DummyVecEnv does."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import sfl_env
from sfl_agents.vec_env import SFLVecEnv
from sfl_env.errors import ScenarioError, StateError
from tests.sfl_env.boards import ON_BATTERY, end_when_all_are_empty

FIELDS: dict[str, Any] = {"num_devices": 3, "max_rounds": 4}


def batch(n: int = 2, **fields: Any) -> Any:
    return SFLVecEnv(sfl_env.SFLVectorEnv(n, autoreset_mode="SameStep", **(FIELDS | fields)))


def actions_for(env: Any, count: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1.0, 1.0, (count, env.num_envs, *env.action_space.shape)).astype(np.float32)


def test_one_environment_equals_dummy_vec_env_over_episodes() -> None:
    ours = batch(1)
    theirs = DummyVecEnv([lambda: Monitor(gym.make("SFL-v0", **FIELDS))])
    for env in (ours, theirs):
        env.seed(7)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for action in actions_for(ours, 10):
        got: Any = ours.step(action)
        wanted: Any = theirs.step(action)
        for mine, reference in zip(got[:3], wanted[:3], strict=True):
            np.testing.assert_array_equal(mine, reference)
            assert mine.dtype == reference.dtype
        mine, reference = got[3][0], wanted[3][0]
        assert mine.get("TimeLimit.truncated", False) == reference["TimeLimit.truncated"]
        assert ("terminal_observation" in mine) == ("terminal_observation" in reference)
        if "terminal_observation" in reference:
            np.testing.assert_array_equal(mine["terminal_observation"], reference["terminal_observation"])
            assert mine["episode"]["r"] == pytest.approx(reference["episode"]["r"], abs=1e-5)
            assert mine["episode"]["l"] == reference["episode"]["l"] == 4


def test_only_ended_episodes_have_infos_and_the_next_starts_at_once() -> None:
    env = batch(3)
    env.seed(0)
    env.reset()
    rewards = np.zeros(3)
    for step, action in enumerate(actions_for(env, 8), start=1):
        observation, reward, done, infos = env.step(action)
        rewards += reward
        assert done.all() == (step % 4 == 0)
        if not done.any():
            assert infos == [{}, {}, {}]
            continue
        for i, info in enumerate(infos):
            assert info["TimeLimit.truncated"] is True
            assert info["episode"]["r"] == pytest.approx(rewards[i], rel=1e-6, abs=1e-4)
            # Column 4 is the episode's progress: over in the last observation, at its start in the returned one.
            assert (info["terminal_observation"][:, 4] == 1.0).all()
            assert (observation[i][:, 4] == -1.0).all()
        rewards[:] = 0.0


def test_a_termination_is_no_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_all_are_empty(monkeypatch)
    env = batch(2, battery_share=1e-12, max_rounds=50, **ON_BATTERY)
    env.seed(0)
    env.reset()
    done, infos = env.step(actions_for(env, 1)[0])[2:]
    assert done.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [False, False]


def test_same_seed_same_rollout_and_a_seed_is_used_once() -> None:
    first, second = batch(), batch()
    first.seed(3)
    second.seed(3)
    np.testing.assert_array_equal(first.reset(), second.reset())
    assert not np.array_equal(first.reset(), batch().reset())
    first.seed(3)
    second.seed(4)
    assert not np.array_equal(first.reset(), second.reset())


def test_infos_of_the_batch_are_at_hand_as_arrays() -> None:
    env = batch()
    env.reset()
    _, reward, _, _ = env.step(actions_for(env, 1)[0])
    assert env.batch_infos["device_latency_s"].shape == (2, 3)
    np.testing.assert_allclose(env.batch_infos["reward_terms"]["latency"], reward, rtol=1e-6)


def test_attributes_and_methods() -> None:
    env = batch()
    env.reset()
    assert env.get_attr("scenario") == [env.envs.scenario] * 2
    assert env.get_attr("num_envs", indices=[1]) == [2]
    assert not env.has_attr("no_such_thing")
    problems = env.env_method("true_problem")
    whole = env.envs.true_problem()
    assert [problem.shape[0] for problem in problems] == [1, 1]
    np.testing.assert_array_equal(problems[1].fixed_s[0], whole.fixed_s[1])
    env.set_attr("note", "seen")
    assert env.get_attr("note", indices=0) == ["seen"]
    with pytest.raises(ScenarioError, match="share one batch"):
        env.set_attr("note", "half", indices=[0])


def test_wrapping() -> None:
    env = batch()
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]
    assert list(env.get_images()) == [None, None]
    wrapped = VecNormalize(batch())
    observation: Any = wrapped.reset()
    for action in actions_for(wrapped, 4):
        observation, _, _, infos = wrapped.step(action)
    assert observation.shape == (2, 3, env.observation_space.shape[1])
    assert "terminal_observation" in infos[0]
    env.close()


def test_stable_baselines_own_evaluation_counts_episodes_right() -> None:
    class Middle:
        def predict(
            self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
        ) -> tuple[Any, Any]:
            return np.zeros((len(observation), 3, 2), dtype=np.float32), state

    returns, lengths = evaluate_policy(Middle(), batch(2), n_eval_episodes=4, return_episode_rewards=True)
    assert lengths == [4, 4, 4, 4]
    assert all(value < 0.0 for value in cast(list[float], returns))


def test_other_autoreset_modes_are_refused() -> None:
    with pytest.raises(ScenarioError, match="autoreset_mode='SameStep'"):
        SFLVecEnv(sfl_env.SFLVectorEnv(2))


def test_a_step_before_the_first_reset_says_so() -> None:
    with pytest.raises(StateError, match="call reset first"):
        batch().step(np.zeros((2, 3, 2), np.float32))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.full((2, 3, 2), -128, np.int8), r"device 0 \(environment 0\) is .*-128"),
        (np.zeros((2, 3, 2), complex), "of type complex128"),
        (np.zeros((2, 3, 2), object), "of type object"),
        ([[[0.0]], [[0.0, 0.0]]], "NumPy makes no array of"),
        (None, "of type object"),
        (torch.zeros((2, 3, 2), requires_grad=True), "NumPy makes no array of: Can't call numpy"),
        (np.zeros((3, 2), np.float32), r"have to be \(2, 3, 2\)"),
    ],
)
def test_what_are_no_actions_is_named(actions: Any, message: str) -> None:
    env = batch()
    env.reset()
    with pytest.raises(sfl_env.DecisionError, match=message):
        env.step(actions)
    env.step(np.zeros((2, 3, 2), np.float32))


def test_lists_and_tensors_are_actions_as_arrays_are() -> None:
    actions = actions_for(batch(), 1)[0]
    results = []
    for given in (actions, actions.tolist(), torch.as_tensor(actions)):
        env = batch()
        env.seed(3)
        env.reset()
        results.append(env.step(given)[1])
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_wrapped_environments_are_refused() -> None:
    wrapped: Any = gym.wrappers.vector.NormalizeObservation(sfl_env.SFLVectorEnv(2))
    with pytest.raises(ScenarioError, match="without wrappers"):
        SFLVecEnv(wrapped)
