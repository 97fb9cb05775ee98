"""Which samples each device's mini-batches hold."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfl_env.checks import shown
from sfl_env.errors import DataError, TrainingError
from sfl_env.learning.partition import Partition, Partitioner
from sfl_env.learning.plan import LocalTraining, RoundPlan


def _draw_batches(held: int, size: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Return (E, n) positions among a device's samples: passes in random order, whole batches only.

    Examples
    --------
    >>> _draw_batches(5, 2, 3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    """
    batches_a_pass = held // size
    passes = -(-iterations // batches_a_pass)
    order = [torch.randperm(held, generator=generator)[: batches_a_pass * size] for _ in range(passes)]
    return torch.cat(order).view(-1, size)[:iterations]


def _draw_turns(seed: int, iterations: int, num_devices: int) -> Tensor:
    """Return (E, K), the place of each device in a fresh random order for each iteration.

    They come from the round's own seed, so that a scheme that needs turns leaves all other draws alone.

    Examples
    --------
    >>> _draw_turns(3, iterations=2, num_devices=4).sort(dim=1).values
    tensor([[0, 1, 2, 3],
            [0, 1, 2, 3]])
    """
    (turns,) = np.random.SeedSequence(seed).spawn(1)
    places = np.tile(np.arange(num_devices), (iterations, 1))
    return torch.as_tensor(np.random.default_rng(turns).permuted(places, axis=1))


def draw_partition(
    partitioner: Partitioner, labels: NDArray[np.int64], rng: np.random.Generator, local: LocalTraining, name: str
) -> Partition:
    """Draw who holds which samples of an episode.

    Parameters
    ----------
    partitioner : callable
        The user's; takes labels and generator.
    labels : (M,) array
        Of the training samples.
    rng : Generator
        What to draw from.
    local : LocalTraining
        With the size of the mini-batches.
    name : str
        Of the data, for messages.

    Raises
    ------
    TrainingError, DataError
        If what it returns is no partition of these samples with a mini-batch for each device.
    """
    partition = partitioner(labels, rng)
    if not isinstance(partition, Partition):
        raise TrainingError(f"partition returned {shown(partition)}; it has to return a Partition.")
    check_partition(partition, len(labels), local, name)
    return partition


def draw_plan(
    cut: NDArray[np.intp],
    round_: int,
    partition: Partition,
    local: LocalTraining,
    generator: torch.Generator,
    device: torch.device,
) -> RoundPlan:
    """Draw a round's mini-batches, for all devices whoever takes part.

    Parameters
    ----------
    cut : (K,) array
        Index of each device's last block; the draws don't depend on it.
    round_ : int
        Number of the round, from 1.
    partition : Partition
        Who holds what.
    local : LocalTraining
        With number and size of the mini-batches.
    generator : torch.Generator
        What to draw from.
    device : torch.device
        Where the plan's tensors are to lie.
    """
    sizes = local.batch_sizes(partition.num_devices)
    batches = tuple(
        torch.as_tensor(held)[_draw_batches(len(held), size, local.iterations, generator)].to(device)
        for held, size in zip(partition.indices, sizes, strict=True)
    )
    seed = int(torch.randint(2**62, (), generator=generator))
    return RoundPlan(
        round=round_,
        devices=tuple(range(partition.num_devices)),
        cut=torch.as_tensor(cut, device=device),
        samples=torch.as_tensor(partition.sizes, dtype=torch.float64, device=device),
        batches=batches,
        turn=_draw_turns(seed, local.iterations, partition.num_devices).to(device),
        seed=seed,
    )


def check_partition(partition: Partition, num_samples: int, local: LocalTraining, name: str) -> None:
    """Raise unless a partition spreads these samples, and each device holds a mini-batch.

    Parameters
    ----------
    partition : Partition
        Who holds what.
    num_samples : int
        Training samples that there are.
    local : LocalTraining
        With the size of the mini-batches.
    name : str
        Of the data, for messages.

    Raises
    ------
    DataError
        If a sample is not there, or a mini-batch is larger than what its device holds.
    TrainingError
        If the mini-batches are given for another number of devices.
    """
    sizes = local.batch_sizes(partition.num_devices)
    for device, (held, size) in enumerate(zip(partition.indices, sizes, strict=True)):
        if int(held.max()) >= num_samples:
            raise DataError(
                f"Device {device} holds sample {int(held.max())} of {name!r}, which has {num_samples}, numbered "
                "from 0."
            )
        if size > len(held):
            raise DataError(
                f"The mini-batch of device {device} is {size} samples, but the device holds {len(held)} of "
                f"{name!r}. Take a smaller batch, fewer devices or a milder skew."
            )
