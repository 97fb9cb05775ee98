"""The batched environment as the algorithms get it, with the reward they learn from."""

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sfl_agents.vec_env import SFLVecEnv
from sfl_env import SFLVectorEnv
from sfl_env.errors import TrainingError


def training_env(batch: SFLVectorEnv, reward: str, gamma: float) -> VecEnv:
    """Return a batch as Stable-Baselines3's environment, with one of :data:`.settings.REWARDS`."""
    env = SFLVecEnv(batch)
    if reward == "normalised":
        return VecNormalize(env, norm_obs=False, gamma=gamma)
    return LogReward(env) if reward == "log" else env


class LogReward(VecEnvWrapper):
    """Minus the logarithm of minus the reward: relative instead of absolute latency.

    Raises
    ------
    TrainingError
        From ``step``, if a reward is not below zero.
    """

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes."""
        observation = self.venv.reset()
        assert isinstance(observation, np.ndarray)
        return observation

    def step_wait(self) -> VecEnvStepReturn:
        """Carry out one round; episode statistics stay those of the environment's own reward."""
        observation, reward, done, infos = self.venv.step_wait()
        if not (reward < 0.0).all():
            raise TrainingError(
                f"A reward is {reward.max()}; reward: log needs rewards below 0. Take reward: normalised."
            )
        return observation, -np.log(-reward), done, infos
