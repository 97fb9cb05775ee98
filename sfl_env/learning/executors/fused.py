"""The fused executor: trains all devices' replicas of the network at once, without splitting them."""

import copy
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.errors import TrainingError
from sfl_env.learning.aggregation import RunningAverage, share_server_gradients
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.gradients import Batch, BatchedGradients, GradientMethod, SingleGradients, vmapped
from sfl_env.learning.executors.grouped import grouped
from sfl_env.learning.executors.memory import keep_freed_memory
from sfl_env.learning.executors.pooling import pool_before_activation
from sfl_env.learning.executors.workers import Workers
from sfl_env.learning.plan import (
    LocalTraining,
    RoundOutcome,
    RoundPlan,
    reject_non_finite_losses,
    reject_non_finite_weights,
)
from sfl_env.learning.weights import Weights, copies, names_of

Method = Literal["grouped", "vmap", "loop"]
METHODS: tuple[Method, ...] = ("grouped", "vmap", "loop")

GROUPED_MOST_PARAMETERS = 1_000_000
"""Up to here grouping won at every size measured; beyond, its wide grouped convolutions lose to the loop."""

VMAP_MOST_STEP_FLOPS = 30e6
"""FLOPs of one replica's step up to which ``torch.func`` beats the loop (on a CPU)."""

ACTIVATION_BYTES = 16 * 2**20
"""Activations that are held at once: more fall out of the caches (8 to 16 MiB measured best), fewer leave
too little to do at a time."""


WORKERS_MOST_PARAMETERS = 5_000_000
"""Up to here threads with replicas of their own beat torch's spreading of each operation; beyond, weights come
from memory, which the threads share, and both came out level."""

WORKERS_LEAST_BUSY = 0.8
"""Part of torch's threads that worker threads have to keep busy."""


class Choice(NamedTuple):
    """How the replicas are trained."""

    method: Method
    at_once: int  # replicas in one pass
    workers: int  # threads, each with passes of its own


