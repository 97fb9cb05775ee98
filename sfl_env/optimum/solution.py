"""What a solver returns: a decision, what it achieves, and how much better any decision could be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import ProblemError
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.rounds.system import ABOUT, System


@dataclass(frozen=True)
class Solution:
    """A decision with its round latency and a proven bound on every other decision's.

    Parameters
    ----------
    decision : Decision
        Cuts and shares of the band, both (N, K).
    latency_s : (N,) array
        The round's length under the decision, seconds.
    lower_bound_s : (N,) array
        No decision of the kind searched is faster than this in rounds of ``system``: with any cuts for the
        solvers of the whole problem, with the given cuts for the allocation of the band alone. Of any other
        system it proves nothing.
    iterations : (N,) integer array
        Evaluations that the solver needed.
    system : {"parallel", "sequence"}
        The system that was solved, which is that of the problem: solvers refuse those that they do not know.
    """

    decision: Decision
    latency_s: Array  # (N,)
    lower_bound_s: Array  # (N,)
    iterations: NDArray[np.intp]  # (N,)
    system: System

    @property
    def relative_gap(self) -> Array:
        """(N,): by how much the decision could at most be improved, as a share of the bound."""
        bounded = self.lower_bound_s > 0.0
        gap: Array = np.where(self.latency_s > self.lower_bound_s, np.inf, 0.0)
        np.divide(self.latency_s - self.lower_bound_s, self.lower_bound_s, out=gap, where=bounded)
        return gap


def require_system(problem: RoundProblem, wanted: System, solver: str) -> None:
    """Raise unless a problem stands for the system that a solver knows.

    Raises
    ------
    ProblemError
        Naming both, and what can be solved instead.
    """
    if problem.system == wanted:
        return
    instead = ""
    if wanted == "parallel":
        optimum = ", or take solve_in_turn(problem), which finds their optimum" * (problem.system == "sequence")
        instead = (
            " Solve the surrogate, problem.as_parallel(), whose optimum and bound are those of devices that work "
            f"side by side{optimum}."
        )
    raise ProblemError(
        f"{solver} is for {ABOUT[wanted]}, and this problem stands for {ABOUT[problem.system]}.{instead}"
    )
