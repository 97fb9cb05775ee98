"""The fused executor: trains all devices' replicas of the network at once, without splitting them."""

import copy
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.errors import TrainingError
from sfl_env.training.aggregation import RunningAverage, share_server_gradients
from sfl_env.training.data import TensorData
from sfl_env.training.gradients import Batch, BatchedGradients, GradientMethod, SingleGradients, vmapped
from sfl_env.training.grouped import grouped
from sfl_env.training.memory import keep_freed_memory
from sfl_env.training.plan import (
    LocalTraining,
    RoundOutcome,
    RoundPlan,
    reject_non_finite_losses,
    reject_non_finite_weights,
)
from sfl_env.training.weights import Weights, copies, names_of

Method = Literal["grouped", "vmap", "loop"]
METHODS: tuple[Method, ...] = ("grouped", "vmap", "loop")

GROUPED_MOST_PARAMETERS = 1_000_000
"""Up to here grouping won at every size measured; beyond, its wide grouped convolutions lose to the loop."""

VMAP_MOST_STEP_FLOPS = 30e6
"""FLOPs of one replica's step up to which ``torch.func`` beats the loop (on a CPU)."""

ACTIVATION_BYTES = 16 * 2**20
"""Activations that are held at once: more fall out of the caches (8 to 16 MiB measured best), fewer leave
too little to do at a time."""


class Choice(NamedTuple):
    """How the replicas are trained."""

    method: Method
    at_once: int  # replicas


class FusedExecutor:
    """Trains all replicas in lockstep on stacked weights.

    Replicated servers never mix the copies before the round's end, so where the network is split changes
    nothing in what is computed, and the split is left out; with a shared server the gradients of the blocks
    that lie there are averaged in each step. The result is that of
    :class:`~sfl_env.training.message_passing.MessagePassingExecutor`, to rounding.

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
    shared server: for all K) parameters, gradients and optimiser state; the loop has one copy of the network more.
    """

    def __init__(
        self, chain: nn.Sequential, data: TensorData, local: LocalTraining, method: Method | None = None
    ) -> None:
        self._chain = chain
        self._data = data
        self._local = local
        self._method = method
        self._names = names_of(chain)
        self._grouped = grouped(chain, data.input_shape)
        if data.train_features.device.type == "cpu":
            keep_freed_memory()
        # Nothing is computed in measuring, and the type of the numbers does not change the counts.
        costs = profile(copy.deepcopy(chain).to("meta", torch.float32), data.input_shape)
        self._sample_flops = float(costs.device_forward_flops[-1] + costs.device_backward_flops[-1])
        self._sample_bytes = float(costs.device_activation_elements[-1]) * data.train_features.element_size()
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
            outweighs its overhead and torch spreads each operation over the cores by itself (worker threads
            over replicas measured slower).
        """
        replica_bytes = max(sizes) * self._sample_bytes
        at_once = max(1, min(len(sizes), int(ACTIVATION_BYTES / max(replica_bytes, 1.0))))
        method = self._method or self._fastest(sizes)
        return Choice(method, 1 if method == "loop" else at_once)

    def _fastest(self, sizes: tuple[int, ...]) -> Method:
        # Padding would enter the batch's statistics.
        if self._mixes_samples and len(set(sizes)) > 1:
            return "loop"
        on_gpu = self._data.train_features.device.type != "cpu"
        num_parameters = sum(p.numel() for p in self._chain.parameters())
        if self._grouped is not None and num_parameters <= GROUPED_MOST_PARAMETERS:
            return "grouped"
        small = max(sizes) * self._sample_flops <= VMAP_MOST_STEP_FLOPS
        return "vmap" if small and not on_gpu else "loop"

    @cached_property
    def _single(self) -> SingleGradients:
        return SingleGradients(self._chain)

    def _gradient_method(self, method: Method) -> GradientMethod:
        if method == "loop":
            return self._single
        if method == "grouped" and self._grouped is not None:
            return BatchedGradients(self._grouped)
        return BatchedGradients(vmapped(self._chain))

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
        compute = self._gradient_method(choice.method)
        everybody = range(len(plan.devices))
        if self._local.server == "shared":
            turns = [everybody]
        else:
            # Copies that share nothing before the average need not be held at the same time.
            turns = [everybody[i : i + choice.at_once] for i in everybody[:: choice.at_once]]
        mean = RunningAverage(float(plan.samples.sum()))
        device_loss = []
        stacked: Weights = {}
        for turn in turns:
            part = plan.only(turn)
            stacked, losses = self._train(weights, part, compute, choice.at_once, stacked)
            reject_non_finite_losses(losses, part)
            reject_non_finite_weights(stacked, part)
            mean.add(stacked, part.samples)
            device_loss.append(losses.mean(dim=0))
        return RoundOutcome(mean.value, torch.cat(device_loss), traffic=None)

    def _train(
        self, weights: Weights, plan: RoundPlan, compute: GradientMethod, at_once: int, memory: Weights
    ) -> tuple[Weights, Tensor]:
        """Train all devices of a plan in lockstep; return their stacked weights and the losses, (E, A)."""
        count = len(plan.devices)
        parameters = copies(weights, self._names.parameters, count, memory)
        buffers = copies(weights, self._names.buffers, count, memory)
        parts = [slice(i, i + at_once) for i in range(0, count, at_once)]
        parameter_parts = [_part(parameters, part) for part in parts]
        buffer_parts = [_part(buffers, part) for part in parts]
        optimizer = self._local.make_optimizer(
            [t for held in parameter_parts for t in held.values()], one_pass=True
        )
        batches = _Batches(self._data, plan)
        losses = batches.sample_weight.new_empty(plan.iterations, count)
        for iteration in range(plan.iterations):
            batch = batches.at(iteration)
            gradients: list[Weights] = []
            for part, held, state in zip(parts, parameter_parts, buffer_parts, strict=True):
                losses[iteration, part], own = compute(held, state, batch.part(part))
                gradients.append(own)
            if self._local.server == "shared":
                gradients = self._share(gradients, parts, plan)
            for held in parameter_parts:
                own = gradients.pop(0)
                for name, tensor in held.items():
                    tensor.grad = own.pop(name).contiguous()  # as one pass needs it
            optimizer.step()
            # Nothing may keep the gradients, so that the next ones take the same memory, warm in the caches.
            optimizer.zero_grad()
        return {**parameters, **buffers}, losses

    def _share(self, gradients: list[Weights], parts: list[slice], plan: RoundPlan) -> list[Weights]:
        whole = {name: torch.cat([own[name] for own in gradients]) for name in gradients[0]}
        shared = share_server_gradients(whole, self._names.block, plan.cut, plan.samples)
        return [_part(shared, part) for part in parts]


class _Batches:
    """The round's mini-batches, padded to one size."""

    def __init__(self, data: TensorData, plan: RoundPlan) -> None:
        self._data = data
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
        return Batch(inputs, self._data.train_labels[samples], self.sample_weight, self.sizes)


def _part(weights: Weights, replicas: slice) -> Weights:
    return {name: tensor[replicas] for name, tensor in weights.items()}
