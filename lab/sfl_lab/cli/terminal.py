"""The terminal that commands print to."""

from typing import Any

from rich.console import Console
from rich.text import Text

from sfl_lab.text import printable

PIPE_WIDTH = 120
"""Columns to write when the output is no terminal."""


def console(*, stderr: bool = False, width: int = PIPE_WIDTH) -> Console:
    """Return the terminal, or a stand-in of the given width where output goes elsewhere.

    Whatever is printed is shown as the letters that it is made of: markup, emoji codes and control characters
    have no effect, since names come from files.
    """
    found = _Console(stderr=stderr, markup=False, emoji=False)
    return found if found.is_terminal else _Console(stderr=stderr, markup=False, emoji=False, width=width)


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Return what becomes of a string in a table or a line; lines stay lines."""
        return super().render_str("\n".join(printable(line) for line in text.split("\n")), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which ends quietly whoever has written."""
        raise BrokenPipeError
