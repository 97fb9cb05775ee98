"""Fields of accuracy mode."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sfl_env.checks import Range
from sfl_env.scenario.declaring import number, plain

Mode = Literal["latency", "accuracy"]
DatasetName = Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
PartitionName = Literal["iid", "dirichlet", "shards", "quantity-skew"]
Server = Literal["parallel-sl", "splitfed-v1", "splitfed-v2", "adaptsfl"]
"""How the server trains its side of the network; the names are the literature's."""
OptimizerName = Literal["sgd", "adam"]

USUAL_NETWORK: Mapping[DatasetName, str] = {
    "digits": "digits-cnn",
    "mnist": "lenet5",
    "fashion-mnist": "lenet5",
    "cifar10": "resnet18",
    "cifar100": "resnet18",
}
"""What ``model="auto"`` stands for in accuracy mode."""


@dataclass(frozen=True)
class AccuracyFields:
    """What is learnt, from which data, and how."""

    mode: Mode = plain("latency", "accuracy: every step trains the network for a round")
    dataset: DatasetName = plain("digits", "what the network learns")
    dataset_path: str | None = plain(None, "folder of the data set; None: the usual place, or the hub")
    partition: PartitionName = plain("iid", "how the samples are spread over the devices")
    partition_concentration: float = number(
        0.5, 1e-3, 1e6, "", "alpha of dirichlet and quantity-skew; the smaller, the more skewed"
    )
    shards_per_device: int = number(2, 1, 10_000, "", "of the partition shards")
    server: Server = plain("parallel-sl", "how the server trains its blocks: see docs/accuracy.md")
    optimizer: OptimizerName = plain("sgd", "of devices and server")
    learning_rate: float = number(0.05, 1e-9, 1e3, "", "step size")
    momentum: float = number(0.9, 0.0, 0.999999, "", "of sgd")
    target_accuracy: float | None = number(
        None, 0.0, 1.0, "", "the episode terminates once the test accuracy is this high; None: never"
    )
    learning_surrogate: bool = plain(
        False,
        "latency mode: whether rounds advance a fitted surrogate of learning, at whose target_accuracy the "
        "episode terminates",
    )
    surrogate_rounds: tuple[float, ...] = plain(
        (),
        "constants of your own for the surrogate: rounds that the target takes if devices hold the first block "
        "alone, then how many more for each further block that all hold; none: those that were measured",
        each=Range(0.0, 1e6),
    )
    surrogate_spread: float = number(
        0.0, 0.0, 2.0, "", "beside surrogate_rounds: deviation of the logarithm of the rounds that episodes take"
    )
