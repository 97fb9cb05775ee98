"""One round as pure functions and values: no time, no agent, no Gymnasium."""

from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.latency import PHASES, round_problem
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.problem import Decision, RoundProblem
from sfl_env.rounds.problem_files import read_problem, write_problem
from sfl_env.rounds.system import System
from sfl_env.rounds.workload import Workload

__all__ = [
    "PHASES",
    "Conditions",
    "Decision",
    "Outcome",
    "Resources",
    "RoundProblem",
    "System",
    "Workload",
    "read_problem",
    "round_problem",
    "write_problem",
]
