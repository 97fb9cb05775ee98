"""Rounds whose devices wait for each other between stages: their problem, solvers, and a bound on all decisions.

Examples
--------
>>> import gymnasium as gym, sfl_env
>>> env = gym.make("SFL-Barrier-v0", num_devices=4).unwrapped
>>> _ = env.reset(seed=0)
>>> problem = staged_problem_of(env.episodes, env.episodes.now.true)
>>> found = staged_search(problem)
>>> proven = staged_bound(problem, found.latency_s)
>>> bool((found.latency_s < 1.05 * proven.lower_bound_s).all())
True
"""

from sfl_baselines.staged.alternating import staged_alternating
from sfl_baselines.staged.bound import StagedBound, staged_bound
from sfl_baselines.staged.exact import solve_staged_exactly
from sfl_baselines.staged.policy import StagedPolicy, StagedSolver
from sfl_baselines.staged.problem import StagedCuts, StagedProblem, staged_problem, staged_problem_of
from sfl_baselines.staged.search import StagedSolution, staged_common_cut, staged_search
from sfl_baselines.staged.shares import Multipliers, SharesFound, best_shares

__all__ = [
    "Multipliers",
    "SharesFound",
    "StagedBound",
    "StagedCuts",
    "StagedPolicy",
    "StagedProblem",
    "StagedSolution",
    "StagedSolver",
    "best_shares",
    "solve_staged_exactly",
    "staged_alternating",
    "staged_bound",
    "staged_common_cut",
    "staged_problem",
    "staged_problem_of",
    "staged_search",
]
