"""The message-passing executor: really splits the network, and counts the bits that cross the air."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfl_env.checks import require_whole, shown
from sfl_env.dnn.split import SplitNetwork
from sfl_env.errors import TrainingError
from sfl_env.learning.aggregation import RunningAverage
from sfl_env.learning.data import TensorData
from sfl_env.learning.executors.servers import PlainStepper, server_side
from sfl_env.learning.executors.statefulness import habits_of
from sfl_env.learning.executors.workspace import MaybeGradients, Workspace
from sfl_env.learning.plan import (
    Execution,
    LocalTraining,
    RoundOutcome,
    RoundPlan,
    Traffic,
    reject_non_finite_losses,
    reject_non_finite_weights,
)
from sfl_env.learning.weights import Weights, changed_names, names_of


class NumberFormats(NamedTuple):
    """Bits on the air; what is computed stays in torch's own type."""

    activation_bits: int = 32
    parameter_bits: int = 32
    label_bits: int = 32
    frozen_weights_travel: bool = False  # with what else training leaves as it is


class _Link:
    """The air between a device and the server; what is sent arrives as a copy."""

    def __init__(self, formats: NumberFormats, accompanying: int) -> None:
        self._formats = formats
        self._accompanying = accompanying  # numbers that are sent with a sample's smashed data
        self.uplink_bits = 0
        self.downlink_bits = 0

    def download_model(self, elements: int) -> None:
        self.downlink_bits += elements * self._formats.parameter_bits

    def upload_model(self, elements: int) -> None:
        self.uplink_bits += elements * self._formats.parameter_bits

    def upload_smashed(self, smashed: Tensor, labels: Tensor) -> Tensor:
        self.uplink_bits += (smashed.numel() + len(labels) * self._accompanying) * self._formats.activation_bits
        self.uplink_bits += labels.numel() * self._formats.label_bits
        return smashed.clone()

    def download_gradient(self, gradient: Tensor) -> Tensor:
        self.downlink_bits += gradient.numel() * self._formats.activation_bits
        return gradient.clone()


