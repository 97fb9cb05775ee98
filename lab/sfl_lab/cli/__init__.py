"""The command line, ``sfl``: each command is a dataclass in a module of its own, listed in ``COMMANDS``.

Nothing but the standard library is imported before :func:`main` runs, so that an interruption or a broken pipe is
met there whenever it comes.
"""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol, TextIO

USER_ERROR = 2
"""Exit status for a mistake in what the user gave, as for an argument that cannot be parsed."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

BROKEN_PIPE = 141
"""Exit status where the reader of the output has gone, as after ``sfl benchmark --help | head -3``."""

COMMANDS = {
    "benchmark": "sfl_lab.cli.benchmark:Benchmark",
    "evaluate": "sfl_lab.cli.evaluate:Evaluate",
    "profile": "sfl_lab.cli.profile:Profile",
    "publish": "sfl_lab.cli.publish:Publish",
    "solve": "sfl_lab.cli.solve:Solve",
    "train": "sfl_lab.cli.train:Train",
    "tune": "sfl_lab.cli.tune:Tune",
}
"""Subcommand to the dataclass of its arguments, as ``module:class``. Its fields and their docstrings become the
arguments and their help, and its ``run`` does the work. All these modules are imported to show the help, so
they import torch and other slow packages inside ``run``."""

_DESCRIPTION = (
    "Resource allocation in split federated learning: simulate, solve, learn, compare. "
    "'sfl COMMAND --help' tells about a command, 'sfl --version' which version this is."
)


class Command(Protocol):
    """What a subcommand has to offer besides its fields."""

    def run(self) -> None:
        """Do the work; raise :class:`~sfl_env.errors.SFLError` for a mistake of the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 on success; 2 after a mistake of the user, or where the machine lacks what the command needs (space,
        permission, memory, an optional package), which is told in one line on standard error; 130 after Ctrl-C;
        141 where the reader of the output has gone. Any other error is a fault of this package and is raised.

    Raises
    ------
    SystemExit
        After showing help, and with status 2 for arguments that cannot be parsed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    with _usable_output():
        try:
            try:
                _run(given)
            finally:
                sys.stdout.flush()
        except KeyboardInterrupt:
            _complain("sfl: interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            return BROKEN_PIPE
        except Exception as error:
            from sfl_lab.cli.failures import told

            message = told(error)
            if message is None:
                raise
            _complain(f"sfl: error: {message}")
            return USER_ERROR
    return 0


def _run(arguments: list[str]) -> None:
    if arguments == ["--version"]:
        from sfl_env import __version__

        print(f"sfl {__version__}")
        return
    _parse(arguments).run()


def _parse(arguments: list[str]) -> Command:
    import tyro

    classes = {}
    for name, target in COMMANDS.items():
        module, _, class_name = target.partition(":")
        classes[name] = getattr(importlib.import_module(module), class_name)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command: Command = tyro.extras.subcommand_cli_from_dict(
                classes, prog="sfl", description=_DESCRIPTION, args=arguments
            )
    except SystemExit:
        from sfl_lab.text import printable

        # It quotes the arguments, which may hold anything.
        _complain("\n".join(printable(line) for line in complaint.getvalue().rstrip("\n").split("\n")))
        raise
    return command


def _complain(text: str) -> None:
    # Where standard error is closed there is nobody to tell.
    if text and sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _usable_output() -> Iterator[None]:
    """Make standard output take every character, or none where it is closed; leave nothing unwritten.

    What the interpreter cannot write to either output at its exit would turn the status into 120.
    """
    with contextlib.ExitStack() as stack:
        if sys.stderr is not None:
            stack.callback(_let_go, sys.stderr)
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        else:
            stack.callback(_let_go, sys.stdout)
            if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
                sys.stdout.reconfigure(errors="backslashreplace")
        yield


def _let_go(stream: TextIO) -> None:
    """Point a stream that cannot be written any more at nothing."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
