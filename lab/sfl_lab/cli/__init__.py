"""The command line, ``sfl``: each command is a dataclass in a module of its own, listed in ``COMMANDS``."""

import importlib
import sys
from collections.abc import Sequence
from typing import Protocol

from sfl_env.errors import SFLError
from sfl_lab.cli.wording import as_switches

USER_ERROR = 2
"""Exit status for a mistake in what the user gave, as for an argument that cannot be parsed."""

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

COMMANDS = {
    "benchmark": "sfl_lab.cli.benchmark:Benchmark",
    "evaluate": "sfl_lab.cli.evaluate:Evaluate",
    "profile": "sfl_lab.cli.profile:Profile",
    "solve": "sfl_lab.cli.solve:Solve",
    "train": "sfl_lab.cli.train:Train",
}
"""Subcommand to the dataclass of its arguments, as ``module:class``. Its fields and their docstrings become the
arguments and their help, and its ``run`` does the work. All these modules are imported to show the help, so
they import torch and other slow packages inside ``run``."""


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
        0 on success, 2 after a mistake of the user, which is told in one line on standard error.
    """
    command = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        command.run()
    except SFLError as error:
        print(f"sfl: error: {as_switches(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("sfl: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parse(arguments: Sequence[str]) -> Command:
    import tyro

    classes = {}
    for name, target in COMMANDS.items():
        module, _, class_name = target.partition(":")
        classes[name] = getattr(importlib.import_module(module), class_name)
    command: Command = tyro.extras.subcommand_cli_from_dict(
        classes,
        prog="sfl",
        description="Resource allocation in split federated learning: simulate, solve, learn, compare.",
        args=list(arguments),
    )
    return command
