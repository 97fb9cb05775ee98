"""Split federated training of a real network, round by round."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from sfl_env.dnn.split import as_chain
from sfl_env.errors import DataError, ProfileError, TrainingError
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor, NumberFormats
from sfl_env.learning.partition import Partition, Partitioner
from sfl_env.learning.plan import LocalTraining, RoundOutcome, RoundPlan
from sfl_env.learning.weights import Weights
from sfl_env.scenario import Schedule

ExecutorName = Literal["fused", "message-passing"]

EXECUTORS: tuple[ExecutorName, ...] = get_args(ExecutorName)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

EVALUATION_SAMPLES = 512
"""Test samples that are evaluated at a time, which bounds the memory of their activations."""


class Executor(Protocol):
    """Carries out a round."""

    def run(self, weights: Weights, plan: RoundPlan) -> RoundOutcome:
        """Return the new global weights, the losses and, where counted, the bits on the air."""
        ...


class Evaluation(NamedTuple):
    """How the global model does on the test set."""

    loss: float  # mean cross-entropy
    accuracy: float  # fraction told right, 0 to 1


@dataclass(frozen=True)
class RoundResult:
    """What a round of training showed.

    Parameters
    ----------
    round : int
        Number of the round, from 1.
    loss, accuracy : float
        Of the global model after the round, on the test set.
    train_loss : float
        Sample-weighted mean of the devices' losses; NaN if none took part.
    device_loss : (K,) array
        Mean loss of each device over its mini-batches; NaN where it took no part.
    uplink_bits, downlink_bits : (K,) array or None
        Bits that crossed the air, counted by the message-passing executor.
    """

    round: int
    loss: float
    accuracy: float
    train_loss: float
    device_loss: NDArray[np.float64]  # (K,)
    uplink_bits: NDArray[np.int64] | None  # (K,)
    downlink_bits: NDArray[np.int64] | None  # (K,)


class SplitFederatedTraining:
    """A network that K devices and a server train together.

    Parameters
    ----------
    network : callable
        Returns the network with fresh weights, drawn from torch's global generator: an ``nn.Sequential`` of
        blocks, or any module with legal cuts. Build it with normalisation that keeps no running statistics
        (``nn.GroupNorm``): the mean of running statistics that devices took over different data describes none of
        them, and what a network computes would no longer follow from its averaged parameters. Running statistics
        are handled where a network has them: averaged like parameters, and counted in the bits.
    data : TensorData
        What to learn.
    partition : callable
        Takes the training labels and a generator, returns the :class:`Partition` of an episode; see
        :func:`sfl_env.learning.partition.scheme`.
    local : LocalTraining
        Batches, optimiser and kind of server.
    executor : {"fused", "message-passing"}
        The fast way, or the one that really splits and counts bits. They agree to rounding.
    schedule : {"parallel", "sequence"}
        ``"parallel"``: all devices start a round from the global weights, which become their copies' average.
        ``"sequence"`` is split learning (SL): device after device goes on from the weights of the one before.
    device : {"auto", "cpu", "cuda"}
        Where to compute; ``"auto"`` takes CUDA where there is one.
    dtype : torch.dtype
        Type of weights and features.
    formats : NumberFormats
        Bits of each number on the air, for the message-passing executor.

    Raises
    ------
    TrainingError
        If there is no CUDA where it is asked for, or the network's output does not fit the data's classes.
    DataError
        From :meth:`reset`: a device without samples, or with fewer than its mini-batch.

    Notes
    -----
    Federated learning is every cut at the last block, centralised training one device that holds all data, split
    federated learning with a common cut K equal cuts.

    Each round, every device goes through its samples in a fresh random order, as often as E mini-batches need. The
    draws are the same whatever the cuts and whoever takes part. A copy's weight in the average is the number of
    samples that its device holds. A round in which nobody takes part leaves the weights as they are.

    Memory: the data set once, the executor's share (see there), and an evaluation's activations of 512 samples.

    Examples
    --------
    >>> from sfl_env.learning.data import load
    >>> from sfl_env.learning.partition import scheme
    >>> training = SplitFederatedTraining(
    ...     lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    ...     load("digits"),
    ...     scheme("iid", num_devices=5),
    ...     LocalTraining(iterations=10),
    ... )
    >>> training.reset(seed=1)
    >>> for _ in range(3):
    ...     result = training.run_round(cut=[0, 0, 0, 1, 1])
    >>> result.round, result.accuracy > 0.8
    (3, True)
    """

    def __init__(
        self,
        network: Callable[[], nn.Module],
        data: TensorData,
        partition: Partitioner,
        local: LocalTraining | None = None,
        *,
        executor: ExecutorName = "fused",
        schedule: Schedule = "parallel",
        device: str = "auto",
        dtype: torch.dtype = torch.float32,
        formats: NumberFormats | None = None,
    ) -> None:
        for name, value, known in (("executor", executor, EXECUTORS), ("schedule", schedule, SCHEDULES)):
            if value not in known:
                raise TrainingError(f"{name} is {value!r}; it has to be {' or '.join(known)}.")
        self.device = resolve_device(device)
        self.local = local or LocalTraining()
        self._network = network
        self._partitioner = partition
        self._schedule = schedule
        self._dtype = dtype
        self.data = data.to(self.device, dtype)
        self._labels: NDArray[np.int64] = data.train_labels.cpu().numpy()
        self._chain = self._fresh_chain(seed=0)
        _check_output(self._chain, self.data)
        self._executor: Executor = (
            FusedExecutor(self._chain, self.data, self.local)
            if executor == "fused"
            else MessagePassingExecutor(self._chain, self.data, self.local, formats)
        )
        self._draws = torch.Generator()
        self._round = 0
        self._weights: Weights = {}
        self._partition: Partition | None = None

    @property
    def num_cuts(self) -> int:
        """C, the number of blocks; cuts are counted from 0 to C - 1."""
        return len(self._chain)

    @property
    def round(self) -> int:
        """Rounds done since the reset."""
        return self._round

    @property
    def partition(self) -> Partition:
        """Who holds which samples in this episode."""
        if self._partition is None:
            raise TrainingError("Training has not started; call reset(seed) or load_state_dict first.")
        return self._partition

    def weights(self) -> Weights:
        """Return a copy of the global weights, by their names in the chain of blocks."""
        return {name: tensor.clone() for name, tensor in self._weights.items()}

    def label_histogram(self) -> NDArray[np.int64]:
        """Return (K, classes): how many samples of each class each device holds."""
        return self.partition.label_histogram(self._labels, self.data.num_classes)

    def reset(self, seed: int) -> None:
        """Start afresh: a new partition, new weights, new draws, all from one seed.

        Parameters
        ----------
        seed : int
            Not negative.
        """
        for_partition, for_weights, for_draws = np.random.SeedSequence(seed).spawn(3)
        partition = self._partitioner(self._labels, np.random.default_rng(for_partition))
        self._check_batches(partition)
        fresh = self._fresh_chain(int(for_weights.generate_state(1)[0]))
        self._partition = partition
        self._weights = {name: tensor.detach().clone() for name, tensor in fresh.state_dict().items()}
        self._draws.manual_seed(int(for_draws.generate_state(1)[0]))
        self._round = 0

    def run_round(self, cut: ArrayLike, active: ArrayLike | None = None) -> RoundResult:
        """Train for one round, average, evaluate.

        Parameters
        ----------
        cut : (K,) array of int
            Index of each device's last block, 0 to C - 1.
        active : (K,) array of bool, optional
            Which devices take part; by default all.

        Raises
        ------
        TrainingError
            For misshapen or impossible cuts, or if a loss stops being finite: it names round and device, and
            the weights stay those of the round before.
        """
        k = self.partition.num_devices
        cuts = np.asarray(cut)
        taking_part = np.ones(k, dtype=bool) if active is None else np.asarray(active, dtype=bool)
        self._check_decision(cuts, taking_part)
        plan = self._plan(cuts)
        device_loss = np.full(k, np.nan)
        uplink, downlink = np.zeros((2, k), dtype=np.int64)
        counted = False
        weights = self._weights
        chosen = np.flatnonzero(taking_part)
        turns = [chosen] if self._schedule == "parallel" else list(chosen[:, None])
        self._chain.train()
        # Layers that draw random numbers (dropout) take them from torch's global generators.
        with torch.random.fork_rng(devices=self._cuda_devices()), _reproducible():
            self._seed(plan.seed)
            for turn in turns:
                if len(turn) == 0:
                    continue
                outcome = self._executor.run(weights, plan.only(turn.tolist()))
                weights = outcome.weights
                device_loss[turn] = outcome.device_loss.cpu().numpy()
                if outcome.traffic is not None:
                    counted = True
                    uplink[turn] = outcome.traffic.uplink_bits.numpy()
                    downlink[turn] = outcome.traffic.downlink_bits.numpy()
        evaluation = self._adopt(weights)
        share = self.partition.sizes[chosen] / max(1, self.partition.sizes[chosen].sum())
        return RoundResult(
            round=self._round,
            loss=evaluation.loss,
            accuracy=evaluation.accuracy,
            train_loss=float(share @ device_loss[chosen]) if len(chosen) else float("nan"),
            device_loss=device_loss,
            uplink_bits=uplink if counted else None,
            downlink_bits=downlink if counted else None,
        )

    def _adopt(self, weights: Weights) -> Evaluation:
        """Make a round's weights the global ones, unless the network computes with them what is no number."""
        before, self._weights = self._weights, weights
        evaluation = self.evaluate()
        if not math.isfinite(evaluation.loss):
            self._weights = before
            raise TrainingError(
                f"The test loss became {evaluation.loss} after round {self._round + 1}: the weights are finite, "
                "but too large for the network to compute with. The weights of the round before are kept. Lower "
                "the learning rate."
            )
        self._round += 1
        return evaluation

    def evaluate(self) -> Evaluation:
        """Evaluate the global model on the test set, 512 samples at a time."""
        self._chain.eval()
        count = len(self.data.test_labels)
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        with torch.inference_mode():
            for start in range(0, count, EVALUATION_SAMPLES):
                part = slice(start, start + EVALUATION_SAMPLES)
                logits: Tensor = functional_call(self._chain, self._weights, (self.data.test_features[part],))
                labels = self.data.test_labels[part]
                loss += functional.cross_entropy(logits, labels, reduction="sum")
                right += (logits.argmax(dim=1) == labels).sum()
        return Evaluation(float(loss) / count, int(right) / count)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next round depends on, for ``torch.save``.

        The optimisers start afresh in each round, so between two rounds they have no state.
        """
        return {
            "round": self._round,
            "weights": {name: tensor.cpu().clone() for name, tensor in self._weights.items()},
            "partition": [torch.as_tensor(held) for held in self.partition.indices],
            "draws": self._draws.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a stored state: the same rounds give the same weights as without the break.

        Raises
        ------
        TrainingError
            If the state belongs to another network.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in self._chain.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in state["weights"].items()}
        if expected != found:
            different = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
            raise TrainingError(
                f"The stored state belongs to another network: {different[0]!r} has shape "
                f"{found.get(different[0])} there and {expected.get(different[0])} here."
            )
        partition = Partition(tuple(held.numpy() for held in state["partition"]))
        self._check_batches(partition)
        self._partition = partition
        self._weights = {name: tensor.to(self.device).clone() for name, tensor in state["weights"].items()}
        self._draws.set_state(state["draws"])
        self._round = int(state["round"])

    def _fresh_chain(self, seed: int) -> nn.Sequential:
        with torch.random.fork_rng(devices=self._cuda_devices()):
            self._seed(seed)
            network = self._network()
        try:
            chain = as_chain(network, self.data.input_shape)
        except ProfileError as error:
            raise TrainingError(
                f"The network cannot be trained on {self.data.name!r}, whose samples have shape "
                f"{self.data.input_shape}: {error}"
            ) from error
        return chain.to(self.device, self._dtype).train()

    def _seed(self, seed: int) -> None:
        """Seed the generators that are forked, and no other: a run on the CPU leaves CUDA's alone."""
        torch.default_generator.manual_seed(seed)
        for device in self._cuda_devices():
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)

    def _cuda_devices(self) -> Sequence[torch.device]:
        return [self.device] if self.device.type == "cuda" else []

    def _plan(self, cuts: NDArray[np.intp]) -> RoundPlan:
        """Draw the round's mini-batches, for all devices whoever takes part."""
        partition = self.partition
        sizes = self.local.batch_sizes(partition.num_devices)
        batches = tuple(
            torch.as_tensor(held)[_draw_batches(len(held), size, self.local.iterations, self._draws)].to(
                self.device
            )
            for held, size in zip(partition.indices, sizes, strict=True)
        )
        return RoundPlan(
            round=self._round + 1,
            devices=tuple(range(partition.num_devices)),
            cut=torch.as_tensor(cuts, device=self.device),
            samples=torch.as_tensor(partition.sizes, dtype=torch.float64, device=self.device),
            batches=batches,
            seed=int(torch.randint(2**62, (), generator=self._draws)),
        )

    def _check_batches(self, partition: Partition) -> None:
        sizes = self.local.batch_sizes(partition.num_devices)
        for device, (held, size) in enumerate(zip(partition.sizes, sizes, strict=True)):
            if size > held:
                raise DataError(
                    f"The mini-batch of device {device} is {size} samples, but the device holds {held} of "
                    f"{self.data.name!r}. Take a smaller batch, fewer devices or a milder skew."
                )

    def _check_decision(self, cuts: NDArray[np.intp], active: NDArray[np.bool_]) -> None:
        wanted = (self.partition.num_devices,)
        for name, values in (("cut", cuts), ("active", active)):
            if values.shape != wanted:
                raise TrainingError(
                    f"{name} has shape {values.shape}; it has to be {wanted}, one for each device."
                )
        if not np.issubdtype(cuts.dtype, np.integer):
            raise TrainingError(f"cut has dtype {cuts.dtype}; cuts are whole numbers.")
        bad = (cuts < 0) | (cuts >= self.num_cuts)
        if bad.any():
            device = int(np.argmax(bad))
            raise TrainingError(
                f"cut of device {device} is {cuts[device]}; it has to be from 0 to {self.num_cuts - 1}."
            )


