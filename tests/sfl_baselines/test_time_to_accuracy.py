"""The policy for the time to a target: beside all combinations of cuts, at its limits, and where it is refused."""

import itertools
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray

import sfl_baselines
from sfl_baselines.time_to_accuracy import solve_time_to_accuracy
from sfl_env import RoundProblem
from sfl_env.errors import PolicyError, ProblemError
from sfl_env.learning.surrogate import LAST_ROUND, Surrogate, find
from sfl_env.optimum import allocate_bandwidth, solve_exact
from sfl_env.spaces.parts import ACTION_MODES

ENV_ID = "SFL-TimeToAccuracy-v0"
LEARNING = Surrogate(7.5, (0.0, 6.0, 5.0, 1.0, 3.0), spread=0.0)


def problems(n: int, num_devices: int, bandwidth_hz: float) -> RoundProblem:
    own: dict[str, Any] = {"surrogate_rounds": (1.0, 0.0, 0.0, 0.0, 0.0)}
    envs: Any = gym.make_vec(ENV_ID, num_envs=n, num_devices=num_devices, bandwidth_hz=bandwidth_hz, **own)
    envs.reset(seed=1)
    problem: RoundProblem = envs.unwrapped.true_problem()
    return problem


def best_of_all(problem: RoundProblem) -> NDArray[np.float64]:
    n, k, c = problem.shape
    best = np.full(n, np.inf)
    for mix in itertools.product(range(c), repeat=k):
        cut = np.tile(mix, (n, 1))
        best = np.minimum(best, allocate_bandwidth(problem, cut).latency_s * (LEARNING.rounds(cut) + LAST_ROUND))
    return best


@pytest.mark.parametrize(("num_devices", "bandwidth_hz"), [(2, 0.2e6), (3, 0.3e6), (3, 0.6e6), (4, 0.5e6)])
def test_it_is_nearly_always_the_best_of_all_combinations(num_devices: int, bandwidth_hz: float) -> None:
    problem = problems(40, num_devices, bandwidth_hz)
    solution, time_s = solve_time_to_accuracy(problem, LEARNING)
    over = time_s / best_of_all(problem)
    assert over.min() > 1.0 - 1e-9
    assert over.max() < 1.03
    assert (over < 1.0 + 1e-9).mean() >= 0.85
    np.testing.assert_allclose(problem.latency_s(solution.decision), solution.latency_s, rtol=1e-9)
    assert len(np.unique(solution.decision.cut)) > 1, "where one cut is best for all there is nothing to find"


def test_no_single_change_of_a_cut_helps() -> None:
    problem = problems(8, 10, 0.8e6)
    solution, time_s = solve_time_to_accuracy(problem, LEARNING)
    for device, cut in itertools.product(range(10), range(5)):
        changed = solution.decision.cut.copy()
        changed[:, device] = cut
        other_s = allocate_bandwidth(problem, changed).latency_s * (LEARNING.rounds(changed) + LAST_ROUND)
        assert (other_s >= time_s * (1.0 - 1e-8)).all()


def test_where_cuts_do_not_matter_to_learning_the_shortest_round_is_the_answer() -> None:
    problem = problems(20, 6, 1e6)
    solution, _ = solve_time_to_accuracy(problem, Surrogate(9.0, (0.0,) * 5, spread=0.0))
    np.testing.assert_allclose(solution.latency_s, solve_exact(problem).latency_s, rtol=1e-8)


def test_where_they_matter_above_all_the_first_block_alone_is_left() -> None:
    solution, _ = solve_time_to_accuracy(problems(20, 6, 1e6), Surrogate(1.0, (0.0, *[1e5] * 4), spread=0.0))
    assert (solution.decision.cut == 0).all()


def test_the_policy_is_at_the_surrogates_target_before_others() -> None:
    seconds = {}
    for name in ("time-to-accuracy", "alternating", "common-cut"):
        envs: Any = gym.make_vec(ENV_ID, num_envs=40, action_mode="cut")
        observation, _ = envs.reset(seed=1_000_000)
        policy, running, total_s = sfl_baselines.make(name, envs), np.ones(40, bool), np.zeros(40)
        while running.any():
            observation, _, terminated, truncated, infos = envs.step(policy.predict(observation)[0])
            total_s += np.where(running, infos["latency_s"], 0.0)
            assert not (running & truncated).any()
            running &= ~terminated
        seconds[name] = total_s.mean()
    assert seconds["time-to-accuracy"] < 0.95 * min(seconds["alternating"], seconds["common-cut"])


def test_it_is_refused_without_constants() -> None:
    with pytest.raises(PolicyError, match=r"no constants.*`python docs/build/surrogate\.py`"):
        sfl_baselines.make("time-to-accuracy", gym.make("SFL-v0"))
    with pytest.raises(ProblemError, match="in which all devices work at once"):
        solve_time_to_accuracy(RoundProblem(**arrays_of(problems(2, 2, 1e6)), system="sequence"), LEARNING)


def test_it_is_refused_for_data_that_the_constants_are_not_of() -> None:
    from sfl_env.learning import load_data

    env = gym.make(ENV_ID, mode="accuracy", torch_device="cpu", data=load_data("digits"))
    with pytest.raises(PolicyError, match="network, data or a learner of another kind"):
        sfl_baselines.make("time-to-accuracy", env)


@pytest.mark.parametrize("action_mode", ACTION_MODES)
def test_it_decides_alike_in_every_action_space_and_for_one_or_many(action_mode: str) -> None:
    envs: Any = gym.make_vec(ENV_ID, num_envs=3, action_mode=action_mode)
    observations, _ = envs.reset(seed=2)
    policy = sfl_baselines.make("time-to-accuracy", envs)
    actions, state = policy.predict(observations)
    assert state is None
    assert envs.action_space.contains(actions)
    np.testing.assert_allclose(policy.predict(observations[1])[0], actions[1], rtol=1e-5, atol=1e-6)
    expected, _ = solve_time_to_accuracy(envs.unwrapped.observed_problem(), find(envs.unwrapped.scenario))
    np.testing.assert_array_equal(envs.step(actions)[4]["cut"], expected.decision.cut)


def arrays_of(problem: RoundProblem) -> dict[str, Any]:
    names = ("fixed_s", "uplink_bits", "downlink_bits", "uplink_snr_hz", "downlink_full_rate_bps")
    return {name: getattr(problem, name) for name in (*names, "uplink_bandwidth_hz")}
