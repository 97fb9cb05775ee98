"""What commands show on the terminal while and after they work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from sfl_lab.compare.contest import Results

PIPE_WIDTH, WIDEST = 120, 10_000
"""Columns to write when the output is no terminal, and with a table that is wide."""


def console() -> "Console":
    """Return the terminal, or a plain stand-in where output goes elsewhere."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=PIPE_WIDTH)


class Bar:
    """A progress bar over the records of a contest, told of by a contest."""

    def __init__(self, progress: "Progress", records: int, rounds: int) -> None:
        self._progress, self._rounds = progress, rounds
        self._task = progress.add_task("", total=records * rounds)

    def on_record(self, label: str, number: int) -> None:
        """Name whose record it is."""
        from sfl_lab.compare.writing import printable

        self._progress.update(self._task, description=printable(label), completed=number * self._rounds)

    def on_round(self) -> None:
        """Move on by one round."""
        self._progress.advance(self._task)

    def on_damage(self, problem: str) -> None:
        """Say so above the bar."""
        self._progress.console.print(f"sfl: {problem}", markup=False, highlight=False, emoji=False)


@contextmanager
def contest_progress(records: int, rounds: int) -> Iterator[Bar]:
    """Show a progress bar over so many records and their rounds; yields the watcher that moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description:<18}", markup=False)  # names are no markup
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, records, rounds)


def show(results: "Results") -> None:
    """Print a contest's table and what is to be said of it."""
    from rich.console import Console

    terminal, table = console(), results.table()
    if not terminal.is_terminal:  # where no column has to be cut short
        terminal = Console(width=max(PIPE_WIDTH, Console(width=WIDEST).measure(table).maximum))
    terminal.print(table)
    for note in results.notes():
        say(note)


def say(text: str) -> None:
    """Print a text as it is: names and paths in it are no markup."""
    console().print(text, markup=False, emoji=False)
