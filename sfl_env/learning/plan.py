"""What a round of training does, and what came of it, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import torch
from torch import Tensor

from sfl_env.checks import Range, require_choice, require_positive, require_whole
from sfl_env.errors import TrainingError
from sfl_env.learning.weights import Weights
from sfl_env.scenario import OptimizerName, Server

ExecutorName = Literal["fused", "message-passing"]


@dataclass(frozen=True)
class LocalTraining:
    """How the devices train between two averages.

    Parameters
    ----------
    iterations : int
        Mini-batches of each device in a round, E.
    batch_size : int or tuple of K ints
        Samples of a mini-batch, n_k.
    server : {"splitfed-v1", "splitfed-v2", "parallel-sl", "adaptsfl"}
        ``"splitfed-v1"``: the server keeps a copy of its blocks for each device, and each copy takes its own
        steps. ``"splitfed-v2"``: it keeps one model, which takes a step for each device's mini-batch, one device
        after another in random order. ``"parallel-sl"``: it keeps one model, which steps along the
        sample-weighted mean gradient of all devices that leave the block to it. ``"adaptsfl"``: of blocks that
        all devices leave to it, it keeps one copy, trained so; of the others, one for each device, as in
        SplitFed V1. Sources are in ``docs/accuracy.md``.
    optimizer : {"sgd", "adam"}
        ``torch.optim.SGD`` or ``torch.optim.Adam`` with its usual betas.
    learning_rate, momentum, weight_decay : float
        Momentum belongs to SGD alone.

    Raises
    ------
    TrainingError
        If a value is out of range.

    Notes
    -----
    The optimiser's state (momentum, Adam's moments) starts afresh in every round, on the devices and on the
    server. It does not travel with the model, which keeps the bits that cross the air those of P(c), and a
    block that changes sides between two rounds leaves nothing behind: re-splitting never matters. Between two
    rounds there is no optimiser state to store, then.

    Examples
    --------
    >>> LocalTraining(learning_rate=-1.0)
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: learning_rate is -1.0; it has to be a number above 0.
    """

    iterations: int = 4
    batch_size: int | tuple[int, ...] = 32
    server: Server = "splitfed-v1"
    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        require_whole("iterations", self.iterations, 1, error=TrainingError)
        if isinstance(self.batch_size, tuple):
            if not self.batch_size:
                raise TrainingError("batch_size is (); it has to have one entry for each device.")
            for device, size in enumerate(self.batch_size):
                require_whole(f"batch_size of device {device}", size, 1, error=TrainingError)
        else:
            require_whole("batch_size", self.batch_size, 1, error=TrainingError)
        require_choice("server", self.server, get_args(Server), TrainingError)
        require_choice("optimizer", self.optimizer, get_args(OptimizerName), TrainingError)
        require_positive("learning_rate", self.learning_rate, TrainingError)
        Range(0.0, 1.0, high_open=True).require("momentum", self.momentum, TrainingError)
        Range(0.0).require("weight_decay", self.weight_decay, TrainingError)

    def batch_sizes(self, num_devices: int) -> tuple[int, ...]:
        """Return the mini-batch of each of K devices.

        Raises
        ------
        TrainingError
            If ``batch_size`` was given for another number of devices.
        """
        if not isinstance(self.batch_size, tuple):
            return (int(self.batch_size),) * num_devices
        if len(self.batch_size) != num_devices:
            raise TrainingError(
                f"batch_size has {len(self.batch_size)} entries for {num_devices} devices; give one for each, or "
                "one number for all."
            )
        return tuple(int(size) for size in self.batch_size)

    @property
    def has_unequal_batches(self) -> bool:
        """Whether the devices' mini-batches differ in size."""
        return isinstance(self.batch_size, tuple) and len(set(self.batch_size)) > 1

    @property
    def largest_batch(self) -> int:
        """Samples of the largest mini-batch."""
        return max(self.batch_size) if isinstance(self.batch_size, tuple) else self.batch_size

    def make_optimizer(self, parameters: list[Tensor], *, one_pass: bool = False) -> torch.optim.Optimizer:
        """Return a fresh optimiser.

        Both act on each number by itself, so that one step on K stacked copies is K steps on one.

        Parameters
        ----------
        parameters : list of tensors
            What it steps.
        one_pass : bool
            Take torch's fused kernels, which read and write each number once a step. They ignore strides:
            parameters and gradients have to be contiguous.
        """
        fused = True if one_pass else None
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, fused=fused)
        return torch.optim.SGD(
            parameters,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            fused=fused,
        )


