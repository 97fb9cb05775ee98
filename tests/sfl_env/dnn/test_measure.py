"""FLOPs, saved activations and parameters of user networks, against counts made in other ways."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from sfl_env.dnn.flops import counted_flops
from sfl_env.dnn.measure import profile
from sfl_env.dnn.networks import build
from sfl_env.errors import ProfileError


def macs_by_hooks(module: nn.Module, x: Tensor) -> int:
    """Count the multiply-accumulates of linear layers and convolutions from their shapes alone."""
    counted = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            counted.append(output.numel() * layer.in_features)
        elif isinstance(layer, nn.ConvTranspose2d):
            counted.append(inputs[0].numel() * layer.out_channels // layer.groups * math.prod(layer.kernel_size))
        elif isinstance(layer, nn.Conv2d):
            counted.append(output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size))

    handles = [layer.register_forward_hook(count) for layer in module.modules()]
    module(x)
    for handle in handles:
        handle.remove()
    return sum(counted)


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet18", "vgg11", "alexnet-cifar", "digits-cnn"])
def test_flops_are_twice_the_macs_of_the_layers(name: str) -> None:
    with torch.device("meta"):
        module = build(name)
        shape = (1, 8, 8) if name == "digits-cnn" else (3, 32, 32)
        assert profile(module, shape).device_forward_flops[-1] == 2 * macs_by_hooks(module, torch.empty(1, *shape))


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_grouped_convolution_costs_twice_its_forward_pass_backwards(kind: type, groups: int) -> None:
    with torch.device("meta"):
        layer = kind(8, 16, 3, stride=2, groups=groups)
        x = torch.empty(2, 8, 9, 9, requires_grad=True)
    macs = macs_by_hooks(layer, x)
    with counted_flops() as forward:
        y = layer(x)
    with counted_flops() as backward:
        y.sum().backward()
    assert forward.get_total_flops() == 2 * macs
    assert backward.get_total_flops() == 4 * macs


def test_attention_is_counted_as_its_matrix_products() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return functional.scaled_dot_product_attention(x, x, x)

    tokens, width = 10, 16
    costs = profile(nn.Sequential(nn.Linear(width, width), Attention(), nn.Linear(width, 3)), (tokens, width))
    attention = costs.device_forward_flops[1] - costs.device_forward_flops[0]
    assert attention == 2 * 2 * tokens * tokens * width
    assert costs.device_backward_flops[1] - costs.device_backward_flops[0] == 2 * attention


@pytest.mark.parametrize(("name", "cut"), [("resnet18", 3), ("transformer", 4)])
def test_sides_cost_what_they_cost_when_run_apart(name: str, cut: int) -> None:
    """The profile adds up blocks; here each side is run as a whole, as in a round."""
    with torch.device("meta"):
        module = build(name)
        x = torch.empty(2, 3, 32, 32)
    costs = profile(module, (3, 32, 32))
    with counted_flops() as device_forward:
        smashed = module[: cut + 1](x)
    received = smashed.detach().requires_grad_(True)
    with counted_flops() as server_forward:
        loss = module[cut + 1 :](received).sum()
    with counted_flops() as server_backward:
        loss.backward()
    with counted_flops() as device_backward:
        smashed.backward(received.grad)
    assert device_forward.get_total_flops() == 2 * costs.device_forward_flops[cut]
    assert server_forward.get_total_flops() == 2 * costs.server_forward_flops[cut]
    assert server_backward.get_total_flops() == 2 * costs.server_backward_flops[cut]
    assert device_backward.get_total_flops() == 2 * costs.device_backward_flops[cut]


def test_real_run_costs_what_the_profile_says() -> None:
    module = build("digits-cnn")
    counter = FlopCounterMode(display=False)
    with counter:
        module(torch.rand(5, 1, 8, 8)).sum().backward()
    costs = profile(module, (1, 8, 8))
    assert counter.get_total_flops() == 5 * (costs.device_forward_flops[-1] + costs.device_backward_flops[-1])


layers = st.lists(
    st.sampled_from(["linear", "linear", "relu", "norm", "dropout", "identity"]), min_size=2, max_size=9
)


@settings(max_examples=20, deadline=None)
@given(layers, st.lists(st.integers(1, 12), min_size=11, max_size=11), st.booleans())
def test_random_network_keeps_its_totals(kinds: list[str], widths: list[int], bias: bool) -> None:
    chain = nn.Sequential(nn.Linear(widths[0], widths[1], bias=bias))
    width = widths[1]
    for kind, wider in zip((*kinds, "linear"), (*widths[2:], 3), strict=False):
        if kind == "linear":
            chain.append(nn.Linear(width, wider, bias=bias))
            width = wider
        else:
            chain.append(
                {"relu": nn.ReLU(), "norm": nn.BatchNorm1d(width), "dropout": nn.Dropout()}.get(
                    kind, nn.Identity()
                )
            )
    chain.append(nn.Linear(width, 2, bias=bias))
    costs = profile(chain, (widths[0],))
    linear = [layer for layer in chain if isinstance(layer, nn.Linear)]
    macs = [layer.in_features * layer.out_features for layer in linear]
    np.testing.assert_array_equal(costs.device_forward_flops, 2 * np.cumsum(macs))
    np.testing.assert_array_equal(costs.device_forward_flops + costs.server_forward_flops, 2 * sum(macs))
    # Each layer's backward pass is two products of its forward size, the first layer's one.
    np.testing.assert_array_equal(costs.device_backward_flops, 4 * np.cumsum(macs) - 2 * macs[0])
    np.testing.assert_array_equal(costs.server_backward_flops, 2 * costs.server_forward_flops)
    np.testing.assert_array_equal(costs.smashed_elements[:-1], [layer.out_features for layer in linear[:-1]])
    assert costs.device_parameters[-1] == sum(parameter.numel() for parameter in chain.parameters())
    assert costs.device_buffers[-1] == sum(buffer.numel() for buffer in chain.buffers())


def test_activations_kept_are_counted_once() -> None:
    # The input (4), the hidden layer (6, kept by ReLU and by the next layer alike), and nothing of the output.
    costs = profile(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), (4,))
    assert costs.device_activation_elements.tolist() == [4 + 6, 4 + 6]


def test_statistics_of_the_batch_are_no_activations_of_a_sample() -> None:
    costs = profile(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)), (4,))
    assert costs.device_activation_elements.tolist() == [4 + 6, 4 + 6 + 6]


def test_measuring_leaves_the_network_as_it_is() -> None:
    torch.manual_seed(0)
    module = build("resnet18", norm="batch").eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    profile(module, (3, 32, 32))
    assert not any(part.training for part in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_step_in_place_behind_a_cut_is_measured() -> None:
    second = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 2))
    costs = profile(nn.Sequential(nn.Linear(4, 6), second), (4,))
    assert costs.server_backward_flops[0] == 4 * 6 * 2


def test_frozen_layers_ask_for_no_weight_gradient() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    module[0].requires_grad_(False)
    costs = profile(module, (4,))
    assert costs.device_backward_flops.tolist() == [0, 2 * 12]
    # Nothing on the device trains, so nobody asks for the gradient of the smashed data.
    assert costs.server_backward_flops.tolist() == [2 * 12, 0]
    assert costs.smashed_gradient_elements.tolist() == [0, 0]
    assert costs.device_frozen_parameters.tolist() == [30, 30]


def test_plain_tensor_attribute_is_measured() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 6)
            self.scale = torch.full((6,), 2.0)

        def forward(self, x: Tensor) -> Any:
            return self.layer(x) * self.scale

    assert profile(nn.Sequential(Scaled(), nn.Linear(6, 2)), (4,)).device_parameters.tolist() == [30, 44]


def test_network_that_mixes_samples_is_refused() -> None:
    class Similarity(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x @ x.T @ x

    with pytest.raises(ProfileError, match="FLOPs of Sequential up to '1' are no sum of a part for each sample"):
        profile(nn.Sequential(nn.Linear(4, 6), Similarity(), nn.Linear(6, 2)), (4,))


def test_name_is_the_class_unless_given() -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    assert profile(module, (4,)).name == "Sequential"
    assert profile(module, (4,), name="mine").name == "mine"
