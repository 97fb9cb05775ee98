"""Parts that a user brings: taken as they are, and checked where they could break the physics."""

from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

import sfl_env
from sfl_env.devices.population import DeviceBatch
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.outcome import Outcome
from tests.sfl_env.boards import boards


class FixedShares:
    """Actions are cuts; every device gets the same share, whatever that sums to."""

    def __init__(self, share: float) -> None:
        self.share = share

    def space(self, num_devices: int) -> spaces.MultiDiscrete:
        return spaces.MultiDiscrete([3] * num_devices)

    def decode(self, action: np.ndarray, seen: Conditions) -> sfl_env.Decision:
        return sfl_env.Decision(action.astype(np.intp), np.full(action.shape, self.share))

    def encode(self, decision: sfl_env.Decision, seen: object) -> np.ndarray:
        return decision.cut


@pytest.mark.parametrize(
    ("share", "message"),
    [(0.3, "sum to 1.2"), (0.0, "device's cut needs the band"), (-0.1, "from 0 to 1"), (np.nan, "from 0 to 1")],
)
def test_an_encoder_whose_shares_cannot_be_had_is_refused(share: float, message: str) -> None:
    with pytest.raises(sfl_env.DecisionError, match=message):
        gym.make("SFL-v0", num_devices=4, action=FixedShares(share))


def test_an_encoder_whose_shares_fit_decides_the_round() -> None:
    env = gym.make("SFL-v0", num_devices=4, action=FixedShares(0.2))
    env.reset(seed=0)
    info = env.step(np.array([0, 1, 2, 0]))[4]
    np.testing.assert_array_equal(info["cut"], [0, 1, 2, 0])
    np.testing.assert_array_equal(info["bandwidth_share"], [0.2] * 4)


class Twins:
    """Devices that are all alike."""

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        return boards(n, num_devices, forward_flops_per_s=2e10, backward_flops_per_s=1e10)


class SteadyState(NamedTuple):
    """A channel's state that is nothing but its gain."""

    gain: np.ndarray  # (N, K)


class Steady:
    """A channel that is the same for everyone at all times."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> SteadyState:
        return SteadyState(np.full((n, num_devices), 1e-9))

    def step(self, state: SteadyState, elapsed_s: np.ndarray, rng: np.random.Generator) -> SteadyState:
        return state


def test_equal_devices_under_equal_channels_take_equally_long() -> None:
    env = gym.make("SFL-v0", population=Twins(), channel=Steady(), num_devices=5)
    env.reset(seed=0)
    for _ in range(3):
        info = env.step(np.zeros((5, 2), dtype=np.float32))[4]
        assert np.ptp(info["device_latency_s"]) <= 1e-12 * info["latency_s"]


class Waiting:
    """Devices should not wait for each other."""

    def terms(self, outcome: Outcome) -> dict[str, np.ndarray]:
        return {"waiting": -(outcome.latency_s - outcome.device_latency_s.min(axis=-1))}


def test_an_own_goal_is_the_reward() -> None:
    env = gym.make("SFL-v0", reward=Waiting())
    env.reset(seed=0)
    _, reward, _, _, info = env.step(env.action_space.sample())
    assert reward == info["reward_terms"]["waiting"]
    assert reward == pytest.approx(-np.ptp(info["device_latency_s"]))
