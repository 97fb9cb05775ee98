"""Baseline policies see what an agent sees and act as an agent acts, in every environment."""

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import sfl_baselines
import sfl_env
from sfl_baselines.rules import deepest_fitting, equal_shares
from sfl_env import Decision, Scenario
from sfl_env.errors import PolicyError
from sfl_env.presets import PRESETS
from sfl_env.spaces.observation import DeviceRows
from sfl_env.spaces.parts import ACTION_MODES
from tests.ids import BATCHED_IDS
from tests.sfl_env.boards import ON_BATTERY

IDS = sorted(BATCHED_IDS)
LATENCY_IDS = [name for name in IDS if Scenario(**PRESETS[name].fields).optimum_is_known]
IN_PARALLEL = sfl_baselines.names(Scenario())
DECIDING = [name for name in IN_PARALLEL if name != "random"]
"""Baselines that look at what they decide about."""

CURRENT_CSI_IDS = [name for name in LATENCY_IDS if not PRESETS[name].fields.get("csi_delay_rounds")]


def rounds(env_id: str, policy: str, count: int = 5, n: int = 8, **fields: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the rounds' true optima and what the policy came to, (n,) each."""
    envs = gym.make_vec(env_id, num_envs=n, **fields)
    decide = sfl_baselines.make(policy, envs)
    observation, _ = envs.reset(seed=7)
    for _ in range(count):
        optimum_s = sfl_baselines.solve_exact(cast(Any, envs.unwrapped).true_problem()).latency_s
        action, _ = decide.predict(observation)
        observation, _, _, _, infos = envs.step(action)
        yield optimum_s, infos


@pytest.mark.parametrize("mode", ACTION_MODES)
@pytest.mark.parametrize("env_id", IDS)
def test_every_policy_acts_in_every_environment(env_id: str, mode: str) -> None:
    env = gym.make(env_id, action_mode=mode, max_rounds=3)
    envs = gym.make_vec(env_id, num_envs=3, action_mode=mode, max_rounds=3)
    for name in IN_PARALLEL:
        observation, _ = env.reset(seed=1)
        observations, _ = envs.reset(seed=1)
        single, batch = sfl_baselines.make(name, env), sfl_baselines.make(name, envs)
        for _ in range(2):
            action, state = single.predict(observation)
            assert env.action_space.contains(action), name
            assert state is None
            observation, _, _, _, info = env.step(action)
            assert np.isfinite(info["latency_s"]), name
            actions, _ = batch.predict(observations)
            assert envs.action_space.contains(actions), name
            observations, _, _, _, infos = envs.step(actions)
            running = infos["_latency_s"]  # rounds of random shares may empty all batteries
            assert np.isfinite(infos["latency_s"][running]).all(), name
            assert name == "random" or not infos["cut_limited"].any(), name


@pytest.mark.parametrize("env_id", CURRENT_CSI_IDS)
def test_a_solver_loses_nothing_by_acting_through_the_public_spaces(env_id: str) -> None:
    for optimum_s, infos in rounds(env_id, "exact"):
        running = infos["_latency_s"]  # others are started again, where episodes are a single round
        assert (infos["latency_s"][running] / optimum_s[running] - 1 < 1e-5).all()


@pytest.mark.parametrize("name", IN_PARALLEL)
@pytest.mark.parametrize("env_id", LATENCY_IDS)
def test_nothing_beats_the_optimum(env_id: str, name: str) -> None:
    for optimum_s, infos in rounds(env_id, name, count=3):
        running = infos["_latency_s"]
        assert (infos["latency_s"][running] >= optimum_s[running] * (1 - 1e-9)).all()


def test_alternating_is_exact_where_all_devices_are_equalised() -> None:
    for (_, alternating), (_, exact) in zip(
        rounds("SFL-v0", "alternating"), rounds("SFL-v0", "exact"), strict=True
    ):
        finished_s = exact["device_latency_s"]
        assert np.ptp(finished_s, axis=-1).max() < 1e-4 * finished_s.max()
        np.testing.assert_allclose(alternating["latency_s"], exact["latency_s"], rtol=1e-6)


def test_the_oracle_beats_the_optimum_for_an_old_channel() -> None:
    for (optimum_s, oracle), (_, exact) in zip(
        rounds("SFL-StaleCSI-v0", "oracle"), rounds("SFL-StaleCSI-v0", "exact"), strict=True
    ):
        np.testing.assert_allclose(oracle["latency_s"], optimum_s, rtol=1e-5)
        assert oracle["latency_s"].mean() < 0.99 * exact["latency_s"].mean()


@pytest.mark.parametrize("name", ["exact", "oracle", "federated", "random"])
def test_sb3s_evaluate_policy_runs_baselines(name: str) -> None:
    env = gym.make("SFL-v0", max_rounds=4)
    policy = sfl_baselines.make(name, env)
    env.reset(seed=0)
    mean, deviation = evaluate_policy(policy, env, n_eval_episodes=2, warn=False)
    assert cast(float, mean) < 0
    assert cast(float, deviation) > 0


@pytest.mark.parametrize("name", DECIDING)
def test_devices_with_empty_batteries_get_no_band_until_all_are_empty(name: str) -> None:
    # Whole networks on the devices would empty all small batteries in one round.
    envs = gym.make_vec(
        "SFL-Battery-v0", num_envs=4, battery_share=0.05 if name == "federated" else 0.01, **ON_BATTERY
    )
    episodes = cast(Any, envs.unwrapped).episodes
    decide = sfl_baselines.make(name, envs)
    observation, _ = envs.reset(seed=0)
    rounds_with_some_out = 0
    for _ in range(100):
        active = episodes.now.true.takes_part
        rounds_with_some_out += int((active.any(axis=-1) & ~active.all(axis=-1)).any())
        optimum_s = sfl_baselines.solve_exact(episodes.true_problem()).latency_s
        # Past the environment's interface, which would start new episodes before all batteries are empty.
        transition = episodes.step(decide.predict(observation)[0], envs.unwrapped.np_random)
        observation, infos = transition.observation, transition.infos
        assert (infos["bandwidth_share"][~active] == 0).all()
        assert (infos["latency_s"] >= optimum_s * (1 - 1e-9)).all()
    assert rounds_with_some_out
    assert not episodes.now.true.takes_part.any()


def test_the_single_environment_and_a_batch_of_one_are_decided_alike() -> None:
    env = gym.make("SFL-v0")
    observation, _ = env.reset(seed=5)
    for name in IN_PARALLEL:
        policy = sfl_baselines.make(name, env, seed=3)
        again = sfl_baselines.make(name, env, seed=3)
        np.testing.assert_array_equal(policy.predict(observation)[0], again.predict(observation[None])[0][0])


def test_the_same_cut_means_the_same_cut() -> None:
    fields: dict[str, Any] = {"device_types": ("laptop",), "device_weights": (1.0,)}
    num_cuts = cast(Any, gym.make("SFL-v0", **fields)).unwrapped.episodes.simulator.workload.num_cuts
    for _, infos in rounds("SFL-v0", "common-cut", **fields):
        assert (infos["cut"] == infos["cut"][:, :1]).all()
    for _, infos in rounds("SFL-v0", "federated", **fields):
        assert (infos["cut"] == num_cuts - 1).all()
    for _, infos in rounds("SFL-v0", "shallow", **fields):
        assert (infos["cut"] == 0).all()
    for _, infos in rounds("SFL-v0", "equal-bandwidth", **fields):
        np.testing.assert_allclose(infos["bandwidth_share"], 0.1)


@pytest.mark.parametrize("env_id", [name for name in IDS if not PRESETS[name].fields.get("csi_delay_rounds")])
def test_what_a_scenario_is_said_to_have_can_be_made_there(env_id: str) -> None:
    env = gym.make(env_id)
    named = sfl_baselines.names(Scenario(**PRESETS[env_id].fields))
    for name in named:
        sfl_baselines.make(name, env)
    assert ("time-to-accuracy" in named) == (env_id == "SFL-TimeToAccuracy-v0")


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_a_seed_that_is_none_is_named(seed: Any) -> None:
    with pytest.raises(PolicyError, match="seed is"):
        sfl_baselines.make("random-decision", gym.make("SFL-v0"), seed)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(PolicyError, match=r"'exat' \(did you mean 'exact'\?\); known are oracle, "):
        sfl_baselines.make("exat", gym.make("SFL-v0"))


def test_environments_of_other_packages_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"CartPole.*no environment of sfl_env's"):
        sfl_baselines.make("exact", gym.make("CartPole-v1"))


