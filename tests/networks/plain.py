"""One round of federated averaging in plain PyTorch, over copies of the user's own module."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.learning import SplitFederatedTraining, TensorData
from sfl_env.learning.batches import draw_plan
from sfl_env.learning.plan import RoundPlan
from tests.networks.libraries import logits

State = dict[str, Tensor]


def next_plan(training: SplitFederatedTraining) -> RoundPlan:
    """Return the mini-batches of a training's next round; the training draws the same ones itself afterwards."""
    draws = torch.Generator()
    draws.set_state(training.state_dict()["draws"])
    cut = torch.zeros(training.partition.num_devices, dtype=torch.int64).numpy()
    place = training.partition, training.local, draws, training.device
    return draw_plan(cut, training.round + 1, *place)


def train(network: nn.Module, data: TensorData, plan: RoundPlan, learning_rate: float) -> State:
    """Return the weights after one step of each device and the sample-weighted average of all.

    Parameters
    ----------
    network : nn.Module
        The global model; it is left as it is.
    data : TensorData
        In the type of the network.
    plan : RoundPlan
        Whose samples to take, for one iteration. Devices take their steps one after another, from one seed for
        all: so layers that draw random numbers draw what they draw in the round that this is held against.
    learning_rate : float
        Of plain gradient descent.
    """
    share = plan.samples / plan.samples.sum()
    mean: State = {}
    torch.manual_seed(plan.seed)
    for device, (batch,) in enumerate(plan.batches):
        own = copy.deepcopy(network).train()
        scores = logits(own(data.train_features[batch].clone()))
        functional.cross_entropy(scores, data.train_labels[batch]).backward()
        for name, tensor in _stepped(own, learning_rate):
            if not tensor.is_floating_point():
                mean[name] = tensor.clone()  # counts of batches, alike on all devices
            elif name in mean:
                mean[name].add_(tensor * share[device])
            else:
                mean[name] = tensor * share[device]
    return mean


def _stepped(network: nn.Module, learning_rate: float) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in network.named_parameters(remove_duplicate=False):
        step = 0.0 if parameter.grad is None else learning_rate * parameter.grad
        yield name, parameter.detach() - step
    for name, buffer in network.named_buffers(remove_duplicate=False):
        yield name, buffer.detach()


def largest_error(start: nn.Module, ours: State, plain: State) -> float:
    """Return the largest difference of any weight or buffer, relative to the largest step of any parameter.

    Names that one side lacks count as an infinite difference, except for buffers that are stored nowhere.
    """
    before = {name: tensor.detach() for name, tensor in start.named_parameters(remove_duplicate=False)}
    step = max(float((plain[name] - tensor).abs().max()) for name, tensor in before.items())
    if set(start.state_dict()) - set(ours) or set(ours) - set(plain) or step == 0.0:
        return float("inf")
    return max(_difference(ours[name], plain[name]) for name in ours) / step


def _difference(ours: Tensor, plain: Tensor) -> float:
    if ours.shape != plain.shape:
        return float("inf")
    return float((ours.double() - plain.double()).abs().max()) if ours.numel() else 0.0