def resolve_device(name: str) -> torch.device:
    """Return the torch device of that name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    TrainingError
        For an unknown name, or CUDA where there is none.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TrainingError(f"The torch device is {name!r}; it has to be 'auto', 'cpu' or 'cuda'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            f"The torch device is {name!r}, but torch {torch.__version__} sees no CUDA device here; take 'auto' "
            "or 'cpu'."
        )
    return device


def _reproducible() -> Any:
    """Return a context in which cuDNN takes the same algorithm every time."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32
    )


def _draw_batches(held: int, size: int, iterations: int, generator: torch.Generator) -> Tensor:
    """Return (E, n) positions among a device's samples: passes in random order, whole batches only."""
    batches_a_pass = held // size
    passes = -(-iterations // batches_a_pass)
    order = [torch.randperm(held, generator=generator)[: batches_a_pass * size] for _ in range(passes)]
    return torch.cat(order).view(-1, size)[:iterations]


def _check_output(chain: nn.Sequential, data: TensorData) -> None:
    chain.eval()
    try:
        with torch.inference_mode():
            shape = tuple(chain(data.train_features[:2]).shape)
    except RuntimeError as error:
        raise TrainingError(
            f"The network does not take samples of {data.name!r}, of shape {data.input_shape}: {error}"
        ) from error
    finally:
        chain.train()
    if shape[1:] != (data.num_classes,):
        raise TrainingError(
            f"The network's output has shape {shape[1:]} a sample, but {data.name!r} has {data.num_classes} "
            f"classes: it has to be ({data.num_classes},). Build the network with num_classes={data.num_classes}."
        )
