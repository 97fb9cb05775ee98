"""Environments that a taught policy acts in, and what it decides there."""

from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sfl_agents.policies.pointer_distributions import pointed_for
from sfl_agents.policies.pointer_network import Pointer
from sfl_baselines.environments import episodes_of
from sfl_env import Scenario
from sfl_env.errors import TrainingError
from sfl_env.optimum.joint import OwnCuts, own_cuts, solve_exact
from sfl_env.optimum.solution import Solution

_ELSE_COUNTS = ("battery_share", "learning_surrogate", "energy_weight", "dropout_weight", "missed_weight")
"""Fields by which more counts than the length of the round."""


class Lesson:
    """One scenario's environments side by side.

    Parameters
    ----------
    env : VecEnv
        Around :class:`~sfl_agents.vec_env.SFLVecEnv`.

    Raises
    ------
    TrainingError
        If the shortest round is not known there: nothing can be told of it then.
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self.episodes = episodes_of(env)
        _require_lengths_alone(self.episodes.scenario)
        self.num_cuts = self.episodes.simulator.workload.num_cuts
        self.late_channel = self.episodes.scenario.csi_delay_rounds > 0
        self._distribution = pointed_for(env.action_space, self.episodes.scenario.num_devices, self.num_cuts)
        self.observation: NDArray[Any] | None = None

    def start(self) -> Self:
        """Start all episodes unless they run."""
        if self.observation is None:
            self.observation = np.asarray(self.env.reset())
        return self

    def devices(self) -> OwnCuts:
        """Return the devices under the round's true conditions."""
        return own_cuts(self.episodes.true_problem())

    def solution(self) -> Solution:
        """Return the optimum under the round's true conditions."""
        return solve_exact(self.episodes.true_problem())

    def act(self, pointer: Pointer) -> list[dict[str, Any]]:
        """Play a round by the likeliest decision and return its infos."""
        with torch.no_grad():
            params = torch.cat([pointer.logits, pointer.log_share], dim=-1)
            action = self._distribution.proba_distribution(params, torch.zeros(())).mode().numpy()
        if isinstance(self.env.action_space, spaces.Box):
            action = np.clip(action, self.env.action_space.low, self.env.action_space.high)
        observation, _, _, infos = self.env.step(action)
        self.observation = np.asarray(observation)
        return infos


def _require_lengths_alone(scenario: Scenario) -> None:
    if not scenario.optimum_is_known:
        raise TrainingError(
            f"The shortest round is not known of the system {scenario.system!r}, so nobody can be taught it; take "
            "an algorithm that learns from reward."
        )
    for name in _ELSE_COUNTS:
        if getattr(scenario, name):
            raise TrainingError(
                f"{name} is {getattr(scenario, name)}: more counts than the length of the round, which is all "
                "that can be taught; take an algorithm that learns from reward."
            )


def chosen_log_share(pointer: Pointer, cut: Tensor) -> Tensor:
    """Return the logarithm of the shares (B, K), which sum to one, at cuts (B, K)."""
    log_share: Tensor = pointer.log_share.gather(-1, cut.unsqueeze(-1)).squeeze(-1).log_softmax(dim=-1)
    return log_share
