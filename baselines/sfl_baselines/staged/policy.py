"""Policies for rounds in stages: they decode the observation as agents see it, and solve the staged problem."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from sfl_baselines.policies import ObservingPolicy
from sfl_baselines.staged.problem import StagedProblem, staged_problem_of
from sfl_baselines.staged.search import StagedSolution
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.problem import Decision

StagedSolver = Callable[[StagedProblem], StagedSolution]
"""Maps N rounds' problems to N rounds' decisions."""


class StagedPolicy(ObservingPolicy):
    """Decide rounds in stages by a solver of their own problem.

    Parameters
    ----------
    env : Gymnasium environment or vector environment
        One of this package's with ``barriers``, as for :class:`~sfl_baselines.policies.ObservingPolicy`.
    solve : callable
        Such as :func:`~sfl_baselines.staged.search.staged_search`.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> from sfl_baselines.staged import staged_alternating
    >>> env = gym.make("SFL-Barrier-v0", num_devices=3)
    >>> policy = StagedPolicy(env, staged_alternating)
    >>> observation, _ = env.reset(seed=0)
    >>> action, _ = policy.predict(observation)
    >>> env.action_space.contains(action)
    True
    """

    def __init__(self, env: Any, solve: StagedSolver) -> None:
        super().__init__(env)
        self._solve = solve

    def decide(self, rows: NDArray[Any], seen: Conditions) -> Decision:
        """Return the solver's decisions (N, K)."""
        return self._solve(staged_problem_of(self.episodes, seen)).decision
