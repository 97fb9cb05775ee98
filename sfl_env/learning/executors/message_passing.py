"""The message-passing executor: really splits the network, and counts the bits that cross the air."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from sfl_env.learning.aggregation import RunningAverage
from sfl_env.learning.data import TensorData
from sfl_env.learning.plan import (
    LocalTraining,
    RoundOutcome,
    RoundPlan,
    Traffic,
    reject_non_finite_losses,
    reject_non_finite_weights,
)
from sfl_env.learning.weights import Weights, names_of


class NumberFormats(NamedTuple):
    """Bits on the air; what is computed stays in torch's own type."""

    activation_bits: int = 32
    parameter_bits: int = 32
    label_bits: int = 32


class _Link:
    """The air between a device and the server; what is sent arrives without its history of computation."""

    def __init__(self, formats: NumberFormats) -> None:
        self._formats = formats
        self.uplink_bits = 0
        self.downlink_bits = 0

    def download_model(self, weights: Weights) -> Weights:
        self.downlink_bits += _elements(weights) * self._formats.parameter_bits
        return {name: tensor.detach().clone() for name, tensor in weights.items()}

    def upload_model(self, weights: Weights) -> Weights:
        self.uplink_bits += _elements(weights) * self._formats.parameter_bits
        return {name: tensor.detach().clone() for name, tensor in weights.items()}

    def upload_smashed(self, smashed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        self.uplink_bits += smashed.numel() * self._formats.activation_bits
        self.uplink_bits += labels.numel() * self._formats.label_bits
        return smashed.detach(), labels

    def download_gradient(self, gradient: Tensor) -> Tensor:
        self.downlink_bits += gradient.numel() * self._formats.activation_bits
        return gradient.detach()


class _Side:
    """Consecutive blocks of the chain on one side, with the tensors that they work with."""

    def __init__(self, blocks: list[tuple[str, nn.Module]], parameters: Weights, buffers: Weights) -> None:
        self.parameters = parameters
        self.buffers = buffers
        tensors = {**parameters, **buffers}
        self._blocks = [
            (block, {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(f"{name}.")})
            for name, block in blocks
        ]

    def forward(self, x: Tensor) -> Tensor:
        for block, state in self._blocks:
            x = functional_call(block, state, (x,))
        return x

    def weights(self) -> Weights:
        return {name: tensor.detach() for name, tensor in (*self.parameters.items(), *self.buffers.items())}


class _Device:
    """A device: its side of the network, its optimiser, its link to the server."""

    def __init__(self, side: _Side, local: LocalTraining, link: _Link) -> None:
        self.side = side
        self.link = link
        self._step = _Stepper(side.parameters, local)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.side.forward(inputs)

    def backward(self, output: Tensor, gradient: Tensor | None) -> None:
        """Take a step, from the gradient of the output (of a loss: none)."""
        own = list(self.side.parameters.values())
        if own:
            self._step(torch.autograd.grad(output, own, gradient))


class _Stepper:
    """An optimiser that is handed its gradients."""

    def __init__(self, parameters: Weights, local: LocalTraining) -> None:
        self._parameters = list(parameters.values())
        self._optimizer = local.make_optimizer(self._parameters) if self._parameters else None

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        if self._optimizer is not None:
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                parameter.grad = gradient
            self._optimizer.step()


class _ReplicatedServer:
    """Keeps a copy of its blocks for each device, which steps at once."""

    def __init__(self, sides: list[_Side], local: LocalTraining) -> None:
        self._sides = sides
        self._steps = [_Stepper(side.parameters, local) for side in sides]

    def train(self, device: int, smashed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the gradient of the smashed data."""
        loss, cut_gradient, own = _server_pass(self._sides[device], smashed, labels)
        self._steps[device](own)
        return loss, cut_gradient

    def finish_iteration(self) -> None:
        pass


class _SharedServer:
    """Keeps one copy of its blocks; a step follows the mean of the gradients from all devices that use it."""

    def __init__(self, sides: list[_Side], parameters: Weights, local: LocalTraining, samples: Tensor) -> None:
        self._sides = sides
        self._parameters = parameters
        self._samples = samples.tolist()
        self._step = _Stepper(parameters, local)
        self._start_iteration()

    def _start_iteration(self) -> None:
        self._sums = {name: torch.zeros_like(tensor) for name, tensor in self._parameters.items()}
        self._weight = dict.fromkeys(self._parameters, 0.0)

    def train(self, device: int, smashed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the gradient of the smashed data."""
        side = self._sides[device]
        loss, cut_gradient, own = _server_pass(side, smashed, labels)
        for name, gradient in zip(side.parameters, own, strict=True):
            self._sums[name] += self._samples[device] * gradient
            self._weight[name] += self._samples[device]
        return loss, cut_gradient

    def finish_iteration(self) -> None:
        self._step([total / self._weight[name] for name, total in self._sums.items()])
        self._start_iteration()


def _server_pass(side: _Side, smashed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return the loss, the gradient of the smashed data and those of the server's blocks."""
    smashed.requires_grad_()
    loss = functional.cross_entropy(side.forward(smashed), labels)
    cut_gradient, *own = torch.autograd.grad(loss, [smashed, *side.parameters.values()])
    return loss.detach(), cut_gradient, tuple(own)


class MessagePassingExecutor:
    """Trains the way the system does: device side, smashed data, server side, cut gradient, device side.

    Parameters
    ----------
    chain : nn.Sequential
        The network's blocks, on the device to train on, in training mode.
    data : TensorData
        The data, on the same device.
    local : LocalTraining
        Batch size, optimiser and kind of server.
    formats : NumberFormats
        Bits of each number on the air.

    Notes
    -----
    Bits of device k at cut c, with n samples a mini-batch: uplink E n (S(c) + label) + P(c), without the label at
    the last cut, where nothing is offloaded; downlink E n S(c) + P(c). They are counted from the tensors that are
    handed over. Running statistics of a block on the server belong to the device whose data they describe, for a
    shared server too, and are averaged with the rest at the end.

    Memory: the weights, gradients and optimiser state of each of the K devices (a shared server's once), and
    the activations of one mini-batch.
    """

    def __init__(
        self,
        chain: nn.Sequential,
        data: TensorData,
        local: LocalTraining,
        formats: NumberFormats | None = None,
    ) -> None:
        self._blocks = list(chain.named_children())
        self._names = names_of(chain)
        self._data = data
        self._local = local
        self._formats = formats or NumberFormats()

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
        cuts: list[int] = plan.cut.tolist()
        devices = [self._device(weights, cut) for cut in cuts]
        sides, server = self._server(weights, cuts, plan.samples)
        losses = torch.empty(
            plan.iterations, len(cuts), dtype=self._data.train_features.dtype, device=plan.samples.device
        )
        for iteration in range(plan.iterations):
            for k, device in enumerate(devices):
                samples = plan.batches[k][iteration]
                inputs, labels = self._data.train_features[samples], self._data.train_labels[samples]
                output = device.forward(inputs)
                if cuts[k] == len(self._blocks) - 1:
                    loss = functional.cross_entropy(output, labels)
                    device.backward(loss, None)
                else:
                    loss, gradient = server.train(k, *device.link.upload_smashed(output, labels))
                    device.backward(output, device.link.download_gradient(gradient))
                losses[iteration, k] = loss.detach()
            server.finish_iteration()
        reject_non_finite_losses(losses, plan)
        trained = [
            {**device.link.upload_model(device.side.weights()), **side.weights()}
            for device, side in zip(devices, sides, strict=True)
        ]
        stacked = {name: torch.stack([own[name] for own in trained]) for name in weights}
        reject_non_finite_weights(stacked, plan)
        mean = RunningAverage(float(plan.samples.sum()))
        mean.add(stacked, plan.samples)
        return RoundOutcome(mean.value, losses.mean(dim=0), _traffic(devices))

    def _device(self, weights: Weights, cut: int) -> _Device:
        link = _Link(self._formats)
        held = link.download_model(_named(weights, {n for n, block in self._names.block.items() if block <= cut}))
        parameters = {name: held[name].requires_grad_() for name in self._names.parameters if name in held}
        buffers = {name: held[name] for name in self._names.buffers if name in held}
        return _Device(_Side(self._blocks[: cut + 1], parameters, buffers), self._local, link)

    def _server(
        self, weights: Weights, cuts: list[int], samples: Tensor
    ) -> tuple[list[_Side], _ReplicatedServer | _SharedServer]:
        is_shared = self._local.server == "shared"
        shared = self._parameters_after(weights, min(cuts)) if is_shared else {}
        sides = []
        for cut in cuts:
            after = {name for name, block in self._names.block.items() if block > cut}
            buffers = {name: weights[name].clone() for name in self._names.buffers if name in after}
            own = _named(shared, after) if is_shared else self._parameters_after(weights, cut)
            sides.append(_Side(self._blocks[cut + 1 :], own, buffers))
        if is_shared:
            return sides, _SharedServer(sides, shared, self._local, samples)
        return sides, _ReplicatedServer(sides, self._local)

    def _parameters_after(self, weights: Weights, cut: int) -> Weights:
        """Return copies of the parameters of the blocks after a cut, ready for gradients."""
        return {
            name: weights[name].detach().clone().requires_grad_()
            for name in self._names.parameters
            if self._names.block[name] > cut
        }


def _named(weights: Weights, names: set[str]) -> Weights:
    return {name: tensor for name, tensor in weights.items() if name in names}


def _elements(weights: Weights) -> int:
    return sum(tensor.numel() for tensor in weights.values())


def _traffic(devices: list[_Device]) -> Traffic:
    return Traffic(
        torch.tensor([device.link.uplink_bits for device in devices]),
        torch.tensor([device.link.downlink_bits for device in devices]),
    )
