"""Policies compared on the same held-out episodes: one contest, by the lengths of rounds or by learning curves."""

from sfl_lab.compare.contest import compare, write_results
from sfl_lab.compare.curves.contest import CurveContest
from sfl_lab.compare.intervals import Interval, geometric_mean_interval, mean_interval, median_interval
from sfl_lab.compare.records import ImpossibleResultError
from sfl_lab.compare.rounds.contest import RoundContest

__all__ = [
    "CurveContest",
    "ImpossibleResultError",
    "Interval",
    "RoundContest",
    "compare",
    "geometric_mean_interval",
    "mean_interval",
    "median_interval",
    "write_results",
]
