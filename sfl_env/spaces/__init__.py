"""What an agent touches: actions, observations, rewards and infos."""

from sfl_env.spaces.action import ActionEncoder, ContinuousAction, CutAction, DiscreteAction
from sfl_env.spaces.observation import DeviceRows, ObservationEncoder
from sfl_env.spaces.problem_rows import ProblemRows
from sfl_env.spaces.residual_action import ResidualAction
from sfl_env.spaces.reward import Reward, WeightedReward
from sfl_env.spaces.view import View

__all__ = [
    "ActionEncoder",
    "ContinuousAction",
    "CutAction",
    "DeviceRows",
    "DiscreteAction",
    "ObservationEncoder",
    "ProblemRows",
    "ResidualAction",
    "Reward",
    "View",
    "WeightedReward",
]
