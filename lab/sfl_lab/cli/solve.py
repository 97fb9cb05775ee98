"""``sfl solve``: the best decision of one round, and the proof where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfl_baselines import AlternatingSolution, Solution
    from sfl_env import RoundProblem, SFLVectorEnv

_MAX_ROUNDS_SHOWN = 20
"""Rounds of a file with more than one that get a line on the terminal."""


@dataclass(frozen=True)
class Solve:
    """Solve a round exactly and by alternating optimisation, and show cuts, shares and the proof.

    Where devices take turns, each one's own best cut is shown, which is the optimum there. Where every phase waits
    for all devices or late ones are left out, no solver here is optimal: the surrogate in which all devices work
    at once is solved, and what its decision comes to is told without a bound.

    Examples: 'sfl solve --fields num_devices=5 --seed 3' or 'sfl solve --problem round.json'
    """

    problem: Path | None = None
    """Problem file, .json or .npz, with the fields of sfl_env.RoundProblem; by default a round is sampled."""
    env_id: str = "SFL-v0"
    """Environment whose first round is sampled."""
    fields: tuple[str, ...] = ()
    """Scenario fields to override, such as num_devices=5."""
    seed: int = 0
    """Of the sampled round."""
    save_problem: Path | None = None
    """Write the problem to this file, .json or .npz."""
    out: Path | None = None
    """Write the solutions to this JSON file."""
    overwrite: bool = False
    """Replace files that are there."""

    def run(self) -> None:
        """Solve, print and write."""
        from sfl_env.errors import ProblemError
        from sfl_env.rounds.problem_files import read_problem, write_problem
        from sfl_env.storage.runs import write_json

        self._check_outputs()
        envs: SFLVectorEnv | None = None
        names: Sequence[str] = ()
        if self.problem is not None:
            problem = read_problem(self.problem)
            if not problem.shape[0]:
                raise ProblemError(f"{self.problem} holds no rounds; there is nothing to solve.")
        else:
            envs = self._envs()
            problem, names = envs.true_problem(), envs.profile.cut_names
        found = _in_turn(problem, names) if problem.system == "sequence" else _at_once(problem, names, envs)
        if self.save_problem is not None:
            write_problem(self.save_problem, problem)
            print(f"Problem written to {self.save_problem}")
        if self.out is not None:
            write_json(self.out, {"system": problem.system, **found})
            print(f"Solutions written to {self.out}")

    def _check_outputs(self) -> None:
        from sfl_env.errors import RunError

        for path in (self.out, self.save_problem):
            if path is not None and path.exists() and not self.overwrite:
                raise RunError(f"{path} exists already; give --overwrite to replace it.")
            if path is not None and not path.parent.is_dir():
                raise RunError(f"The folder {path.parent} for {path.name} does not exist; make it first.")

    def _envs(self) -> "SFLVectorEnv":
        from sfl_baselines.environments import make_batch, training_seed
        from sfl_lab.cli.fields import parse_fields

        envs = make_batch(self.env_id, 1, parse_fields(self.fields))
        envs.reset(seed=training_seed(self.seed))
        return envs


def _in_turn(problem: "RoundProblem", cut_names: Sequence[str]) -> dict[str, Any]:
    """Solve and show rounds of devices that take turns."""
    from sfl_baselines import solve_in_turn

    solution = solve_in_turn(problem)
    if problem.shape[0] == 1:
        _show_turns(problem, solution, cut_names)
    else:
        _show_rounds(problem, [("optimum s", solution)], proven=True)
    return {"in_turn": _plain(solution, proven=True)}


def _at_once(problem: "RoundProblem", cut_names: Sequence[str], envs: "SFLVectorEnv | None") -> dict[str, Any]:
    """Solve and show rounds as if all devices worked at once, which proves something where they do."""
    from sfl_baselines import solve_alternating, solve_exact
    from sfl_env.rounds.problem import SYSTEMS
    from sfl_lab.cli.display import console

    proven = problem.system == "parallel"
    at_once = problem.as_parallel()
    exact, alternating = solve_exact(at_once), solve_alternating(at_once)
    if problem.shape[0] == 1:
        _show_round(at_once, exact, alternating, cut_names, "optimal" if proven else "surrogate's")
    else:
        _show_rounds(problem, [("optimum s" if proven else "surrogate s", exact), ("AO s", alternating)], proven)
    if proven and problem.shape[0] == 1:
        _tell_proof(exact, alternating)
    if not proven:
        console().print(
            f"This is a surrogate: in the system of this problem, {problem.system!r}, {SYSTEMS[problem.system]}, "
            f"and here all devices were taken to work at once. Nothing is proven."
            f"{_carried_out(exact, envs)}{_elsewhere(problem)}",
            highlight=False,
        )
    return {"exact": _plain(exact, proven), "alternating": _plain(alternating, proven)}


def _elsewhere(problem: "RoundProblem") -> str:
    """Tell where the solvers of other systems are."""
    if problem.system != "staged":
        return ""
    return " Rounds in stages have solvers and a bound of their own: see sfl_baselines.staged."


def _carried_out(exact: "Solution", envs: "SFLVectorEnv | None") -> str:
    """Tell what a decision comes to in the environment itself."""
    if envs is None:
        return ""
    import numpy as np

    action = envs.episodes.action_encoder.encode(exact.decision, envs.episodes.now.observed)
    infos = envs.step(action)[4]
    told = f" Carried out in the environment, this decision takes {infos['latency_s'][0]:.6g} s"
    if not infos["takes_part"].all():
        told += (
            f", and {np.count_nonzero(infos['takes_part'][0])} of {infos['takes_part'].shape[1]} devices take part"
        )
    return f"{told}."


def _show_round(
    problem: "RoundProblem",
    exact: "Solution",
    alternating: "AlternatingSolution",
    cut_names: Sequence[str],
    whose: str,
) -> None:
    from rich.table import Table

    from sfl_lab.cli.display import console

    decision = exact.decision
    cut, share = decision.cut[0], decision.bandwidth_share[0]
    computing_s = problem.at_cut(decision.cut)[0][0]
    done_s = problem.device_latency_s(decision)[0]
    table = Table(title=f"The {whose} round: {exact.latency_s[0]:.6g} s", title_justify="left")
    for heading in ("device", "cut", "band", "MHz", "computes s", "on air s", "done at s", "AO's cut"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k in range(len(cut)):
        table.add_row(
            str(k),
            _cut(cut_names, cut[k]),
            f"{100 * share[k]:.3f} %",
            f"{share[k] * problem.uplink_bandwidth_hz[0] / 1e6:.4g}",
            f"{computing_s[k]:.5g}",
            f"{done_s[k] - computing_s[k]:.5g}",
            f"{done_s[k]:.6g}",
            str(alternating.decision.cut[0, k] + 1),
        )
    console().print(table)


def _tell_proof(exact: "Solution", alternating: "AlternatingSolution") -> None:
    from sfl_lab.cli.display import console

    console().print(
        f"No decision is faster than {exact.lower_bound_s[0]:.12g} s (gap {exact.relative_gap[0]:.1e}, "
        f"{exact.iterations[0]} evaluations).\n"
        f"Alternating optimisation: {alternating.latency_s[0]:.12g} s, "
        f"{_over(alternating, exact)[0]:.1e} above the optimum, iterations: {alternating.iterations[0]}.",
        highlight=False,
    )


def _show_turns(problem: "RoundProblem", solution: "Solution", cut_names: Sequence[str]) -> None:
    import numpy as np
    from rich.table import Table

    from sfl_env import Decision
    from sfl_lab.cli.display import console

    cut = solution.decision.cut
    computing_s = problem.at_cut(cut)[0][0]
    own_s = problem.device_latency_s(Decision(cut, np.ones(cut.shape)))[0]
    table = Table(title=f"The optimal round in turn: {solution.latency_s[0]:.6g} s", title_justify="left")
    for heading in ("device", "cut", "computes s", "on air s", "done at s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, done_s in enumerate(np.cumsum(own_s)):
        table.add_row(
            str(k),
            _cut(cut_names, cut[0, k]),
            f"{computing_s[k]:.5g}",
            f"{own_s[k] - computing_s[k]:.5g}",
            f"{done_s:.6g}",
        )
    terminal = console()
    terminal.print(table)
    terminal.print(
        "Devices take turns, each with the whole band, and each has the cut that is fastest for it: no decision "
        "is faster.",
        highlight=False,
    )


def _show_rounds(problem: "RoundProblem", columns: "Sequence[tuple[str, Solution]]", proven: bool) -> None:
    from rich.table import Table

    from sfl_lab.cli.display import console

    n, k, c = problem.shape
    table = Table(title=f"{n} rounds of {k} devices with {c} cuts", title_justify="left")
    (heading, first), *others = columns
    bound = ("lower bound s",) if proven else ()
    for name in (
        "round",
        heading,
        *bound,
        *(text for other, _ in others for text in (other, "above", "iterations")),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for i in range(min(n, _MAX_ROUNDS_SHOWN)):
        cells = [str(i), f"{first.latency_s[i]:.9g}", *(f"{first.lower_bound_s[i]:.9g}" for _ in bound)]
        for _, other in others:
            cells += [f"{other.latency_s[i]:.9g}", f"{_over(other, first)[i]:.1e}", str(other.iterations[i])]
        table.add_row(*cells)
    terminal = console()
    terminal.print(table)
    if n > _MAX_ROUNDS_SHOWN:
        terminal.print(f"and {n - _MAX_ROUNDS_SHOWN} more; --out FILE.json writes all.", highlight=False)


def _cut(cut_names: Sequence[str], cut: int) -> str:
    return f"{cut_names[cut]}  {cut + 1}" if cut_names else str(cut + 1)


def _over(solution: "Solution", exact: "Solution") -> Any:
    """By what share of the optimum a solution is above it, apart from rounding."""
    import numpy as np

    return np.maximum(solution.latency_s / np.where(exact.latency_s > 0.0, exact.latency_s, 1.0) - 1.0, 0.0)


def _plain(solution: "Solution", proven: bool) -> dict[str, Any]:
    return {
        "cut_index": solution.decision.cut,
        "bandwidth_share": solution.decision.bandwidth_share,
        "latency_s": solution.latency_s,
        "lower_bound_s": solution.lower_bound_s if proven else None,
        "iterations": solution.iterations,
    }
