"""Every id passes both libraries' checkers in every action mode, and its spec survives JSON."""

import subprocess
import sys
import warnings
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import sfl_env
from sfl_env import SFLError
from sfl_env.presets import PRESETS, register_all
from sfl_env.spaces.parts import ACTION_MODES
from tests.ids import BATCHED_IDS, with_constants

IDS = tuple(PRESETS)

# The checker tries every render mode, also where there is no display.
without_window = pytest.mark.filterwarnings("ignore:.*render_mode 'human' needs a window:UserWarning")


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("action_mode", ACTION_MODES)
@without_window
def test_gymnasiums_checker_passes(env_id: str, action_mode: str) -> None:
    check_env(cast(Any, gym.make(env_id, action_mode=action_mode)).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("action_mode", ACTION_MODES)
def test_stable_baselines_checker_passes(env_id: str, action_mode: str) -> None:
    with warnings.catch_warnings():
        # One row a device is this environment's observation; SB3's policies flatten it.
        warnings.filterwarnings(
            "ignore", message=r"Your observation\s+has an unconventional shape", category=UserWarning
        )
        # Residual actions are in units of the noise that agents start with, which is to stay within the space.
        warnings.filterwarnings("ignore", message="We recommend you to use a symmetric and normalized Box")
        sb3_check_env(cast(Any, gym.make(env_id, action_mode=action_mode)).unwrapped)


@without_window
def test_pixels_pass_gymnasiums_checker() -> None:
    check_env(cast(Any, gym.make("SFL-v0", render_mode="rgb_array", num_devices=3)).unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_a_spec_survives_json(env_id: str) -> None:
    fields = with_constants(env_id, {"num_devices": 3, "action_mode": "cut", "max_rounds": 7})
    spec = gym.make(env_id, **fields).spec
    assert spec is not None
    again = gym.make(EnvSpec.from_json(spec.to_json()))
    assert isinstance(again.unwrapped, sfl_env.SFLEnv)
    assert cast(Any, again.unwrapped).scenario == cast(Any, gym.make(env_id, **fields)).unwrapped.scenario


@pytest.mark.parametrize("env_id", IDS)
def test_an_id_is_its_preset(env_id: str) -> None:
    scenario = cast(Any, gym.make(env_id)).unwrapped.scenario
    assert scenario == sfl_env.Scenario().replace(**PRESETS[env_id].fields)
    batched = gym.make_vec(env_id, num_envs=2)
    assert isinstance(batched, sfl_env.SFLVectorEnv if env_id in BATCHED_IDS else gym.vector.SyncVectorEnv)
    if env_id in BATCHED_IDS:
        assert cast(Any, batched.unwrapped).scenario == scenario


def test_a_field_given_to_make_overrides_the_presets() -> None:
    env = gym.make("SFL-StaleCSI-v0", csi_delay_rounds=3)
    assert cast(Any, env.unwrapped).scenario.csi_delay_rounds == 3


def test_registering_again_changes_nothing() -> None:
    before = dict(gym.registry)
    register_all()
    assert dict(gym.registry) == before


def test_gymnasium_finds_an_id_through_its_module() -> None:
    code = "import gymnasium as gym; print(gym.make('sfl_env:SFL-v0').unwrapped.scenario.num_devices)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(sfl_env.Scenario().num_devices)


def test_importing_and_making_load_no_heavy_library() -> None:
    code = (
        "import sys, gymnasium as gym, sfl_env\n"
        "gym.make('SFL-v0'); gym.make_vec('SFL-v0', num_envs=2)\n"
        "print([name for name in ('torch', 'matplotlib', 'pandas', 'stable_baselines3') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Accuracy-v0"])
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"num_envs": -1}, "num_envs"),
        ({"num_envs": "two"}, "num_envs"),
        ({"num_envs": 10**30}, "num_envs"),
        ({"num_envs": 1.5}, "num_envs"),
        ({"autoreset_mode": "zz"}, "autoreset_mode"),
        ({"max_episode_steps": 3, "max_rounds": 4}, "max_episode_steps"),
        ({"mode": np.array([1, 2])}, "mode"),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_a_batch_refuses_what_is_wrong_alike_whether_networks_are_trained(
    env_id: str, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(SFLError, match=named):
        gym.make_vec(env_id, **{"num_envs": 2, **wrong}).close()
