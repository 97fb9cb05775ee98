"""Accuracy mode: a real network trained round by round, split between devices and a server.

What users need is importable from here; ``load_data`` is :func:`sfl_env.learning.data.load`. Importing this
package does not import torch: what needs it is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sfl_env.learning.partition import Partition, scheme
from sfl_env.learning.protocol import Learner, Progress, Score

if TYPE_CHECKING:
    from sfl_env.learning.data import TensorData, from_datasets
    from sfl_env.learning.data import load as load_data
    from sfl_env.learning.executors.message_passing import NumberFormats
    from sfl_env.learning.federated import SplitFederatedTraining
    from sfl_env.learning.plan import LocalTraining
    from sfl_env.learning.result import RoundResult
    from sfl_env.learning.scenario import ScenarioLearner

__all__ = [
    "Learner",
    "LocalTraining",
    "NumberFormats",
    "Partition",
    "Progress",
    "RoundResult",
    "ScenarioLearner",
    "Score",
    "SplitFederatedTraining",
    "TensorData",
    "from_datasets",
    "load_data",
    "scheme",
]

_NEEDING_TORCH = {
    "LocalTraining": ("plan", "LocalTraining"),
    "NumberFormats": ("executors.message_passing", "NumberFormats"),
    "RoundResult": ("result", "RoundResult"),
    "ScenarioLearner": ("scenario", "ScenarioLearner"),
    "SplitFederatedTraining": ("federated", "SplitFederatedTraining"),
    "TensorData": ("data", "TensorData"),
    "from_datasets": ("data", "from_datasets"),
    "load_data": ("data", "load"),
}
"""Module and name there of what is loaded on demand."""


def __getattr__(name: str) -> Any:
    if name not in _NEEDING_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, inside = _NEEDING_TORCH[name]
    return getattr(import_module(f"{__name__}.{module}"), inside)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