def test_an_oracle_decides_all_of_its_environment_at_once() -> None:
    envs = gym.make_vec("SFL-v0", num_envs=3)
    observation, _ = envs.reset(seed=0)
    with pytest.raises(PolicyError, match="given 2 observations and its environment runs 3"):
        sfl_baselines.make("oracle", envs).predict(observation[:2])


class OneWay(DeviceRows):
    """An encoder of features that cannot be turned back."""

    def decode(self, observation: Any) -> Any:
        raise NotImplementedError


def test_encoders_without_a_way_back_are_named() -> None:
    num_cuts = cast(Any, gym.make("SFL-v0")).unwrapped.episodes.simulator.workload.num_cuts
    env = gym.make("SFL-v0", observation=OneWay(num_cuts, with_battery=False))
    observation, _ = env.reset(seed=0)
    with pytest.raises(PolicyError, match=r"observation encoder OneWay has no decode\(\)"):
        sfl_baselines.make("exact", env).predict(observation)


class Part:
    """Some of the methods of another encoder, and no others."""

    def __init__(self, whole: Any, *methods: str) -> None:
        for name in methods:
            setattr(self, name, getattr(whole, name))


@pytest.mark.parametrize("policy", [name for name in DECIDING if name != "oracle"])
def test_an_observation_encoder_without_the_method_back_is_named(policy: str) -> None:
    whole = cast(Any, gym.make("SFL-v0")).unwrapped.episodes.observation_encoder
    env = gym.make("SFL-v0", observation=Part(whole, "space", "per_episode", "per_round"))
    observation, _ = env.reset(seed=0)
    with pytest.raises(PolicyError, match=r"observation encoder Part has no decode\(\)"):
        sfl_baselines.make(policy, env).predict(observation)


