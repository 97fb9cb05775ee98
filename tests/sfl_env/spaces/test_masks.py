"""Masks say exactly which options an environment can take."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sfl_env
from sfl_env.errors import ScenarioError, StateError
from tests.sfl_env.boards import ON_BATTERY

FIELDS: dict[str, Any] = {"num_devices": 6, "max_rounds": 5}
MODES = ("cut", "discrete")


def batch(n: int, mode: str, **fields: Any) -> sfl_env.SFLVectorEnv:
    return sfl_env.SFLVectorEnv(n, action_mode=mode, **(FIELDS | fields))


def allowed(envs: sfl_env.SFLVectorEnv) -> np.ndarray[Any, Any]:
    """(N, K, C): the part of the masks that is about cuts."""
    n, k = envs.num_envs, envs.scenario.num_devices
    num_cuts = envs.profile.num_cuts
    return envs.action_masks()[:, : k * num_cuts].reshape(n, k, num_cuts)


@pytest.mark.parametrize("mode", MODES)
def test_there_is_one_truth_value_for_each_option_of_each_choice(mode: str) -> None:
    env = gym.make("SFL-v0", action_mode=mode)
    env.reset(seed=0)
    masks = env.unwrapped.action_masks()  # type: ignore[attr-defined]
    assert masks.dtype == np.bool_
    assert masks.shape == (env.action_space.nvec.sum(),)  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_masked_is_what_the_environment_limits(mode: str) -> None:
    """Ask every device for one and the same cut after another: limited are those whose mask says so."""
    envs = batch(20, mode)
    envs.reset(seed=3)
    masks = allowed(envs)
    assert 0.0 < masks.mean() < 1.0
    state = envs.state_dict()
    for cut in range(envs.profile.num_cuts):
        envs.load_state_dict(state)
        actions = np.zeros(envs.action_space.shape or (), dtype=np.int64)
        actions[:, : FIELDS["num_devices"]] = cut
        limited = envs.step(actions)[4]["cut_limited"]
        np.testing.assert_array_equal(limited, ~masks[:, :, cut])


@pytest.mark.parametrize("mode", MODES)
def test_a_device_that_takes_no_part_keeps_one_option_of_each_choice(mode: str) -> None:
    envs = batch(4, mode, battery_share=1e-12, **ON_BATTERY)
    envs.reset(seed=0)
    before = allowed(envs).sum(axis=-1)
    assert (before > 1).any()
    envs.step(np.zeros(envs.action_space.shape or (), dtype=np.int64))
    takes_part = envs.episodes.now.observed.takes_part
    assert takes_part is not None
    assert not takes_part.any()
    masks = envs.action_masks()
    assert (masks.sum(axis=-1) == envs.single_action_space.shape[0]).all()  # type: ignore[index]
    assert (allowed(envs)[..., 0]).all()


def test_a_batch_of_one_masks_as_the_single_environment() -> None:
    single, envs = sfl_env.SFLEnv(action_mode="cut", **FIELDS), batch(1, "cut")
    single.reset(seed=5)
    envs.reset(seed=5)
    np.testing.assert_array_equal(single.action_masks(), envs.action_masks()[0])


def test_continuous_actions_have_no_masks_and_the_error_names_the_modes() -> None:
    env = sfl_env.SFLEnv(**FIELDS)
    env.reset(seed=0)
    with pytest.raises(ScenarioError, match="action_mode='cut' or action_mode='discrete'"):
        env.action_masks()


def test_before_the_first_reset_nothing_is_masked() -> None:
    with pytest.raises(StateError, match="reset"):
        batch(2, "cut").action_masks()
