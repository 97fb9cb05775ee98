"""The fused executor: trains all devices' replicas of the network at once, without splitting them."""

import warnings
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any, get_args

import torch
from torch import Tensor, nn

from sfl_env.checks import require_choice
from sfl_env.dnn.split import SplitNetwork
from sfl_env.errors import SFLError, TrainingError
from sfl_env.learning.aggregation import RunningAverage
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.choice import Choice, Method, Traits, by_speed, choose
from sfl_env.learning.executors.gradients import BatchedGradients, Forward, GradientMethod
from sfl_env.learning.executors.grouped import grouped
from sfl_env.learning.executors.in_turn import train_in_turn
from sfl_env.learning.executors.memory import keep_freed_memory
from sfl_env.learning.executors.plainness import why_not_at_once, why_not_grouped
from sfl_env.learning.executors.pooling import pool_before_activation
from sfl_env.learning.executors.probe import Probe
from sfl_env.learning.executors.replicas import Batches, Replicas
from sfl_env.learning.executors.sharing import own_upto, share_server_gradients
from sfl_env.learning.executors.single import SingleGradients
from sfl_env.learning.executors.statefulness import habits_of
from sfl_env.learning.executors.vmapped import vmapped
from sfl_env.learning.executors.workers import Workers
from sfl_env.learning.plan import (
    Execution,
    LocalTraining,
    RoundOutcome,
    RoundPlan,
    reject_non_finite_losses,
    reject_non_finite_weights,
)
from sfl_env.learning.weights import Weights, changed_names, copies, names_of


