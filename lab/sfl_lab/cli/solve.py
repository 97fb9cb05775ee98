"""``sfl solve``: the optimal decision of one round."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfl_env import Decision
    from sfl_env.rounds.outcome import Outcome
    from sfl_lab.cli.solved import Solved


@dataclass(frozen=True)
class Solve:
    """Solve a round exactly and by alternating optimisation, and show cuts, shares and the proof.

    Where no optimum is known (synchronised phases, a deadline), a surrogate is solved and said to be one.

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
        from sfl_env.errors import RunError
        from sfl_env.rounds.problem_files import write_problem
        from sfl_env.storage.runs import write_json
        from sfl_lab.cli import solved
        from sfl_lab.cli.display import console

        for path in (self.out, self.save_problem):
            if path is not None and path.exists() and not self.overwrite:
                raise RunError(f"{path} exists already; give --overwrite to replace it.")
            if path is not None and not path.parent.is_dir():
                raise RunError(f"The folder {path.parent} for {path.name} does not exist; make it first.")
        found = self._read() if self.problem is not None else self._sample()
        terminal = console()
        n = found.problem.shape[0]
        if n == 1:
            terminal.print(solved.round_table(found))
            terminal.print(solved.round_notes(found), highlight=False)
        else:
            terminal.print(solved.rounds_table(found))
        if n > solved.MAX_ROUNDS_SHOWN:
            more = n - solved.MAX_ROUNDS_SHOWN
            terminal.print(f"and {more} more; --out FILE.json writes all.", highlight=False)
        if self.save_problem is not None:
            write_problem(self.save_problem, found.problem)
            print(f"Problem written to {self.save_problem}")
        if self.out is not None:
            write_json(self.out, solved.plain(found))
            print(f"Solutions written to {self.out}")

    def _read(self) -> "Solved":
        from sfl_env.errors import ProblemError
        from sfl_env.rounds.problem_files import read_problem
        from sfl_lab.cli.solved import solve

        assert self.problem is not None
        problem = read_problem(self.problem)
        if not problem.shape[0]:
            raise ProblemError(f"{self.problem} holds no rounds; there is nothing to solve.")
        return solve(problem)

    def _sample(self) -> "Solved":
        from sfl_baselines.environments import make_batch, training_seed
        from sfl_lab.cli.fields import parse_fields
        from sfl_lab.cli.solved import solve

        envs = make_batch(self.env_id, 1, parse_fields(self.fields))
        envs.reset(seed=training_seed(self.seed))
        now, simulator = envs.episodes, envs.episodes.simulator

        def carry_out(decision: "Decision") -> "tuple[Decision, Outcome]":
            played, _ = simulator.carried_out(now.state, decision)
            return played, simulator.outcome(now.state, now.true, played)

        return solve(envs.true_problem(), simulator.profile.cut_names, carry_out)
