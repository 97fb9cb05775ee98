"""The optimal split of the band, the optimal cuts, and the proof that they are."""

from sfl_env.optimum.bandwidth import allocate_bandwidth, split_band
from sfl_env.optimum.by_air_time import proportional_decision
from sfl_env.optimum.in_turn import alone_s, solve_in_turn
from sfl_env.optimum.joint import best_cuts, solve_exact
from sfl_env.optimum.needed import Needed, needed_by
from sfl_env.optimum.solution import Solution

__all__ = [
    "Needed",
    "Solution",
    "allocate_bandwidth",
    "alone_s",
    "best_cuts",
    "needed_by",
    "proportional_decision",
    "solve_exact",
    "solve_in_turn",
    "split_band",
]
