"""``sfl solve``: the optimal decision of one round."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfl_baselines import AlternatingSolution, Solution
    from sfl_env import RoundProblem

MAX_ROUNDS_SHOWN = 20
"""Rounds of a file with more than one that get a line on the terminal."""


@dataclass(frozen=True)
class Solve:
    """Solve a round exactly and by alternating optimisation, and show cuts, shares and the proof.

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
        from sfl_baselines import solve_alternating, solve_exact
        from sfl_env.errors import RunError
        from sfl_env.rounds.problem_files import write_problem
        from sfl_env.storage.runs import write_json

        for path in (self.out, self.save_problem):
            if path is not None and path.exists() and not self.overwrite:
                raise RunError(f"{path} exists already; give --overwrite to replace it.")
            if path is not None and not path.parent.is_dir():
                raise RunError(f"The folder {path.parent} for {path.name} does not exist; make it first.")
        problem, cut_names = self._problem()
        exact, alternating = solve_exact(problem), solve_alternating(problem)
        if problem.shape[0] == 1:
            _show_round(problem, exact, alternating, cut_names)
        else:
            _show_rounds(problem, exact, alternating)
        if self.save_problem is not None:
            write_problem(self.save_problem, problem)
            print(f"Problem written to {self.save_problem}")
        if self.out is not None:
            write_json(self.out, {"exact": _plain(exact), "alternating": _plain(alternating)})
            print(f"Solutions written to {self.out}")

    def _problem(self) -> "tuple[RoundProblem, Sequence[str]]":
        from sfl_baselines.environments import make_batch, training_seed
        from sfl_env.rounds.problem_files import read_problem
        from sfl_lab.cli.fields import parse_fields

        if self.problem is not None:
            return read_problem(self.problem), ()
        envs = make_batch(self.env_id, 1, parse_fields(self.fields))
        envs.reset(seed=training_seed(self.seed))
        return envs.true_problem(), envs.episodes.simulator.profile.cut_names


def _show_round(
    problem: "RoundProblem", exact: "Solution", alternating: "AlternatingSolution", cut_names: Sequence[str]
) -> None:
    from rich.table import Table

    from sfl_lab.cli.display import console

    decision = exact.decision
    cut, share = decision.cut[0], decision.bandwidth_share[0]
    computing_s = problem.at_cut(decision.cut)[0][0]
    done_s = problem.device_latency_s(decision)[0]
    table = Table(title=f"The optimal round: {exact.latency_s[0]:.6g} s", title_justify="left")
    for heading in ("device", "cut", "band", "MHz", "computes s", "on air s", "done at s", "AO's cut"):
        table.add_column(heading, justify="right", no_wrap=True)
    for k in range(len(cut)):
        table.add_row(
            str(k),
            f"{cut_names[cut[k]]}  {cut[k] + 1}" if cut_names else str(cut[k] + 1),
            f"{100 * share[k]:.3f} %",
            f"{share[k] * problem.uplink_bandwidth_hz[0] / 1e6:.4g}",
            f"{computing_s[k]:.5g}",
            f"{done_s[k] - computing_s[k]:.5g}",
            f"{done_s[k]:.6g}",
            str(alternating.decision.cut[0, k] + 1),
        )
    terminal = console()
    terminal.print(table)
    terminal.print(
        f"No decision is faster than {exact.lower_bound_s[0]:.12g} s (gap {exact.relative_gap[0]:.1e}, "
        f"{exact.iterations[0]} evaluations).\n"
        f"Alternating optimisation: {alternating.latency_s[0]:.12g} s, "
        f"{_over(alternating, exact)[0]:.1e} above the optimum, iterations: {alternating.iterations[0]}.",
        highlight=False,
    )


def _show_rounds(problem: "RoundProblem", exact: "Solution", alternating: "AlternatingSolution") -> None:
    from rich.table import Table

    from sfl_lab.cli.display import console

    n, k, c = problem.shape
    table = Table(title=f"{n} rounds of {k} devices with {c} cuts", title_justify="left")
    for heading in ("round", "optimum s", "lower bound s", "AO s", "AO above", "AO iterations"):
        table.add_column(heading, justify="right", no_wrap=True)
    over = _over(alternating, exact)
    for i in range(min(n, MAX_ROUNDS_SHOWN)):
        table.add_row(
            str(i),
            f"{exact.latency_s[i]:.9g}",
            f"{exact.lower_bound_s[i]:.9g}",
            f"{alternating.latency_s[i]:.9g}",
            f"{over[i]:.1e}",
            str(alternating.iterations[i]),
        )
    terminal = console()
    terminal.print(table)
    if n > MAX_ROUNDS_SHOWN:
        terminal.print(f"and {n - MAX_ROUNDS_SHOWN} more; --out FILE.json writes all.", highlight=False)


def _over(alternating: "AlternatingSolution", exact: "Solution") -> Any:
    """By what share of the optimum alternating optimisation is above it, apart from rounding."""
    import numpy as np

    return np.maximum(alternating.latency_s / np.where(exact.latency_s > 0.0, exact.latency_s, 1.0) - 1.0, 0.0)


def _plain(solution: "Solution") -> dict[str, Any]:
    return {
        "cut_index": solution.decision.cut,
        "bandwidth_share": solution.decision.bandwidth_share,
        "latency_s": solution.latency_s,
        "lower_bound_s": solution.lower_bound_s,
        "iterations": solution.iterations,
    }
