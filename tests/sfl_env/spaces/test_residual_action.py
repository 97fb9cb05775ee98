"""Actions relative to a sensible decision: zero is it, noise does little harm, and decisions come back."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import Decision, SFLVectorEnv
from sfl_env.errors import DecisionError
from sfl_env.optimum import proportional_decision, solve_exact


def envs(n: int = 3, seed: int = 0, **fields: Any) -> SFLVectorEnv:
    made = SFLVectorEnv(n, action_mode="residual", **fields)
    made.reset(seed=seed)
    return made


def zero(made: SFLVectorEnv) -> np.ndarray:
    shape = made.action_space.shape
    assert shape is not None
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("fields", [{}, {"model": "vgg16", "num_devices": 1}, {"battery_share": 0.3}])
def test_the_zero_action_is_the_decision_by_air_time(fields: dict[str, Any]) -> None:
    made = envs(**fields)
    wanted = proportional_decision(made.observed_problem())
    infos = made.step(zero(made))[4]
    np.testing.assert_array_equal(infos["cut"], wanted.cut)
    np.testing.assert_allclose(infos["bandwidth_share"], wanted.bandwidth_share, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_a_decision_comes_back_to_float32_precision(seed: int, num_devices: int) -> None:
    made = envs(2, seed, num_devices=num_devices)
    problem, encoder = made.observed_problem(), made.episodes.action_encoder
    rng = np.random.default_rng(seed)
    # The last cut sends the model alone, so all cuts that fit need band here.
    cut = np.where(np.isfinite(problem.fixed_s), rng.random(problem.shape), -1.0).argmax(axis=-1)
    air_s = problem.without_computing().device_latency_s(Decision(cut, np.full(cut.shape, 1.0 / num_devices)))
    weight = air_s * np.exp(rng.uniform(-3.9, 3.9, cut.shape))
    wanted = Decision(cut, weight / weight.sum(axis=-1, keepdims=True))
    seen = made.episodes.now.observed
    action = encoder.encode(wanted, seen)
    assert made.action_space.contains(action)
    found = encoder.decode(action, seen)
    np.testing.assert_array_equal(found.cut, wanted.cut)
    # Half a float32 spacing at 5 is 2.4e-7, on a line of slope 4.9, and the sum's error adds to each one's.
    np.testing.assert_allclose(found.bandwidth_share, wanted.bandwidth_share, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_action_of_the_space_can_be_carried_out(seed: int) -> None:
    made = envs(4, seed)
    made.action_space.seed(seed)
    decision = made.episodes.action_encoder.decode(made.action_space.sample(), made.episodes.now.observed)
    fitting = np.minimum(decision.cut, made.episodes.now.observed.deepest_cut)
    made.observed_problem().check(decision._replace(cut=fitting))
    np.testing.assert_allclose(decision.bandwidth_share.sum(axis=-1), 1.0, rtol=1e-12)


def test_standard_normal_noise_costs_less_than_equal_shares_do() -> None:
    made = envs(300, num_devices=10)
    problem = made.observed_problem()
    optimum_s = solve_exact(problem).latency_s
    noise = np.clip(np.random.default_rng(0).standard_normal(made.action_space.shape or ()), -5.0, 5.0)
    noisy = made.episodes.action_encoder.decode(noise, made.episodes.now.observed)
    equal = Decision(proportional_decision(problem).cut, np.full(noisy.cut.shape, 0.1))
    cut = np.minimum(noisy.cut, made.episodes.now.observed.deepest_cut)
    over = problem.latency_s(noisy._replace(cut=cut)) / optimum_s
    assert over.mean() < (problem.latency_s(equal) / optimum_s).mean() < 2.0


def test_a_deeper_cut_is_a_larger_number_up_to_the_last() -> None:
    made = envs(1)
    action = zero(made)
    cuts = []
    for offset in np.linspace(-5.0, 5.0, 41):
        action[..., 0] = offset
        cuts.append(made.episodes.action_encoder.decode(action, made.episodes.now.observed).cut)
    assert (np.diff(cuts, axis=0) >= 0).all()
    assert (cuts[0] == 0).all()
    assert (cuts[-1] == made.episodes.simulator.workload.num_cuts - 1).all()


def test_a_device_that_takes_no_part_gets_no_band() -> None:
    made = envs(1, num_devices=3)
    seen = made.episodes.now.observed._replace(takes_part=np.array([[True, False, True]]))
    found = made.episodes.action_encoder.decode(zero(made), seen)
    assert found.bandwidth_share[0, 1] == 0.0
    assert found.bandwidth_share.sum() == pytest.approx(1.0)


def test_a_number_outside_the_space_is_named() -> None:
    made = envs(2)
    action = zero(made)
    action[1, 4, 1] = 5.5
    with pytest.raises(DecisionError, match=r"device 4 \(environment 1\).*from -5 to 5"):
        made.step(action)