class FusedExecutor:
    """Trains all replicas in lockstep on stacked weights.

    SplitFed V1 never mixes the copies before the round's end, so where the network is split changes nothing in
    what is computed, and the split is left out. Where the server keeps one copy of a block (parallel split
    learning, AdaptSFL), the gradients of the block are averaged in each step. With SplitFed V2 a mini-batch needs
    what the one before left on the server: devices are trained in turn, one replica at a time. The result is that
    of :class:`~sfl_env.learning.executors.message_passing.MessagePassingExecutor`, to rounding.

    Parameters
    ----------
    split : SplitNetwork
        The network, on the device to train on, in training mode.
    data : TensorData
        The data, on the same device.
    local : LocalTraining
        Batch size, optimiser and kind of server.
    method : {"grouped", "vmap", "loop"}, optional
        How the replicas' gradients are computed; by default the fastest, by
        :func:`~sfl_env.learning.executors.choice.by_speed`, of those that are seen to do what the plain loop does.

    Notes
    -----
    Memory: the activations of as many replicas as fit into 16 MiB, or of one, and for these replicas (for all K
    where the server keeps one copy of a block) parameters, gradients and optimiser state. The loop has all that,
    and one copy of the network more, for each of its worker threads.
    """

    def __init__(
        self, split: SplitNetwork, data: TensorData, local: LocalTraining, method: Method | None = None
    ) -> None:
        if method is not None:
            require_choice("method", method, get_args(Method), TrainingError)
        self._split = split
        self._data = data
        self._local = local
        self._asked_for = method
        self._names = names_of(split)
        self._singles: list[SingleGradients] = []
        self._failed: list[str] = []
        self._traits = Traits.of(split, data)
        self._habits = habits_of(split, data, local)
        self.keeps_state = self._habits.keeps_state
        if method not in (None, "loop") and self._in_turn:
            raise TrainingError(f"method {method!r} trains devices at once; server='splitfed-v2' takes 'loop'.")
        self._method, self._why = (method, ()) if method is not None else self._fastest()
        if not self._traits.on_gpu:
            keep_freed_memory()
        if method == "grouped" and self._grouped is None:
            raise TrainingError("This network has layers that cannot be grouped; take method 'vmap' or 'loop'.")

    def __reduce__(self) -> tuple[Any, ...]:
        # What is derived from the network (functions, generators, memory) is made anew in a copy.
        return type(self), (self._split, self._data, self._local, self._asked_for)

    @property
    def execution(self) -> Execution:
        """How rounds are carried out, and what was not taken."""
        return Execution("fused", self._method, (*self._why, *self._failed))

    def _fastest(self) -> tuple[Method, tuple[str, ...]]:
        """Return the fastest method that does what the loop does, and why faster ones were not taken."""
        if self._in_turn:
            return "loop", ("splitfed-v2's server takes the devices' mini-batches in turn",)
        largest = self._local.largest_batch
        *faster, loop = by_speed(self._traits, largest, can_be_grouped=self._grouped is not None)
        if not faster:
            return loop, ()
        unseen = self._habits.why_not_at_once() or why_not_at_once(self._split.network)
        if unseen:
            return loop, (unseen,)
        probe = Probe(self._split, self._data, self._local)
        why: list[str] = []
        for method in faster:
            unseen = why_not_grouped(self._split.network) if method == "grouped" else ""
            reason = unseen or probe.why_not(partial(self._batched, method))
            if not reason:
                return method, tuple(why)
            why.append(f"{method}: {reason}")
        return loop, tuple(why)

    @property
    def _shares(self) -> bool:
        """Whether copies of a block on the server take common steps."""
        return self._local.server in ("parallel-sl", "adaptsfl")

    @property
    def _in_turn(self) -> bool:
        return self._local.server == "splitfed-v2"

    @cached_property
    def _grouped(self) -> Forward | None:
        return grouped(self._quicker, self._data.input_shape)

    @cached_property
    def _quicker(self) -> nn.Module:
        return pool_before_activation(self._split.network)

    def _batched(self, method: Method, network: nn.Module) -> GradientMethod:
        """Return a method that trains all replicas at once."""
        quicker = pool_before_activation(network)
        forward = grouped(quicker, self._data.input_shape) if method == "grouped" else vmapped(quicker)
        assert forward is not None
        return BatchedGradients(forward)

    def choose(self, sizes: tuple[int, ...]) -> Choice:
        """Choose how to train replicas with these mini-batches, by the rule of this folder.

        Parameters
        ----------
        sizes : tuple of int
            Samples of each replica's mini-batch.
        """
        # What pads shorter mini-batches may enter statistics; the probe tells, if it has seen unequal ones.
        unseen = len(set(sizes)) > 1 and not self._local.has_unequal_batches and self._asked_for is None
        return self._chosen(sizes, "loop" if unseen else self._method)

    def _chosen(self, sizes: tuple[int, ...], method: Method) -> Choice:
        if self._in_turn:
            return Choice("loop", 1, 1)
        return choose(self._traits, sizes, torch.get_num_threads(), lambda: self._draws_elsewhere, method)

    @cached_property
    def _draws_elsewhere(self) -> bool:
        return SingleGradients(self._split).draws_elsewhere(self._data.train_features[:2].clone())

    def _single(self, worker: int) -> SingleGradients:
        if self.keeps_state:
            return SingleGradients(self._split, keeps_state=True)
        while len(self._singles) <= worker:
            self._singles.append(SingleGradients(self._split))
        return self._singles[worker]

    def _gradient_methods(self, choice: Choice) -> list[GradientMethod]:
        """Return one for each worker."""
        if choice.method == "loop":
            return [self._single(worker) for worker in range(choice.workers)]
        if choice.method == "grouped" and self._grouped is not None:
            return [BatchedGradients(self._grouped)]
        return [BatchedGradients(vmapped(self._quicker))]

    def run(self, weights: Weights, plan: RoundPlan) -> RoundOutcome:
        """Train for one round.

        Parameters
        ----------
        weights : dict of tensors
            The global weights; they are left as they are.
        plan : RoundPlan
            Who trains on what.

        Raises
        ------
        TrainingError
            If a loss or a weight stops being finite, naming round and device.
        """
        sizes = tuple(batch.shape[1] for batch in plan.batches)
        choice = self.choose(sizes)
        if choice.method != "loop" and self._asked_for is None:
            try:
                return self._run(weights, plan, choice)
            except (SFLError, MemoryError):
                raise
            # A network may do what only a plain step can do, on numbers that the probe did not have.
            except Exception as reason:
                self._tell_of(choice.method, reason)
                choice = self._chosen(sizes, "loop")
        return self._run(weights, plan, choice)

    def _tell_of(self, method: Method, reason: Exception) -> None:
        """Warn, once for each reason, of a round that a fast way could not train."""
        told = f"{method}: failed in a round, {type(reason).__name__}: {str(reason)[:200]}"
        if told not in self._failed:
            self._failed.append(told)
            warnings.warn(
                f"A round is trained device by device, since {told}. Its result is that of the plain loop.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _run(self, weights: Weights, plan: RoundPlan, choice: Choice) -> RoundOutcome:
        methods = self._gradient_methods(choice)
        mean = RunningAverage(float(plan.samples.sum()))
        changed: set[str] = set()
        device_loss = []
        with Workers(choice.workers, torch.get_num_threads() // choice.workers) as workers:
            for part, stacked, losses in self._train_all(weights, plan, choice.at_once, methods, workers):
                reject_non_finite_losses(losses, part)
                reject_non_finite_weights(stacked, weights, self._names.trained, part)
                changed |= changed_names(stacked, weights, weights.keys() - changed)
                mean.add(stacked, part.samples)
                device_loss.append(losses.mean(dim=0))
        averaged = {name: mean.value[name] for name in changed}
        return RoundOutcome({**weights, **averaged}, torch.cat(device_loss), traffic=None)

    def _train_all(
        self, weights: Weights, plan: RoundPlan, at_once: int, methods: list[GradientMethod], workers: Workers
    ) -> Iterator[tuple[RoundPlan, Weights, Tensor]]:
        """Train all devices and return them some at a time, in order: plan, stacked weights, losses (E, A)."""
        everybody = range(len(plan.devices))
        if self._in_turn:
            yield from train_in_turn(weights, plan, self._data, self._names, self._local, methods[0])
            return
        if self._shares:
            yield plan, *self._train(weights, plan, at_once, methods, workers, {})
            return
        # Copies that share nothing before the average need not be held at the same time.
        turns = [plan.only(everybody[i : i + at_once]) for i in everybody[::at_once]]
        memories: list[Weights] = [{} for _ in methods]
        for start in range(0, len(turns), workers.count):
            now = turns[start : start + workers.count]
            trained = workers.spread(partial(self._train_turn, weights, now, at_once, methods, memories), len(now))
            for part, (stacked, losses) in zip(now, trained, strict=True):
                yield part, stacked, losses

    def _train_turn(
        self,
        weights: Weights,
        turns: list[RoundPlan],
        at_once: int,
        methods: list[GradientMethod],
        memories: list[Weights],
        worker: int,
        turn: int,
    ) -> tuple[Weights, Tensor]:
        """Train the devices of one turn by one of the workers."""
        trained = self._train(weights, turns[turn], at_once, [methods[worker]], Workers(1), memories[worker])
        memories[worker], _ = trained
        return trained

    def _train(
        self,
        weights: Weights,
        plan: RoundPlan,
        at_once: int,
        methods: list[GradientMethod],
        workers: Workers,
        memory: Weights,
    ) -> tuple[Weights, Tensor]:
        """Train all devices of a plan in lockstep; return their stacked weights and the losses, (E, A)."""
        count = len(plan.devices)
        parameters = copies(weights, self._names.trained, count, memory)
        buffers = copies(weights, self._names.kept, count, memory)
        parts = [slice(i, i + at_once) for i in range(0, count, at_once)]
        replicas = Replicas(parameters, buffers, parts, methods, self._local)
        batches = Batches(self._data, plan, next(iter(parameters.values())).dtype)
        losses = batches.sample_weight.new_empty(plan.iterations, count)
        for iteration in range(plan.iterations):
            gradients = workers.spread(
                partial(replicas.gradients, batches.at(iteration), losses[iteration]), len(parts)
            )
            if self._shares:
                own = own_upto(self._local.server, plan.cut)
                gradients = share_server_gradients(gradients, self._names.block, own, plan.samples)
            workers.spread(partial(replicas.step, gradients), len(parts))
        return {**parameters, **buffers}, losses