class FusedExecutor:
    """Trains all replicas in lockstep on stacked weights.

    Replicated servers never mix the copies before the round's end, so where the network is split changes
    nothing in what is computed, and the split is left out; with a shared server the gradients of the blocks
    that lie there are averaged in each step. The result is that of
    :class:`~sfl_env.learning.executors.message_passing.MessagePassingExecutor`, to rounding.

    Parameters
    ----------
    chain : nn.Sequential
        The network's blocks, on the device to train on, in training mode.
    data : TensorData
        The data, on the same device.
    local : LocalTraining
        Batch size, optimiser and kind of server.
    method : {"grouped", "vmap", "loop"}, optional
        How the replicas' gradients are computed; by default the fastest, by :func:`choose`.

    Notes
    -----
    Memory: the activations of as many replicas as fit into 16 MiB, or of one, and for these replicas (with a
    shared server: for all K) parameters, gradients and optimiser state. The loop has all that, and one copy of the
    network more, for each of its worker threads.
    """

    def __init__(
        self, chain: nn.Sequential, data: TensorData, local: LocalTraining, method: Method | None = None
    ) -> None:
        self._chain = pool_before_activation(chain)
        self._data = data
        self._local = local
        self._method = method
        self._names = names_of(chain)
        self._grouped = grouped(self._chain, data.input_shape)
        self._singles: list[SingleGradients] = []
        if not self._on_gpu:
            keep_freed_memory()
        # Nothing is computed in measuring, and the type of the numbers does not change the counts.
        costs = profile(copy.deepcopy(chain).to("meta", torch.float32), data.input_shape)
        self._sample_flops = float(costs.device_forward_flops[-1] + costs.device_backward_flops[-1])
        self._sample_bytes = float(costs.device_activation_elements[-1]) * data.train_features.element_size()
        self._num_parameters = sum(parameter.numel() for parameter in chain.parameters())
        self._mixes_samples = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in chain.modules())
        if method == "grouped" and self._grouped is None:
            raise TrainingError("This network has layers that cannot be grouped; take method 'vmap' or 'loop'.")

    def choose(self, sizes: tuple[int, ...]) -> Choice:
        """Choose how to train replicas with these mini-batches.

        A fixed rule of the network's size, from measurements, and not a race at run time: how sums are
        rounded depends on the method, and the same seed has to give the same episode.

        Parameters
        ----------
        sizes : tuple of int
            Samples of each replica's mini-batch.

        Returns
        -------
        Choice
            Grouped convolutions and batched products for plain chains of up to a million parameters;
            ``torch.func`` for other small networks; else one replica after another, where the work of a step
            outweighs its overhead. There, worker threads train replicas of networks of up to five million
            parameters side by side where that keeps torch's threads busy; else torch spreads each operation over
            its threads.
        """
        method = self._method or self._fastest(sizes)
        if method == "loop":
            return Choice(method, 1, self._workers(len(sizes)))
        replica_bytes = max(sizes) * self._sample_bytes
        return Choice(method, max(1, min(len(sizes), int(ACTIVATION_BYTES / max(replica_bytes, 1.0)))), 1)

    def _workers(self, replicas: int) -> int:
        threads = torch.get_num_threads()
        workers = min(replicas, threads)
        turns = -(-replicas // workers)
        busy = replicas * (threads // workers) / (turns * threads)
        pays = workers > 1 and busy >= WORKERS_LEAST_BUSY and self._num_parameters <= WORKERS_MOST_PARAMETERS
        return workers if pays and not self._on_gpu and not self._draws_elsewhere else 1

    @cached_property
    def _draws_elsewhere(self) -> bool:
        return self._single(0).draws_elsewhere(self._data.train_features[:2])

    def _fastest(self, sizes: tuple[int, ...]) -> Method:
        # Padding would enter the batch's statistics.
        if self._mixes_samples and len(set(sizes)) > 1:
            return "loop"
        if self._grouped is not None and self._num_parameters <= GROUPED_MOST_PARAMETERS:
            return "grouped"
        small = max(sizes) * self._sample_flops <= VMAP_MOST_STEP_FLOPS
        return "vmap" if small and not self._on_gpu else "loop"

    @property
    def _on_gpu(self) -> bool:
        return self._data.train_features.device.type != "cpu"

    def _single(self, worker: int) -> SingleGradients:
        while len(self._singles) <= worker:
            self._singles.append(SingleGradients(self._chain))
        return self._singles[worker]

    def _gradient_methods(self, choice: Choice) -> list[GradientMethod]:
        """Return one for each worker."""
        if choice.method == "loop":
            return [self._single(worker) for worker in range(choice.workers)]
        if choice.method == "grouped" and self._grouped is not None:
            return [BatchedGradients(self._grouped)]
        return [BatchedGradients(vmapped(self._chain))]

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
        choice = self.choose(tuple(batch.shape[1] for batch in plan.batches))
        methods = self._gradient_methods(choice)
        mean = RunningAverage(float(plan.samples.sum()))
        device_loss = []
        with Workers(choice.workers, torch.get_num_threads() // choice.workers) as workers:
            for part, stacked, losses in self._train_all(weights, plan, choice.at_once, methods, workers):
                reject_non_finite_losses(losses, part)
                reject_non_finite_weights(stacked, part)
                mean.add(stacked, part.samples)
                device_loss.append(losses.mean(dim=0))
        return RoundOutcome(mean.value, torch.cat(device_loss), traffic=None)

    def _train_all(
        self, weights: Weights, plan: RoundPlan, at_once: int, methods: list[GradientMethod], workers: Workers
    ) -> Iterator[tuple[RoundPlan, Weights, Tensor]]:
        """Train all devices and return them some at a time, in order: plan, stacked weights, losses (E, A)."""
        everybody = range(len(plan.devices))
        if self._local.server == "shared":
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
        parameters = copies(weights, self._names.parameters, count, memory)
        buffers = copies(weights, self._names.buffers, count, memory)
        parts = [slice(i, i + at_once) for i in range(0, count, at_once)]
        replicas = _Replicas(parameters, buffers, parts, methods, self._local)
        batches = _Batches(self._data, plan)
        losses = batches.sample_weight.new_empty(plan.iterations, count)
        for iteration in range(plan.iterations):
            gradients = workers.spread(
                partial(replicas.gradients, batches.at(iteration), losses[iteration]), len(parts)
            )
            if self._local.server == "shared":
                gradients = self._share(gradients, parts, plan)
            workers.spread(partial(replicas.step, gradients), len(parts))
        return {**parameters, **buffers}, losses

    def _share(self, gradients: list[Weights], parts: list[slice], plan: RoundPlan) -> list[Weights]:
        whole = {name: torch.cat([own[name] for own in gradients]) for name in gradients[0]}
        shared = share_server_gradients(whole, self._names.block, plan.cut, plan.samples)
        return [_part(shared, part) for part in parts]


class _Replicas:
    """Replicas in parts that are computed in one pass each, and the optimisers that step them."""

    def __init__(
        self,
        parameters: Weights,
        buffers: Weights,
        parts: list[slice],
        methods: list[GradientMethod],
        local: LocalTraining,
    ) -> None:
        self._parts = parts
        self._methods = methods
        self._parameters = [_part(parameters, part) for part in parts]
        self._buffers = [_part(buffers, part) for part in parts]
        self._optimizers = [local.make_optimizer(list(held.values()), one_pass=True) for held in self._parameters]

    def gradients(self, batch: Batch, losses: Tensor, worker: int, part: int) -> Weights:
        """Return a part's gradients, computed by one of the workers, and write its losses."""
        replicas = self._parts[part]
        compute = self._methods[worker]
        losses[replicas], own = compute(self._parameters[part], self._buffers[part], batch.part(replicas))
        return own

    def step(self, gradients: list[Weights], worker: int, part: int) -> None:
        """Step a part along its gradients, which are used up."""
        own = gradients[part]
        parameters = self._parameters[part]
        for name, tensor in parameters.items():
            tensor.grad = own[name].contiguous()  # as one pass needs it
        self._optimizers[part].step()
        # Nothing may keep the gradients, so that the next ones take the same memory, warm in the caches.
        own.clear()
        for tensor in parameters.values():
            tensor.grad = None


class _Batches:
    """The round's mini-batches, padded to one size."""

    def __init__(self, data: TensorData, plan: RoundPlan) -> None:
        self._data = data
        self._plan = plan
        self.sizes = tuple(int(batch.shape[1]) for batch in plan.batches)
        largest = max(self.sizes)
        self._samples = torch.stack(
            [nn.functional.pad(batch, (0, largest - batch.shape[1])) for batch in plan.batches], dim=1
        )  # (E, A, n)
        features = data.train_features
        size = torch.tensor(self.sizes, device=features.device)[:, None]
        real = torch.arange(largest, device=features.device) < size
        self.sample_weight = real.to(features.dtype) / size

    def at(self, iteration: int) -> Batch:
        """Return all devices' mini-batches of one iteration."""
        samples = self._samples[iteration]
        inputs: Tensor = self._data.train_features[samples]
        seeds = tuple((self._plan.seed, iteration, device) for device in self._plan.devices)
        return Batch(inputs, self._data.train_labels[samples], self.sample_weight, self.sizes, seeds)


def _part(weights: Weights, replicas: slice) -> Weights:
    return {name: tensor[replicas] for name, tensor in weights.items()}