@pytest.mark.parametrize("policy", DECIDING)
def test_an_action_encoder_without_the_method_back_is_named(policy: str) -> None:
    whole = cast(Any, gym.make("SFL-v0")).unwrapped.episodes.action_encoder
    env = gym.make("SFL-v0", action=Part(whole, "space", "decode"))
    observation, _ = env.reset(seed=0)
    with pytest.raises(PolicyError, match=r"action encoder Part has no encode\(\)"):
        sfl_baselines.make(policy, env).predict(observation)


def test_a_users_rule_becomes_a_policy() -> None:
    env = gym.make("SFL-v0", num_devices=4)

    def last_cut(problem: sfl_env.RoundProblem) -> sfl_env.Decision:
        n, k, _ = problem.shape
        return sfl_env.Decision(np.zeros((n, k), dtype=int), np.full((n, k), 1 / k))

    observation, _ = env.reset(seed=0)
    action, _ = sfl_baselines.RulePolicy(env, last_cut).predict(observation)
    np.testing.assert_allclose(env.step(action)[4]["bandwidth_share"], 0.25)


def test_the_rule_of_the_example_does_what_its_sentence_says() -> None:
    sentence = "leaves three blocks on every device, or as many as fit"
    assert sentence in " ".join((sfl_baselines.RulePolicy.__doc__ or "").split())
    envs: Any = gym.make_vec("SFL-v0", num_envs=50)
    policy = sfl_baselines.RulePolicy(envs, lambda p: Decision(deepest_fitting(p, 2), equal_shares(p)))
    observation, _ = envs.reset(seed=0)
    fitting = envs.unwrapped.episodes.now.observed.deepest_cut
    cut = envs.step(policy.predict(observation)[0])[4]["cut"]
    np.testing.assert_array_equal(cut, np.minimum(2, fitting))  # the third block's cut


