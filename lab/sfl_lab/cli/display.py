"""What commands show on the terminal while and after they work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from sfl_lab.compare.contest import Results

_WIDEST = 10_000
"""Columns that the widest table may take."""


def console() -> "Console":
    """Return the terminal, or a plain stand-in where output goes elsewhere."""
    from sfl_lab.cli import terminal

    return terminal.console()


class _Bar:
    """A progress bar over the records of a contest, told of by a contest."""

    def __init__(self, progress: "Progress", records: int, rounds: int) -> None:
        self._progress, self._rounds = progress, rounds
        self._task = progress.add_task("", total=records * rounds)

    def on_record(self, label: str, number: int) -> None:
        """Name whose record it is."""
        from sfl_lab.text import printable

        self._progress.update(self._task, description=printable(label), completed=number * self._rounds)

    def on_round(self) -> None:
        """Move on by one round."""
        self._progress.advance(self._task)

    def on_damage(self, problem: str) -> None:
        """Say so above the bar."""
        self._progress.console.print(f"sfl: {problem}", highlight=False)


@contextmanager
def contest_progress(records: int, rounds: int) -> Iterator[_Bar]:
    """Show a progress bar over so many records and their rounds; yields the watcher that moves it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sfl_lab.cli import terminal

    name = TextColumn("{task.description:<18}", markup=False)  # names are no markup
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal.console(stderr=True), transient=True) as progress:
        yield _Bar(progress, records, rounds)


def show(results: "Results") -> None:
    """Print a contest's table and what is to be said of it."""
    from sfl_lab.cli import terminal

    screen, table = console(), results.table()
    if not screen.is_terminal:  # where no column has to be cut short
        needed = terminal.console(width=_WIDEST).measure(table).maximum
        screen = terminal.console(width=max(terminal.PIPE_WIDTH, needed))
    screen.print(table)
    for note in results.notes():
        say(note)


def say(text: str) -> None:
    """Print a text as it is: names and paths in it are no markup."""
    console().print(text)


def warn(text: str) -> None:
    """Say on standard error what a command has found that its user should not miss."""
    from sfl_lab.cli import terminal

    terminal.console(stderr=True).print(f"sfl: warning: {text}", highlight=False)
