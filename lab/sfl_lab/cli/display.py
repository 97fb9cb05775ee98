"""What commands show on the terminal while and after they work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from sfl_lab.compare.curves.comparison import LearningResults
    from sfl_lab.compare.rounds.comparison import Results


def console() -> "Console":
    """Return the terminal, or a plain stand-in where output goes elsewhere."""
    from sfl_lab.cli import terminal

    return terminal.console()


@contextmanager
def rollout_progress(rollouts: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Show a progress bar over so many rollouts and their rounds; yields the callbacks that move it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sfl_lab.cli import terminal
    from sfl_lab.cli.text import plain

    columns = (
        TextColumn("{task.description:<18}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rollouts * rounds)

        def on_policy(label: str, number: int) -> None:
            progress.update(task, description=plain(label), completed=number * rounds)

        yield {"on_policy": on_policy, "on_round": lambda: progress.advance(task)}


def show_results(results: "Results") -> None:
    """Print a comparison's table."""
    from sfl_lab.compare.rounds.tables import terminal_table

    terminal = console()
    terminal.print(terminal_table(results.scores, results.title, results.reference, results.by_return))
    if results.scenario.synchronised_phases:
        terminal.print(
            "No optimum is known for synchronised phases: rounds are compared to a lower bound (no waiting, and a "
            "server that takes no time) that need not be reachable."
        )


def show_learning(results: "LearningResults") -> None:
    """Print the table of a comparison of learning curves."""
    from sfl_lab.compare.curves.tables import terminal_table

    terminal = console()
    terminal.print(terminal_table(results.scores, results.target, results.first, results.title))
    if any(entry.kind == "reference" for entry in results.scores):
        terminal.print("Centralised training has no time axis: all data lies at one place and nothing is sent.")
