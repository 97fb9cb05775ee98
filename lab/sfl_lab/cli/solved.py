"""A round's solutions as tables, texts and plain values; what is proven is told from what is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sfl_baselines import Solution, solve_alternating, solve_exact, solve_in_turn
from sfl_env import Decision, RoundProblem
from sfl_env.arrays import Array
from sfl_env.rounds.outcome import Outcome
from sfl_env.rounds.system import ABOUT
from sfl_lab.text import printable

if TYPE_CHECKING:
    from rich.table import Table

MAX_ROUNDS_SHOWN = 20
"""Rounds of a file with more than one that get a line on the terminal."""

CarryOut = Callable[[Decision], tuple[Decision, Outcome]]
"""What becomes of a decision in a system: the cuts and shares that it is carried out with, and their outcome."""


@dataclass(frozen=True)
class Answer:
    """What a solver decided, and what the decision comes to in the problem's own system.

    Parameters
    ----------
    solution : Solution
        Of the problem, or of its surrogate.
    played : Decision
        The cuts and shares that devices have in the problem's system: in sequence, the whole band each.
    latency_s : (N,) array or None
        The round's length in the problem's system; None where that is not known.
    outcome : Outcome or None
        Of a surrogate's decision, carried out in the problem's system.
    """

    solution: Solution
    played: Decision
    latency_s: Array | None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Solved:
    """N rounds and the answers of all solvers that there are for their system.

    Parameters
    ----------
    problem : RoundProblem
        The rounds.
    answers : dict
        Those of ``"exact"`` and, but for devices that take turns, ``"alternating"``.
    cut_names : sequence of str
        Empty if unknown.
    """

    problem: RoundProblem
    answers: dict[str, Answer]
    cut_names: Sequence[str] = ()

    @property
    def proven(self) -> bool:
        """Whether the answer of ``"exact"`` is the optimum of the problem itself."""
        return self.answers["exact"].solution.system == self.problem.system


def solve(problem: RoundProblem, cut_names: Sequence[str] = (), carry_out: CarryOut | None = None) -> Solved:
    """Solve N rounds by what is known of their system; where no solver is, solve the surrogate.

    Parameters
    ----------
    problem : RoundProblem
        The rounds.
    cut_names : sequence of str
        For tables.
    carry_out : callable, optional
        What a decision comes to in the problem's system, for those whose problems do not tell.
    """
    if problem.system == "sequence":
        in_turn = solve_in_turn(problem)
        played = in_turn.decision._replace(bandwidth_share=np.ones(problem.shape[:2]))
        return Solved(problem, {"exact": Answer(in_turn, played, in_turn.latency_s)}, cut_names)
    side_by_side = problem.as_parallel()
    answers = {}
    for name, solver in (("exact", solve_exact), ("alternating", solve_alternating)):
        solution = solver(side_by_side)
        if problem.system == "parallel":
            answers[name] = Answer(solution, solution.decision, solution.latency_s)
        elif carry_out is None:
            answers[name] = Answer(solution, solution.decision, None)
        else:
            played, outcome = carry_out(solution.decision)
            answers[name] = Answer(solution, played, outcome.latency_s, outcome)
    return Solved(problem, answers, cut_names)


def round_table(solved: Solved) -> "Table":
    """Return the decision for a single round, a line for each device."""
    from rich.table import Table
    from rich.text import Text

    problem, answer = solved.problem, solved.answers["exact"]
    other = solved.answers.get("alternating")
    cut, share = (entry[0] for entry in answer.played)
    computing_s = problem.at_cut(answer.played.cut)[0][0]
    taken_s = problem.device_latency_s(answer.played)[0]
    table = Table(title=_title(solved), title_justify="left")
    last = "done at s" if problem.system == "parallel" else "takes itself s"
    headings = ["device", "cut", "band", "MHz", "computes s", "on air s", last]
    for heading in [*headings, *(["AO's cut"] if other else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    for k in range(len(cut)):
        name = f"{printable(solved.cut_names[cut[k]])}  " if solved.cut_names else ""
        row = [
            str(k),
            f"{name}{cut[k] + 1}",
            f"{100 * share[k]:.3f} %",
            f"{share[k] * problem.uplink_bandwidth_hz[0] / 1e6:.4g}",
            f"{computing_s[k]:.5g}",
            f"{taken_s[k] - computing_s[k]:.5g}",
            f"{taken_s[k]:.6g}",
        ]
        if other:
            row.append(str(other.solution.decision.cut[0, k] + 1))
        table.add_row(*map(Text, row))  # names are no markup
    return table


def round_notes(solved: Solved) -> str:
    """Return what is proven of the decision for a single round, or what is not."""
    exact = solved.answers["exact"].solution
    if solved.problem.system == "sequence":
        return (
            f"No decision is faster than {exact.lower_bound_s[0]:.12g} s: devices take turns, and each has its "
            "own best cut with the whole band."
        )
    if not solved.proven:
        return _surrogate_notes(solved)
    alternating = solved.answers["alternating"].solution
    return (
        f"No decision is faster than {exact.lower_bound_s[0]:.12g} s (gap {exact.relative_gap[0]:.1e}, "
        f"{exact.iterations[0]} evaluations).\n"
        f"Alternating optimisation: {alternating.latency_s[0]:.12g} s, "
        f"{_over(alternating, exact)[0]:.1e} above the optimum, iterations: {alternating.iterations[0]}."
    )


def rounds_table(solved: Solved) -> "Table":
    """Return many rounds, a line for each."""
    from rich.table import Table

    n, k, c = solved.problem.shape
    kind = "" if solved.proven else "; solved as a surrogate, nothing is proven"
    table = Table(title=f"{n} rounds of {k} devices with {c} cuts{kind}", title_justify="left")
    exact, alternating = solved.answers["exact"], solved.answers.get("alternating")
    columns: dict[str, Sequence[str]] = {"round": [str(i) for i in range(n)]}
    if solved.proven:
        columns["optimum s"] = [f"{seconds:.9g}" for seconds in exact.solution.latency_s]
        columns["lower bound s"] = [f"{seconds:.9g}" for seconds in exact.solution.lower_bound_s]
        if alternating:
            over = _over(alternating.solution, exact.solution)
            columns["AO s"] = [f"{seconds:.9g}" for seconds in alternating.solution.latency_s]
            columns["AO above"] = [f"{share:.1e}" for share in over]
            columns["AO iterations"] = [str(count) for count in alternating.solution.iterations]
    else:
        for name, answer in solved.answers.items():
            lengths = answer.latency_s
            columns[f"{name} s"] = (
                ["unknown"] * n if lengths is None else [f"{seconds:.9g}" for seconds in lengths]
            )
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for i in range(min(n, MAX_ROUNDS_SHOWN)):
        table.add_row(*(entries[i] for entries in columns.values()))
    return table


def plain(solved: Solved) -> dict[str, Any]:
    """Return the answers as a dictionary for JSON; only what is proven has a ``lower_bound_s``."""
    found: dict[str, Any] = {"system": solved.problem.system, "proven": solved.proven}
    for name, answer in solved.answers.items():
        entry: dict[str, Any] = {
            "cut_index": answer.solution.decision.cut,
            "bandwidth_share": answer.solution.decision.bandwidth_share,
            "latency_s": answer.latency_s,
            "iterations": answer.solution.iterations,
        }
        if solved.proven:
            entry["lower_bound_s"] = answer.solution.lower_bound_s
        found[name] = entry
    return found


def _title(solved: Solved) -> str:
    latency_s = solved.answers["exact"].latency_s
    length = "of unknown length" if latency_s is None else f"{latency_s[0]:.6g} s"
    return f"The optimal round: {length}" if solved.proven else f"A surrogate's round: {length}"


def _surrogate_notes(solved: Solved) -> str:
    lines = [
        f"No optimum is known for {ABOUT[solved.problem.system]}. These cuts and shares are a surrogate's, "
        "optimal for devices that work side by side; nothing is proven of them here, and other decisions may be faster."
    ]
    exact = solved.answers["exact"]
    if exact.latency_s is None:
        lines.append("How long the round lasts in that system, the problem does not tell.")
    else:
        lines.append(f"Carried out in that system the round lasts {exact.latency_s[0]:.12g} s.")
    if exact.outcome is not None and exact.outcome.takes_part is not None:
        here, all_devices = int(exact.outcome.takes_part[0].sum()), solved.problem.shape[1]
        lines.append(f"Devices that are in time for it: {here} of {all_devices}.")
    alternating = solved.answers["alternating"].latency_s
    if alternating is not None:
        lines.append(f"Alternating optimisation's decision, a surrogate too: {alternating[0]:.12g} s.")
    return "\n".join(lines)


def _over(alternating: Solution, exact: Solution) -> Array:
    """By what share of the optimum alternating optimisation is above it, apart from rounding."""
    optimum_s = np.where(exact.latency_s > 0.0, exact.latency_s, 1.0)
    over: Array = np.maximum(alternating.latency_s / optimum_s - 1.0, 0.0)
    return over
