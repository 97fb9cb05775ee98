"""Hooks on modules and tensors, and weights that are computed from others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import weight_norm as old_weight_norm

from sfl_env.dnn.measure import profile
from sfl_env.errors import SFLError
from tests.users_networks.bodies import chain
from tests.users_networks.plain_loop import User, assert_is_the_users_own

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


# K06: hooks of all four kinds, on the network and on its parts.


def doubles_inputs() -> nn.Module:
    network = chain()
    network[2].register_forward_pre_hook(lambda module, inputs: (2.0 * inputs[0],))
    return network


def shifts_outputs() -> nn.Module:
    network = chain()
    network[0].register_forward_hook(lambda module, inputs, output: output + 0.3)
    return network


def _scaled(factor: float, gradients: Any) -> Any:
    return tuple(factor * gradient for gradient in gradients)


def scales_gradients_back() -> nn.Module:
    network = chain()
    network[2].register_full_backward_hook(lambda module, inputs, outputs: _scaled(0.5, inputs))
    return network


def scales_gradients_before() -> nn.Module:
    network = chain()
    network[2].register_full_backward_pre_hook(lambda module, outputs: _scaled(0.25, outputs))
    return network


def hooked_as_a_whole() -> nn.Module:
    network = chain()
    network.register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(-1.0, 1.0),))
    network.register_forward_hook(lambda module, inputs, output: 3.0 * output)
    return network


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.first.register_forward_pre_hook(
            lambda module, args, kwargs: (args, {"input": 0.5 * kwargs["input"]}), with_kwargs=True
        )

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.first(input=x)))


class GradientOfActivation(nn.Module):
    """A hook on a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
        return self.last(torch.tanh(self.middle(h)))


HOOKS: dict[str, Any] = {
    "forward pre-hook": doubles_inputs,
    "forward hook": shifts_outputs,
    "backward hook": scales_gradients_back,
    "backward pre-hook": scales_gradients_before,
    "hooks of the whole network": hooked_as_a_whole,
    "hook with keywords": ByKeyword,
    "hook of a tensor": GradientOfActivation,
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_heeded(name: str) -> None:
    assert_is_the_users_own(User(HOOKS[name]))


# Parametrisations: weights that are computed from others.


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric() -> nn.Module:
    network = chain()
    parametrize.register_parametrization(network[2], "weight", Symmetric())
    return network


def weight_normalised() -> nn.Module:
    network = chain()
    parametrizations.weight_norm(network[0])
    parametrizations.weight_norm(network[2])
    return network


def weight_normalised_the_old_way() -> nn.Module:
    network = chain()
    network[2] = old_weight_norm(network[2])
    return network


def spectrally_normalised() -> nn.Module:
    network = chain()
    parametrizations.spectral_norm(network[2])
    return network


class ByHypernetwork(nn.Module):
    """The weight of one layer is a product of two, whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.a, self.b = nn.Parameter(torch.randn(8, 2)), nn.Parameter(torch.randn(2, 8))

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(functional.linear(torch.tanh(self.first(x)), self.a @ self.b)))


COMPUTED: dict[str, Any] = {
    "symmetric": symmetric,
    "weight norm": weight_normalised,
    "weight norm, the old way": weight_normalised_the_old_way,
    "product of two": ByHypernetwork,
}


@pytest.mark.parametrize("name", COMPUTED)
def test_weights_may_be_computed_from_others(name: str) -> None:
    assert_is_the_users_own(User(COMPUTED[name]))


def test_spectral_norm_trains_and_costs_what_its_power_iteration_costs() -> None:
    # torch's own counter knows no product of a matrix and a vector, so this is counted by hand.
    assert_is_the_users_own(User(spectrally_normalised), by_hand=False)
    costs = profile(spectrally_normalised(), (6,))
    assert costs.device_forward_flops[-1] == 2 * (48 + 64 + 24)
    assert costs.device_forward_flops_per_batch[-1] > 0.0


def test_work_on_weights_alone_is_counted_per_batch() -> None:
    costs = profile(ByHypernetwork(), (6,))
    assert costs.device_forward_flops[-1] == 2 * (48 + 64 + 24)
    assert costs.device_forward_flops_per_batch[-1] == 2 * 8 * 2 * 8
    assert costs.device_backward_flops_per_batch[-1] == 2 * 2 * 8 * 2 * 8


def test_an_orthogonal_weight_is_refused_for_its_decomposition() -> None:
    network = chain()
    parametrizations.orthogonal(network[2])
    with pytest.raises(SFLError, match="FLOPs"):
        profile(network, (6,))
