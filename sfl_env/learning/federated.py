"""Split federated training of a real network, round by round."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from sfl_env.checks import require_whole
from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.measure import profile_of
from sfl_env.dnn.process import on_one_thread, seeded
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import TrainingError
from sfl_env.learning.arguments import check_arguments
from sfl_env.learning.batches import draw_partition, draw_plan
from sfl_env.learning.copying import check_pickles, going_on, going_on_from_bytes, to_bytes
from sfl_env.learning.data import TensorData
from sfl_env.learning.decision import checked_decision
from sfl_env.learning.evaluation import evaluate, require_finite
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor, NumberFormats
from sfl_env.learning.machine import ComputedBy, resolve_device, usual_modes
from sfl_env.learning.network import (
    NetworkFactory,
    check_output,
    check_same,
    failing_module,
    failures_told,
    fresh_network,
    on,
    split_for,
)
from sfl_env.learning.partition import Partition, Partitioner
from sfl_env.learning.plan import Execution, Executor, ExecutorName, LocalTraining, RoundPlan
from sfl_env.learning.protocol import Score
from sfl_env.learning.result import RoundLedger, RoundResult
from sfl_env.learning.stored import Mark, TrainingState
from sfl_env.learning.weights import Weights, in_state_dict, tensors_of
from sfl_env.scenario import Schedule

_NOT_STARTED = "Training has not started; call reset(seed) or load_state_dict first."


class SplitFederatedTraining:
    """A network that K devices and a server train together.

    Parameters
    ----------
    network : callable
        Returns the network with fresh weights, drawn from torch's global generator: any module with legal cuts.
        Build it with normalisation that keeps no running statistics (``nn.GroupNorm``): the mean of those that
        devices took over different data describes none of them. Where a network has them, they are averaged like
        parameters, and counted in the bits.
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
        All devices start a round from the global weights, which become their copies' average; or, as in split
        learning (SL), device after device goes on from the weights of the one before.
    device : {"auto", "cpu", "cuda"}
        Where to compute; ``"auto"`` takes CUDA where there is one.
    dtype : torch.dtype
        Type of weights and of features that are no tokens.
    formats : NumberFormats
        Bits of each number on the air, for the message-passing executor.

    Raises
    ------
    TrainingError
        If there is no CUDA where it is asked for, the network cannot be made, or its output does not fit the
        data's classes.
    DataError
        From :meth:`reset`: a device without samples, or with fewer than its mini-batch.

    Notes
    -----
    Each round, every device goes through its samples in a fresh random order, as often as E mini-batches need,
    whatever the cuts and whoever takes part. A copy's weight in the average is the number of samples that its
    device holds. A round in which nobody takes part leaves the weights as they are.

    One training is for one thread at a time. Several of them in several threads take turns: what a network draws
    comes from global generators, which are seeded for each round and put back.

    It can be pickled and deep-copied between two rounds, and the copy goes on with the same rounds. Pickling
    needs ``network`` and ``partition`` to be functions at a module's top level, or ``functools.partial`` of such.

    Memory: the data set once (and the one that was given, where that is of another type or on another device), a
    copy of the network, the executor's share (see there), and an evaluation's activations of 512 samples.

    Examples
    --------
    >>> from torch import nn
    >>> from sfl_env.learning import LocalTraining, SplitFederatedTraining, load_data, scheme
    >>> training = SplitFederatedTraining(
    ...     lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    ...     load_data("digits"),
    ...     scheme("iid", num_devices=5),
    ...     LocalTraining(iterations=10),
    ... )
    >>> training.reset(seed=1)
    >>> for _ in range(3):
    ...     result = training.run_round(cut=[0, 0, 0, 1, 1])
    >>> result.round, result.score.accuracy > 0.8
    (3, True)
    """

    def __init__(
        self,
        network: NetworkFactory,
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
        check_arguments(network, data, partition, local, executor, schedule, dtype)
        self.device = resolve_device(device)
        self.local = local or LocalTraining()
        self._network = network
        self._partitioner = partition
        self._schedule = schedule
        self._dtype = dtype
        again = partial(type(self), network, data, partition, self.local, executor=executor, schedule=schedule)
        self._make_again = partial(again, device=device, dtype=dtype, formats=formats)
        # No threads yet: a process that has used torch's can no longer be forked.
        with on_one_thread(), usual_modes(self.device):
            self.data = data.to(self.device, dtype)
            self._labels: NDArray[np.int64] = data.train_labels.cpu().numpy()
            self._chain = self._fresh(0)
            self._split = split_for(self._chain, self.data)
            check_output(self._split, self.data)
            self._judged = own_copy(self._chain)
            way = FusedExecutor if executor == "fused" else partial(MessagePassingExecutor, formats=formats)
            self._executor: Executor = way(self._split, self.data, self.local)
        self._draws = torch.Generator()
        self._round = 0
        self._weights: Weights = {}
        self._partition: Partition | None = None

    @property
    def num_cuts(self) -> int:
        """C, the number of blocks; cuts are counted from 0 to C - 1."""
        return self._split.num_cuts

    @property
    def profile(self) -> DNNProfile:
        """The costs of the network, as it is trained."""
        return profile_of(self._split, self.data.input_shape, type(self._chain).__name__)

    @property
    def executor(self) -> Execution:
        """How rounds are carried out, and why not faster."""
        return self._executor.execution

    @property
    def round(self) -> int:
        """Rounds done since the reset."""
        return self._round

    @property
    def partition(self) -> Partition:
        """Who holds which samples in this episode."""
        if self._partition is None:
            raise TrainingError(_NOT_STARTED)
        return self._partition

    def weights(self) -> dict[str, Any]:
        """Return a copy of the global weights, for the ``load_state_dict`` of the user's own network."""
        return in_state_dict(self._chain, self._weights)

    def label_histogram(self) -> NDArray[np.int64]:
        """Return (K, classes): how many samples of each class each device holds."""
        return self.partition.label_histogram(self._labels, self.data.num_classes)

    @property
    def computed_by(self) -> ComputedBy:
        """Return device, version of torch and number of threads, on which the last digits can depend."""
        return ComputedBy.here(self.device)

    def reset(self, seed: int) -> None:
        """Start afresh: a new partition, new weights, new draws, all from one seed.

        Parameters
        ----------
        seed : int
            Not negative.

        Raises
        ------
        DataError, TrainingError
            For a partition that leaves a device without a mini-batch, or if no network can be made; then nothing
            changes.
        """
        require_whole("seed", seed, 0, error=TrainingError)
        for_partition, for_weights, for_draws = np.random.SeedSequence(seed).spawn(3)
        partition = self._drawn_partition(np.random.default_rng(for_partition))
        with usual_modes(self.device):
            first = int(for_weights.generate_state(1)[0])
            fresh = tensors_of(self._fresh(first))
            check_same(fresh, tensors_of(self._chain))
            weights = {name: tensor.detach().clone() for name, tensor in fresh.items()}
        self._draws.manual_seed(int(for_draws.generate_state(1)[0]))
        self._partition, self._weights, self._round = partition, weights, 0

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
            For misshapen or impossible cuts; if a loss stops being finite, naming round and device; if the network
            fails, naming round and block. Whatever is raised, all is as before the round: the next one draws what
            this one would have drawn.
        """
        cuts, chosen = checked_decision(cut, active, self.partition.num_devices, self.num_cuts)
        before = self.mark()
        try:
            with usual_modes(self.device):
                plan = self._plan(cuts)
                weights, told = self._train(plan, chosen)
            score = evaluate(self._evaluated(), weights, self.data, plan.round)
            require_finite(score, plan.round)
        except BaseException:
            self.go_back(before)
            raise
        self._weights, self._round = weights, plan.round
        return told.result(plan.round, score, self.partition.sizes)

    def _train(self, plan: RoundPlan, chosen: NDArray[np.intp]) -> tuple[Weights, RoundLedger]:
        """Return the weights after a round of the chosen devices, and what it told of each."""
        told = RoundLedger(len(plan.devices))
        weights = self._weights
        turns = [chosen] if self._schedule == "parallel" else list(chosen[:, None])
        self._chain.train()

        def where() -> str:
            inputs = (self.data.train_features[plan.batches[device][0]] for device in chosen)
            return failing_module(self._chain, self._weights, inputs)

        # Layers that draw random numbers (dropout) take them from torch's global generators.
        with seeded(plan.seed, self.device), failures_told(f"in round {plan.round}", where):
            for turn in turns:
                if len(turn):
                    outcome = self._executor.run(weights, plan.only(turn.tolist()))
                    told.add(turn, outcome)
                    weights = outcome.weights
        return weights, told

    def evaluate(self) -> Score:
        """Evaluate the global model on the test set, 512 samples at a time.

        Raises
        ------
        TrainingError
            If the training has not started, or the network fails.
        """
        if self._partition is None:
            raise TrainingError(_NOT_STARTED)
        return evaluate(self._evaluated(), self._weights, self.data, self._round)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next round depends on, for ``torch.save``; optimisers start afresh in each round.

        Besides, it tells what computed the rounds (``computed_by``); another machine may go on, to rounding.

        Raises
        ------
        TrainingError
            If the training has not started.
        """
        here = self.partition, self._draws.get_state(), self.computed_by
        return TrainingState(self._round, self._weights, *here).to_dict()

    def mark(self) -> Mark:
        """Return where the training stands, for :meth:`go_back`; no copy, since rounds make new weights."""
        return Mark(self._round, self._weights, self._partition, self._draws.get_state())

    def go_back(self, mark: Mark) -> None:
        """Stand again where the training stood."""
        self._round, self._weights, self._partition, _ = mark
        self._draws.set_state(mark.draws)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state: the same rounds give the same weights as without the break.

        Raises
        ------
        TrainingError
            If the state belongs to another network, other data or other devices, or an entry is missing, foreign
            or impossible; it names the entry, and nothing changes.
        """
        checked = self._checked(state)
        here = {name: tensor.to(self.device) for name, tensor in checked.weights.items()}
        self.go_back(Mark(checked.round, here, checked.partition, checked.draws))

    def check_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise what :meth:`load_state_dict` would raise, and change nothing."""
        self._checked(state)

    def _checked(self, state: Mapping[str, Any]) -> TrainingState:
        checked = TrainingState.from_dict(state, tensors_of(self._chain))
        # How many devices there are is the partition's to say.
        here = self._partition or self._drawn_partition(np.random.default_rng(0))
        checked.check_devices(here.num_devices, len(self._labels), self.local, self.data.name)
        return checked

    def __reduce__(self) -> tuple[Any, ...]:
        for name, part in (("network", self._network), ("partition", self._partitioner)):
            check_pickles(name, part)
        # As bytes: tensors that go to another process by torch's own pickler have to outlive the call.
        return going_on_from_bytes, (self._make_again, to_bytes(self.state_dict() if self._partition else None))

    def __deepcopy__(self, memo: dict[int, Any]) -> "SplitFederatedTraining":
        # Functions, settings and data never change, so copies may share them.
        return going_on(self._make_again, self.state_dict() if self._partition else None)

    def _evaluated(self) -> nn.Module:
        """Return a copy; what a network keeps to itself is not to reach the next evaluation."""
        return own_copy(self._chain) if self._executor.keeps_state else self._judged

    def _fresh(self, seed: int) -> nn.Module:
        return on(fresh_network(self._network, seed, self.device), self.device, self._dtype)

    def _drawn_partition(self, rng: np.random.Generator) -> Partition:
        return draw_partition(self._partitioner, self._labels, rng, self.local, self.data.name)

    def _plan(self, cuts: NDArray[np.intp]) -> RoundPlan:
        """Draw the round's mini-batches, for all devices whoever takes part."""
        return draw_plan(cuts, self._round + 1, self.partition, self.local, self._draws, self.device)
