"""What a solver returns: a decision, what it achieves, and how much better any decision could be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.problem import Decision


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
        No decision of the kind searched is faster than this: with any cuts for the exact joint solver, with
        the given cuts for the allocation of the band alone.
    iterations : (N,) integer array
        Evaluations that the solver needed.
    """

    decision: Decision
    latency_s: Array  # (N,)
    lower_bound_s: Array  # (N,)
    iterations: NDArray[np.intp]  # (N,)

    @property
    def relative_gap(self) -> Array:
        """(N,): by how much the decision could at most be improved, as a share of the bound."""
        bounded = self.lower_bound_s > 0.0
        gap: Array = np.where(self.latency_s > self.lower_bound_s, np.inf, 0.0)
        np.divide(self.latency_s - self.lower_bound_s, self.lower_bound_s, out=gap, where=bounded)
        return gap
