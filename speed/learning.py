"""PPO's rounds a second, training included: one batched environment against eight single ones.

Run ``python -m speed.learning``. Both sides collect rollouts of the same size and train on them with the same
``MlpPolicy`` and the same sizes, epochs and discounts, those of ``sfl train --algo ppo``; only where the rollouts
come from differs.
"""

import argparse
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sfl_agents.training import settings
from sfl_agents.vec_env import Info, SFLVecEnv
from sfl_env import SFLVectorEnv
from speed.timing import Case, Row, as_text, measure

ENV_ID = "SFL-v0"


def dummy(num_envs: int) -> VecEnv:
    """Single environments, one after another, with episode statistics as the adapter has them."""
    return make_vec_env(ENV_ID, num_envs, vec_env_cls=DummyVecEnv)


def adapter(num_envs: int) -> VecEnv:
    """One batched environment."""
    return SFLVecEnv(batched(num_envs))


def batched(num_envs: int) -> SFLVectorEnv:
    """Return as many environments of the id that all sides have."""
    return SFLVectorEnv(num_envs, autoreset_mode="SameStep", **gym.spec(ENV_ID).kwargs)


class Free(SFLVecEnv):
    """Environments whose rounds cost nothing: the same round again and again, so that only SB3's work is left."""

    def __init__(self, envs: SFLVectorEnv) -> None:
        super().__init__(envs)
        super().reset()
        self._actions = np.zeros_like(envs.action_space.sample())
        self._round = super().step_wait()

    def reset(self) -> NDArray[np.float32]:
        """Return the round's observations."""
        return self._round[0]

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[Info]]:
        """Return the round."""
        return self._round


def free(num_envs: int) -> VecEnv:
    """One batched environment at no cost."""
    return Free(batched(num_envs))


def training(env: VecEnv) -> Case:
    """Collect one rollout and train on it."""
    ours = settings.load("ppo", ENV_ID)
    hyperparameters = dict(ours.hyperparameters)
    rollout = ours.num_envs * hyperparameters["n_steps"]
    hyperparameters["n_steps"] = rollout // env.num_envs
    optimizer = {"optimizer_kwargs": ours.policy_kwargs["optimizer_kwargs"]}
    model = PPO("MlpPolicy", env, seed=0, device="cpu", policy_kwargs=optimizer, **hyperparameters)
    return Case(lambda: model.learn(rollout), units=rollout, unit="round")


def collecting(env: VecEnv) -> Case:
    """Step with the same actions throughout, without any learning."""
    env.reset()
    actions = [env.action_space.sample() for _ in range(env.num_envs)]
    batch = torch.stack([torch.as_tensor(action) for action in actions]).numpy()
    return Case(lambda: env.step(batch), units=env.num_envs, unit="round")


def table(rounds: int) -> list[Row]:
    """All measures over the eight single environments' training."""
    cases = {
        "PPO, 8 single environments (DummyVecEnv)": training(dummy(8)),
        "PPO, adapter with 64": training(adapter(64)),
        "PPO, adapter with 256": training(adapter(256)),
        "PPO, 64 environments at no cost": training(free(64)),
        "stepping only, 8 single environments": collecting(dummy(8)),
        "stepping only, adapter with 64": collecting(adapter(64)),
    }
    return measure(cases, "PPO, 8 single environments (DummyVecEnv)", rounds)


def main() -> None:
    """Print the table and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that everything takes")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = table(arguments.rounds)
    print(as_text(rows))
    if arguments.out:
        arguments.out.write_text(json.dumps([row.to_dict() for row in rows], indent=2))


if __name__ == "__main__":
    main()
