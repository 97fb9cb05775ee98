"""Reference solvers and heuristic policies for sfl-env.

Examples
--------
>>> import gymnasium as gym, sfl_env, sfl_baselines
>>> env = gym.make("SFL-v0", num_devices=4)
>>> policy = sfl_baselines.make("alternating", env)
>>> observation, _ = env.reset(seed=0)
>>> action, _ = policy.predict(observation)
>>> env.action_space.contains(action)
True
"""

from sfl_baselines.alternating import AlternatingSolution, solve_alternating
from sfl_baselines.catalogue import about, make, names
from sfl_baselines.policies import ActionSpacePolicy, ConditionsPolicy, OraclePolicy, Policy, RulePolicy
from sfl_baselines.selection import Selection, select_fedcs, solve_selection
from sfl_env.optimum import Solution, allocate_bandwidth, solve_exact, solve_in_turn

__all__ = [
    "ActionSpacePolicy",
    "AlternatingSolution",
    "ConditionsPolicy",
    "OraclePolicy",
    "Policy",
    "RulePolicy",
    "Selection",
    "Solution",
    "about",
    "allocate_bandwidth",
    "make",
    "names",
    "select_fedcs",
    "solve_alternating",
    "solve_exact",
    "solve_in_turn",
    "solve_selection",
]