def everyone_at(cut: int, problem: sfl_env.RoundProblem) -> sfl_env.Decision:
    shape = problem.shape[:2]
    return sfl_env.Decision(np.full(shape, cut), np.full(shape, 0.25))


def test_sequential_is_the_optimum_where_devices_take_turns() -> None:
    envs = gym.make_vec("SFL-v0", num_envs=6, schedule="sequence", num_devices=4)
    observation, _ = envs.reset(seed=2)
    cuts = cast(Any, envs.unwrapped).true_problem().shape[-1]
    seconds = {}
    for name in ("sequential", "exact", "common-cut"):
        observation, _ = envs.reset(seed=2)
        infos = envs.step(sfl_baselines.make(name, envs).predict(observation)[0])[4]
        seconds[name] = infos["latency_s"]
        np.testing.assert_array_equal(infos["bandwidth_share"], 1.0)
        np.testing.assert_allclose(infos["latency_s"], infos["device_latency_s"].sum(axis=-1))
    # Whatever cut all take: each device's own is at least as fast.
    for cut in range(cuts):
        observation, _ = envs.reset(seed=2)
        one = sfl_baselines.RulePolicy(
            envs,
            partial(everyone_at, cut),
        )
        infos = envs.step(one.predict(observation)[0])[4]
        assert (seconds["sequential"] <= infos["latency_s"] * (1 + 1e-5)).all()
    assert (seconds["sequential"] < seconds["exact"]).any()


@pytest.mark.parametrize("barriers", ["none", "adaptsfl"])
def test_split_learning_is_not_played_where_devices_work_at_once(barriers: str) -> None:
    env = gym.make("SFL-v0", barriers=barriers)
    with pytest.raises(PolicyError, match=r"'sequential' is for .*: schedule='sequence'.*there are oracle, exact"):
        sfl_baselines.make("sequential", env)


@pytest.mark.parametrize("mode", ACTION_MODES)
def test_random_is_what_the_action_space_samples(mode: str) -> None:
    env = gym.make("SFL-v0", num_devices=3, action_mode=mode)
    observation, _ = env.reset(seed=0)
    env.action_space.seed(11)
    policy = sfl_baselines.make("random", env, seed=11)
    for _ in range(3):
        np.testing.assert_array_equal(policy.predict(observation)[0], env.action_space.sample())


@pytest.mark.parametrize("name", IN_PARALLEL)
@pytest.mark.parametrize(
    "observation",
    [
        {"rows": np.zeros((10, 7))},
        [[1.0], [1.0, 2.0]],
        "rows",
        None,
        np.zeros(7),
        np.zeros((1, 1, 10, 7)),
        np.full((10, 7), "a"),
        np.zeros((10, 7), dtype=complex),
        np.full((10, 7), None),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
def test_what_is_no_observation_is_refused(name: str, observation: Any) -> None:
    env = gym.make("SFL-v0")
    env.reset(seed=0)
    with pytest.raises(PolicyError, match="The observation is"):
        sfl_baselines.make(name, env).predict(observation)


def test_the_catalogue_says_what_each_does() -> None:
    assert len({sfl_baselines.about(name) for name in sfl_baselines.names()}) == len(sfl_baselines.names())
    with pytest.raises(PolicyError, match="did you mean 'exact'"):
        sfl_baselines.about("exat")


def test_masked_observations_are_refused() -> None:
    policy = sfl_baselines.make("exact", gym.make("SFL-v0", num_devices=3))
    with pytest.raises(PolicyError, match="masked"):
        policy.predict(np.ma.MaskedArray(np.zeros((3, 7)), mask=True))
