"""Actions become decisions and decisions actions, and a wrong action is named by its device."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import Decision, DecisionError, SFLEnv, SFLVectorEnv
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.spaces.action import ContinuousAction, DiscreteAction
from sfl_env.spaces.parts import ACTION_MODES

MODES = tuple(ACTION_MODES)


def everyone(n: int, k: int, num_cuts: int, takes_part: np.ndarray | None = None) -> Conditions:
    """Conditions in which every cut fits."""
    ones = np.ones((n, k))
    return Conditions(
        ones, ones, ones, ones, ones, ones, ones, np.full((n, k), num_cuts - 1), takes_part, SmallScaleFading(ones)
    )


@st.composite
def decisions(draw: st.DrawFn) -> tuple[int, Decision]:
    """Any cuts; shares that sum to 1 and lie within e^9 of each other."""
    num_cuts = draw(st.integers(1, 40))
    n, k = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    cuts = draw(st.lists(st.integers(0, num_cuts - 1), min_size=n * k, max_size=n * k))
    logs = draw(st.lists(st.floats(-4.5, 4.5), min_size=n * k, max_size=n * k))
    weight = np.exp(np.array(logs).reshape(n, k))
    return num_cuts, Decision(np.array(cuts).reshape(n, k), weight / weight.sum(axis=-1, keepdims=True))


@settings(max_examples=60, deadline=None)
@given(decisions())
def test_a_decision_comes_back_from_a_continuous_action_to_float32_precision(
    case: tuple[int, Decision],
) -> None:
    num_cuts, wanted = case
    encoder = ContinuousAction(num_cuts)
    seen = everyone(len(wanted.cut), wanted.cut.shape[1], num_cuts)
    action = encoder.encode(wanted, seen)
    assert encoder.space(wanted.cut.shape[1]).contains(action[0])
    found = encoder.decode(action, seen)
    np.testing.assert_array_equal(found.cut, wanted.cut)
    # Half a float32 spacing at 1 is 3e-8, the range of log-shares 5, and the sum's error adds to each one's.
    np.testing.assert_allclose(found.bandwidth_share, wanted.bandwidth_share, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(decisions())
def test_a_decision_comes_back_from_a_discrete_action_to_half_a_level(case: tuple[int, Decision]) -> None:
    num_cuts, wanted = case
    encoder = DiscreteAction(num_cuts, share_log_range=5.0)
    seen = everyone(len(wanted.cut), wanted.cut.shape[1], num_cuts)
    action = encoder.encode(wanted, seen)
    assert encoder.space(wanted.cut.shape[1]).contains(action[0])
    found = encoder.decode(action, seen)
    np.testing.assert_array_equal(found.cut, wanted.cut)
    half_level = encoder.share_log_range / (encoder.num_levels - 1)
    ratio = np.log(found.bandwidth_share / wanted.bandwidth_share)
    assert np.ptp(ratio, axis=-1).max() <= 2.0 * half_level * (1.0 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(1, 10), st.integers(0, 2**32 - 1))
def test_every_action_of_the_space_is_a_feasible_decision(num_cuts: int, k: int, seed: int) -> None:
    for encoder in (ContinuousAction(num_cuts), DiscreteAction(num_cuts)):
        space = encoder.space(k)
        space.seed(seed)
        found = encoder.decode(space.sample()[None], everyone(1, k, num_cuts))
        assert ((found.cut >= 0) & (found.cut < num_cuts)).all()
        assert (found.bandwidth_share > 0.0).all()
        assert found.bandwidth_share.sum() == pytest.approx(1.0, abs=1e-12)


def test_all_cuts_have_bins_of_equal_width() -> None:
    num_cuts = 7
    edges = np.linspace(-1.0, 1.0, num_cuts + 1)
    action = np.zeros((1, num_cuts, 2))
    action[0, :, 0] = (edges[:-1] + edges[1:]) / 2.0
    seen = everyone(1, num_cuts, num_cuts)
    np.testing.assert_array_equal(ContinuousAction(num_cuts).decode(action, seen).cut[0], np.arange(num_cuts))
    action[0, :, 0] = np.nextafter(edges[1:], -2.0)
    np.testing.assert_array_equal(ContinuousAction(num_cuts).decode(action, seen).cut[0], np.arange(num_cuts))
    action[0, :, 0] = 1.0
    assert (ContinuousAction(num_cuts).decode(action, seen).cut == num_cuts - 1).all()


def test_a_device_that_takes_no_part_gets_no_band() -> None:
    takes_part = np.array([[True, False, True]])
    for encoder in (ContinuousAction(4), DiscreteAction(4)):
        action = np.zeros_like(encoder.space(3).sample())[None]
        found = encoder.decode(action, everyone(1, 3, 4, takes_part))
        np.testing.assert_allclose(found.bandwidth_share, [[0.5, 0.0, 0.5]])


def test_without_any_device_nobody_gets_band() -> None:
    found = ContinuousAction(4).decode(np.zeros((1, 2, 2)), everyone(1, 2, 4, np.zeros((1, 2), np.bool_)))
    np.testing.assert_array_equal(found.bandwidth_share, 0.0)


def test_a_device_without_a_share_that_could_take_part_gets_as_little_as_can_be() -> None:
    encoder = ContinuousAction(3)
    wanted = Decision(np.array([[0, 1, 2]]), np.array([[0.5, 0.5, 0.0]]))
    share = encoder.decode(encoder.encode(wanted, everyone(1, 3, 3)), everyone(1, 3, 3)).bandwidth_share
    assert share[0, 2] == pytest.approx(0.5 * np.exp(-10.0), rel=1e-3)


def test_a_share_of_nothing_is_encoded_inside_the_space() -> None:
    wanted = Decision(np.array([[0, 1, 2]]), np.array([[0.9, 0.1, 0.0]]))
    for encoder in (ContinuousAction(3), DiscreteAction(3)):
        assert encoder.space(3).contains(encoder.encode(wanted, everyone(1, 3, 3))[0])


def bad(mode: str, device: int, value: float) -> np.ndarray:
    """An action that is right but for one device."""
    shape = {"continuous": (5, 2), "residual": (5, 2), "cut": (5,), "discrete": (10,)}[mode]
    action = np.zeros(shape, np.float32 if len(shape) == 2 else np.int64)
    action[(device, 1) if len(shape) == 2 else device] = value
    return action


def env_of(mode: str) -> SFLEnv:
    env = SFLEnv(num_devices=5, action_mode=mode)
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.001, -2.0])
def test_a_number_that_is_not_finite_or_out_of_range_names_the_device(value: float) -> None:
    with pytest.raises(DecisionError, match=r"device 3 .*from -1 to 1"):
        env_of("continuous").step(bad("continuous", 3, value))


@pytest.mark.parametrize("mode", ["cut", "discrete"])
@pytest.mark.parametrize("value", [-1, 1000])
def test_an_index_out_of_range_names_the_device(mode: str, value: int) -> None:
    with pytest.raises(DecisionError, match=rf"device 3 .* is {value}; it has to be from 0 to"):
        env_of(mode).step(bad(mode, 3, value))


def test_a_share_level_out_of_range_names_its_device() -> None:
    with pytest.raises(DecisionError, match=r"device 3 .* is 32; it has to be from 0 to 31"):
        env_of("discrete").step(bad("discrete", 5 + 3, 32))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(), (4,), (5, 3), (1, 5, 2)])
def test_a_wrong_shape_is_named_with_the_right_one(mode: str, shape: tuple[int, ...]) -> None:
    env = env_of(mode)
    wanted = env.action_space.shape
    with pytest.raises(DecisionError, match="shape") as error:
        env.step(np.zeros(shape, env.action_space.dtype))
    assert str(wanted) in str(error.value)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("mode", ["cut", "discrete"])
def test_fractions_are_no_indices(mode: str) -> None:
    with pytest.raises(DecisionError, match="whole numbers"):
        env_of(mode).step(bad(mode, 0, 0).astype(np.float64))


def test_the_message_names_the_environment_of_a_batch() -> None:
    envs = SFLVectorEnv(3, num_devices=5)
    envs.reset(seed=0)
    actions: Any = np.zeros((3, 5, 2), np.float32)
    actions[2, 4, 0] = np.nan
    with pytest.raises(DecisionError, match=r"device 4 \(environment 2\)"):
        envs.step(actions)


@pytest.mark.parametrize("mode", MODES)
def test_a_refused_action_leaves_the_episode_as_it_was(mode: str) -> None:
    env = env_of(mode)
    before = env.episodes.now.state
    with pytest.raises(DecisionError):
        env.step(bad(mode, 0, 1e9))
    assert env.episodes.now.state is before
    env.step(env.action_space.sample())
