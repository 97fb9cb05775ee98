"""Who takes part in rounds with a deadline."""

from sfl_baselines.selection.fedcs import select_fedcs
from sfl_baselines.selection.knapsack import Packing, pack
from sfl_baselines.selection.policy import DeadlinePolicy, DeadlineRule, can_select, most_samples
from sfl_baselines.selection.solver import Selection, solve_selection

__all__ = [
    "DeadlinePolicy",
    "DeadlineRule",
    "Packing",
    "Selection",
    "can_select",
    "most_samples",
    "pack",
    "select_fedcs",
    "solve_selection",
]
