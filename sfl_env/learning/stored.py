"""The stored state of a training: taken apart, and checked whole before any of it is adopted."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfl_env.checks import require_entries, require_whole, shown
from sfl_env.errors import DataError, TrainingError
from sfl_env.learning.batches import check_partition
from sfl_env.learning.machine import ComputedBy
from sfl_env.learning.partition import Partition
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.weights import Weights


class Mark(NamedTuple):
    """Where a training stands between two rounds of this process; to store it, there is ``state_dict``."""

    round: int
    weights: Weights
    partition: Partition | None
    draws: Tensor  # state of the generator of mini-batches


class TrainingState(NamedTuple):
    """All that the next round depends on, and what computed the rounds before."""

    round: int  # rounds done
    weights: Weights  # of the global model
    partition: Partition
    draws: Tensor  # state of the generator of mini-batches, (bytes,) uint8
    computed_by: ComputedBy

    def to_dict(self) -> dict[str, Any]:
        """Return plain values and tensors on the CPU, which ``torch.load(weights_only=True)`` takes."""
        return {
            "round": self.round,
            "weights": {name: tensor.cpu().clone() for name, tensor in self.weights.items()},
            "partition": [torch.as_tensor(held).clone() for held in self.partition.indices],
            "draws": self.draws.clone(),
            "computed_by": self.computed_by._asdict(),
        }

    @classmethod
    def from_dict(cls, stored: Any, like: Mapping[str, Tensor]) -> "TrainingState":
        """Return the state that :meth:`to_dict` took apart.

        Parameters
        ----------
        stored : dict
            What was stored.
        like : mapping of tensors
            Weights of the network here, for names, shapes and types.

        Raises
        ------
        TrainingError
            If an entry is missing, foreign, of another type or impossible; it names the entry.
        """
        require_entries(stored, cls._fields, "state", TrainingError)
        return cls(
            round=_round(stored["round"]),
            weights=_weights(stored["weights"], like),
            partition=_partition(stored["partition"]),
            draws=_draws(stored["draws"]),
            computed_by=_computed_by(stored["computed_by"]),
        )

    def check_devices(self, num_devices: int, num_samples: int, local: LocalTraining, name: str) -> None:
        """Raise unless the partition is one of these samples over so many devices.

        Parameters
        ----------
        num_devices, num_samples : int
            What there is here.
        local : LocalTraining
            With the size of the mini-batches.
        name : str
            Of the data, for messages.

        Raises
        ------
        TrainingError
            If it is not.
        """
        if self.partition.num_devices != num_devices:
            raise TrainingError(
                f"partition of the stored state has {self.partition.num_devices} devices; here they are "
                f"{num_devices}."
            )
        try:
            check_partition(self.partition, num_samples, local, name)
        except DataError as error:
            raise TrainingError(f"partition of the stored state does not fit: {error}") from error


def _round(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TrainingError(f"round of the stored state is {shown(value)}; it has to be a whole number from 0 up.")
    return value


def _weights(stored: Any, like: Mapping[str, Tensor]) -> Weights:
    if not isinstance(stored, Mapping):
        raise TrainingError(
            f"weights of the stored state are a {type(stored).__name__}, not tensors by their names."
        )
    for name in sorted({*like, *stored}, key=str):
        there, here = stored.get(name), like.get(name)
        if not (isinstance(there, Tensor) and here is not None and there.shape == here.shape):
            raise TrainingError(
                f"The stored state belongs to another network: weights {shown(name)} are {_described(there)} "
                f"there and {_described(here)} here."
            )
        _check_numbers(name, there, here)
    return {name: stored[name].detach().clone() for name in like}


def _described(value: Any) -> str:
    if value is None:
        return "missing"
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _check_numbers(name: str, there: Tensor, here: Tensor) -> None:
    if there.dtype != here.dtype:
        raise TrainingError(
            f"weights {name!r} of the stored state are {there.dtype} and {here.dtype} here; make the training "
            "with the dtype of the stored one."
        )
    if there.layout != torch.strided or there.is_meta:
        raise TrainingError(f"weights {name!r} of the stored state hold no plain numbers.")
    # A mask may hold infinite numbers from the start.
    if not bool((torch.isfinite(there) | ~torch.isfinite(here.cpu())).all()):
        raise TrainingError(f"weights {name!r} of the stored state are not finite.")


def _partition(stored: Any) -> Partition:
    if not isinstance(stored, list | tuple):
        raise TrainingError(
            f"partition of the stored state is a {type(stored).__name__}; it has to be a list with one tensor of "
            "sample numbers for each device."
        )
    for device, held in enumerate(stored):
        if not (isinstance(held, Tensor) and held.dtype == torch.int64 and held.ndim == 1 and not held.is_meta):
            raise TrainingError(
                f"partition of the stored state holds no sample numbers for device {device}: they have to be an "
                "int64 tensor of one axis."
            )
    try:
        return Partition(tuple(held.cpu().numpy().copy() for held in stored))
    except DataError as error:
        raise TrainingError(f"partition of the stored state is impossible: {error}") from error


def _draws(stored: Any) -> Tensor:
    wanted = torch.Generator().get_state()
    fits = isinstance(stored, Tensor) and stored.dtype == wanted.dtype and stored.shape == wanted.shape
    if not fits or stored.is_meta:
        raise TrainingError(
            f"draws of the stored state are no state of a generator, which is a tensor of {len(wanted)} bytes."
        )
    state: Tensor = stored.cpu().clone()
    try:
        torch.Generator().set_state(state)
    except RuntimeError as error:
        raise TrainingError(f"draws of the stored state are no state of a generator: {error}") from error
    return state


def _computed_by(stored: Any) -> ComputedBy:
    require_entries(stored, ComputedBy._fields, "computed_by", TrainingError)
    by = ComputedBy(**stored)
    if not (isinstance(by.torch_version, str) and isinstance(by.device, str)):
        raise TrainingError(
            f"computed_by of the stored state is {shown(dict(stored))}; it has to name torch's version and device."
        )
    require_whole("torch_threads of the stored state", by.torch_threads, 1, error=TrainingError)
    return by