class RoundPlan(NamedTuple):
    """What the A devices that take part in a round do."""

    round: int  # counted from 1, for messages
    devices: tuple[int, ...]  # (A,) their numbers, for messages
    cut: Tensor  # (A,) index of each one's last block
    samples: Tensor  # (A,) training samples of each, the weights of the averages
    batches: tuple[Tensor, ...]  # A x (E, n_k) numbers of training samples
    turn: Tensor  # (E, A) in each iteration the smaller comes first, where a server takes devices in turn
    seed: int  # of layers that draw random numbers, such as dropout

    @property
    def iterations(self) -> int:
        """E, the mini-batches of each device."""
        return int(self.batches[0].shape[0])

    def only(self, chosen: Sequence[int]) -> "RoundPlan":
        """Return the plan of some of the devices, given by their positions in this one."""
        positions = list(chosen)
        return self._replace(
            devices=tuple(self.devices[i] for i in positions),
            cut=self.cut[positions],
            samples=self.samples[positions],
            batches=tuple(self.batches[i] for i in positions),
            turn=self.turn[:, positions],
        )

    def order(self, iteration: int) -> list[int]:
        """Return the devices' positions in the order of their turns in an iteration."""
        order: list[int] = self.turn[iteration].argsort().tolist()
        return order


class Traffic(NamedTuple):
    """Bits that crossed the air in each direction, for each device that took part."""

    uplink_bits: Tensor  # (A,) int64
    downlink_bits: Tensor  # (A,) int64


class RoundOutcome(NamedTuple):
    """What a round of training leaves."""

    weights: Weights  # the new global weights
    device_loss: Tensor  # (A,) each device's mean training loss over its mini-batches
    traffic: Traffic | None  # counted by the message-passing executor alone


class Execution(NamedTuple):
    """How rounds are carried out, as was found out when the training was made and in the rounds since."""

    name: ExecutorName
    method: str  # how replicas are trained: "grouped", "vmap", "loop", or "split"
    why: tuple[str, ...]  # what was tried and not taken, or failed in a round, and for which reason


class Executor(Protocol):
    """Carries out a round."""

    keeps_state: bool
    """Whether the network keeps more from call to call than parameters and buffers."""

    @property
    def execution(self) -> Execution:
        """How it does that."""

    def run(self, weights: Weights, plan: RoundPlan) -> RoundOutcome:
        """Return the new global weights, the losses and, where counted, the bits on the air."""
        ...


def reject_non_finite_losses(losses: Tensor, plan: RoundPlan) -> None:
    """Raise :class:`TrainingError` if a loss is NaN or infinite.

    Parameters
    ----------
    losses : (E, A) tensor
        Of each iteration and device.
    plan : RoundPlan
        The round.
    """
    bad = ~torch.isfinite(losses)
    if bool(bad.any()):
        iteration = int(bad.any(dim=1).nonzero()[0])
        # Where devices take turns, those after the first may be spoilt by it.
        device = next(each for each in plan.order(iteration) if bad[iteration, each])
        raise TrainingError(
            f"The training loss of device {plan.devices[device]} became {float(losses[iteration, device])} in "
            f"round {plan.round}, iteration {iteration + 1} of {plan.iterations}. The weights of the round before "
            "are kept. Lower the learning rate."
        )


def reject_non_finite_weights(
    stacked: Weights, before: Weights, trained: tuple[str, ...], plan: RoundPlan
) -> None:
    """Raise :class:`TrainingError` if a device's round left a number NaN or infinite that was another before.

    Parameters
    ----------
    stacked : dict of (A, ...) tensors
        The devices' tensors at the end of the round.
    before : dict of tensors
        Those that the round began with; what was not finite then (a mask of infinite numbers) may stay so.
    trained : tuple of str
        Names of the parameters that train.
    plan : RoundPlan
        The round.
    """
    weights = {n: copies for n, copies in stacked.items() if copies.is_floating_point() or copies.is_complex()}
    # One pass without a temporary array settles nearly every case: what is not finite spoils the sum.
    if bool(torch.isfinite(torch.stack([copies.sum() for copies in weights.values()])).all()):
        return
    for name, copies in weights.items():
        fine = (torch.isfinite(copies) | (copies == before[name])).reshape(len(copies), -1).all(dim=1)
        if not bool(fine.all()):
            what, when, mend = (
                ("weights", "in the last step of", "Lower the learning rate.")
                if name in trained
                else ("numbers", "in", "They are not trained: the network's own forward wrote them.")
            )
            raise TrainingError(
                f"The {what} {name!r} of device {plan.devices[int((~fine).nonzero()[0])]} stopped being finite "
                f"{when} round {plan.round}. The weights of the round before are kept. {mend}"
            )