class _HandOver(torch.autograd.Function):
    """The cut: smashed data goes to the server, and its gradient comes back."""

    @staticmethod
    def forward(ctx: Any, smashed: Tensor, labels: Tensor, link: _Link) -> Tensor:
        ctx.link = link
        return link.upload_smashed(smashed, labels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return ctx.link.download_gradient(gradient), None, None


class _Device:
    """A device: its side's tensors, its optimiser, its link to the server."""

    def __init__(self, tensors: Weights, trained: Weights, local: LocalTraining, link: _Link) -> None:
        self.tensors = tensors
        self.link = link
        self.step = PlainStepper(trained, local)


class MessagePassingExecutor:
    """Trains the way the system does: device side, smashed data, server side, cut gradient, device side.

    Parameters
    ----------
    split : SplitNetwork
        The network, on the device to train on, in training mode. It runs as a whole; where a device's cut lies,
        the smashed data is really handed over, and its gradient back.
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
    handed over. Running statistics of a block on the server belong to the device whose data they describe and are
    averaged with the rest at the end; with SplitFed V2's server they are one set, which each mini-batch updates.

    Memory: the weights, gradients and optimiser state of each of the K devices (a block of which the server keeps
    one copy once), and the activations of one mini-batch.
    """

    def __init__(
        self,
        split: SplitNetwork,
        data: TensorData,
        local: LocalTraining,
        formats: NumberFormats | None = None,
    ) -> None:
        self._split = split
        self._names = names_of(split)
        self._data = data
        self._local = local
        self._formats = _checked(formats or NumberFormats())
        self.keeps_state = habits_of(split, data, local).keeps_state
        travels = {*split.trained, *split.changed}
        if self._formats.frozen_weights_travel:
            travels = set(split.block)
        self._travels = travels

    @property
    def execution(self) -> Execution:
        """How rounds are carried out."""
        return Execution("message-passing", "split", ())

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
        server = server_side(self._local, weights, self._names, cuts, plan.samples)
        held = [{**device.tensors, **side} for device, side in zip(devices, server.sides, strict=True)]
        spaces = [Workspace(self._split)] if not self.keeps_state else [Workspace(self._split) for _ in cuts]
        rows: list[dict[int, Tensor]] = []
        for iteration in range(plan.iterations):
            rows.append({})
            for k in self._order(plan, iteration):
                space = spaces[k % len(spaces)]
                space.hold(held[k])
                samples = plan.batches[k][iteration]
                loss, gradients = self._pass(space, devices[k].link, cuts[k], samples)
                rows[-1][k] = loss
                server.take(k, gradients)
                devices[k].step(gradients)
            server.finish_iteration()
        losses = torch.stack([torch.stack([row[k] for k in range(len(devices))]) for row in rows])
        reject_non_finite_losses(losses, plan)
        for device, cut in zip(devices, cuts, strict=True):
            device.link.upload_model(self._travelling(weights, cut))
        stacked = {name: torch.stack([own[name].detach() for own in held]) for name in weights}
        reject_non_finite_weights(stacked, weights, self._names.trained, plan)
        mean = RunningAverage(float(plan.samples.sum()))
        mean.add(stacked, plan.samples)
        averaged = {name: mean.value[name] for name in changed_names(stacked, weights, weights)}
        return RoundOutcome({**weights, **averaged}, losses.mean(dim=0), _traffic(devices))

    def _order(self, plan: RoundPlan, iteration: int) -> list[int]:
        """Return the devices' positions as the server takes their mini-batches, which matters to some servers."""
        return plan.order(iteration) if self._local.server == "splitfed-v2" else list(range(len(plan.devices)))

    def _pass(self, space: Workspace, link: _Link, cut: int, samples: Tensor) -> tuple[Tensor, MaybeGradients]:
        """Take a mini-batch forward and backward, over the air at the cut."""
        inputs, labels = self._data.train_features[samples], self._data.train_labels[samples]
        sent: list[int] = []

        def hand_over(smashed: Tensor) -> Tensor:
            sent.append(smashed.numel())
            received: Tensor = _HandOver.apply(smashed, labels, link)  # type: ignore[no-untyped-call]  # torch's own
            return received

        with space.split.handing_over(cut, hand_over):
            loss, gradients = space.step(inputs, labels)
        expected = [len(samples) * int(self._split.costs.smashed_elements[cut])]
        if sent != (expected if self._split.cuts[cut].place is not None else []):
            raise TrainingError(
                "The network runs otherwise than when its cuts were found, as one does that changes with its "
                f"calls: at the cut {self._split.cuts[cut].name!r} it handed over {_told(sent)} of a mini-batch, "
                f"and {_told(expected)} were expected. Take another cut, or the executor 'fused', which does not "
                "split."
            )
        return loss, gradients

    def _device(self, weights: Weights, cut: int) -> _Device:
        link = _Link(self._formats, int(self._split.costs.accompanying_elements[cut]))
        link.download_model(self._travelling(weights, cut))
        tensors = self._copies(weights, range(cut + 1))
        trained = {name: tensors[name] for name in self._names.trained if name in tensors}
        return _Device(tensors, trained, self._local, link)

    def _copies(self, weights: Weights, blocks: range) -> Weights:
        return {name: tensor.clone() for name, tensor in weights.items() if self._names.block[name] in blocks}

    def _travelling(self, weights: Weights, cut: int) -> int:
        """Return the elements of a device's model that are sent."""
        block = self._names.block
        sent = [weights[name] for name in self._travels if block[name] <= cut]
        return sum(tensor.numel() * (1 + tensor.is_complex()) for tensor in sent)


def _checked(formats: object) -> NumberFormats:
    if not isinstance(formats, NumberFormats):
        raise TrainingError(f"formats is {shown(formats)}; it has to be NumberFormats(activation_bits=..., ...).")
    for name in ("activation_bits", "parameter_bits", "label_bits"):
        require_whole(name, getattr(formats, name), 0 if name == "label_bits" else 1, error=TrainingError)
    if not isinstance(formats.frozen_weights_travel, bool):
        raise TrainingError(
            f"frozen_weights_travel is {shown(formats.frozen_weights_travel)}; it has to be True or False."
        )
    return formats


def _told(sent: list[int]) -> str:
    return f"{' and '.join(map(str, sent))} numbers" if sent else "none"


def _traffic(devices: list[_Device]) -> Traffic:
    return Traffic(
        torch.tensor([device.link.uplink_bits for device in devices]),
        torch.tensor([device.link.downlink_bits for device in devices]),
    )
