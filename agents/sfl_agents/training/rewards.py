"""The batched environment as the algorithms get it, with the reward they learn from."""

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sfl_agents.vec_env import SFLVecEnv
from sfl_env import SFLVectorEnv
from sfl_env.errors import TrainingError
from sfl_env.spaces.problem_rows import LENGTHS, length_column


def training_env(batch: SFLVectorEnv, reward: str, gamma: float) -> VecEnv:
    """Return a batch as Stable-Baselines3's environment, with one of :data:`.settings.REWARDS`."""
    env = SFLVecEnv(batch)
    if reward == "normalised":
        return VecNormalize(env, norm_obs=False, gamma=gamma)
    if reward == "excess":
        return ExcessReward(env, batch)
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


class ExcessReward(VecEnvWrapper):
    """The reward without what the length of the sensible round, which rows of the problem tell, takes of it.

    What comes then makes less noise among returns. Where it does not depend on decisions, all policies under which
    the same devices take part are paid alike for these lengths, so that the best of them stays the best.

    Parameters
    ----------
    venv : VecEnv
        With rows of the problem.
    batch : SFLVectorEnv
        The same environments.
    """

    def __init__(self, venv: VecEnv, batch: SFLVectorEnv) -> None:
        super().__init__(venv)
        self._column = length_column(batch.episodes.simulator.workload.num_cuts)
        self._weight = batch.scenario.latency_weight

    def reset(self) -> NDArray[np.float32]:
        """Start all episodes."""
        observation = self.venv.reset()
        assert isinstance(observation, np.ndarray)
        self._sensible = self._lengths(observation)
        return observation

    def step_wait(self) -> VecEnvStepReturn:
        """Carry out one round; episode statistics stay those of the environment's own reward."""
        observation, reward, done, infos = self.venv.step_wait()
        assert isinstance(observation, np.ndarray)
        excess = reward + self._weight * self._sensible
        self._sensible = self._lengths(observation)
        return observation, excess, done, infos

    def _lengths(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the sensible rounds' lengths over the reference, (N,), of rows (N, K, F)."""
        lengths: NDArray[np.float32] = LENGTHS.decode(rows[:, 0, self._column]).astype(np.float32)
        return lengths
