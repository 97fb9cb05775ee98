"""The command line and the comparisons of sfl-env: :func:`main`, and the package :mod:`sfl_lab.compare`.

What is named here is imported on first use, since comparing needs torch.

Examples
--------
>>> from sfl_lab.compare import RoundContest, compare
>>> contest = RoundContest(policies=("exact", "equal-bandwidth"), episodes=2, fields={"max_rounds": 3})
>>> [score.policy for score in compare(contest, contest.lineup()).scores]
['exact', 'equal-bandwidth']
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfl_lab import compare
    from sfl_lab.cli import main

__all__ = ["compare", "main"]


def __getattr__(name: str) -> Any:
    if name == "main":
        return importlib.import_module(f"{__name__}.cli").main
    if name == "compare":
        return importlib.import_module(f"{__name__}.compare")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
