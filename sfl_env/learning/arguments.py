"""What a training is made of: looked at before anything is computed."""

from typing import get_args

import torch
from torch import nn

from sfl_env.checks import require_choice, shown
from sfl_env.errors import DataError, TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.plan import ExecutorName, LocalTraining
from sfl_env.scenario import Schedule


def check_arguments(
    network: object,
    data: object,
    partition: object,
    local: object,
    executor: str,
    schedule: str,
    dtype: object,
) -> None:
    """Raise unless the arguments of a training are of their kinds.

    Raises
    ------
    TrainingError, DataError
        It names the argument, and what it has to be.
    """
    require_choice("executor", executor, get_args(ExecutorName), TrainingError)
    require_choice("schedule", schedule, get_args(Schedule), TrainingError)
    check_network(network)
    check_data(data)
    if not callable(partition):
        raise TrainingError(
            f"partition is {shown(partition)}; it has to be a function such as sfl_env.learning.scheme('iid', K)."
        )
    if not (local is None or isinstance(local, LocalTraining)):
        raise TrainingError(f"local is {shown(local)}; it has to be a LocalTraining(iterations=..., ...).")
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TrainingError(f"dtype is {shown(dtype)}; it has to be a floating-point type, such as torch.float32.")


def check_network(network: object) -> None:
    """Raise unless it is a function, as a training makes networks of.

    Raises
    ------
    TrainingError
        It says why a network itself will not do.
    """
    if isinstance(network, nn.Module) or not callable(network):
        raise TrainingError(
            f"network is {type(network).__name__}; it has to be a function that returns a network with fresh "
            "weights, since each episode starts from new ones."
        )


def check_data(data: object) -> None:
    """Raise unless it is a data set as trainings take it.

    Raises
    ------
    DataError
        It says how to make one.
    """
    if not isinstance(data, TensorData):
        raise DataError(
            f"data is {type(data).__name__}; it has to be a TensorData: sfl_env.learning.from_datasets("
            "train, test) makes one of any two map-style Datasets."
        )
