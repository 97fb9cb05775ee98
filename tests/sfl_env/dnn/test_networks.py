"""The networks that accuracy mode trains."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from sfl_env.dnn.networks import NETWORKS, build, network
from sfl_env.errors import ProfileError

SMALL = sorted(name for name, entry in NETWORKS.items() if entry.input_shape[-1] < 224)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_network_has_no_running_statistics_by_default(name: str) -> None:
    with torch.device("meta"):
        assert not list(build(name).buffers())


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "vgg11", "lenet5", "digits-cnn", "alexnet"])
def test_group_and_batch_normalisation_have_equal_parameters(name: str) -> None:
    with torch.device("meta"):
        assert parameters(build(name, norm="group")) == parameters(build(name, norm="batch"))


@pytest.mark.parametrize("name", SMALL)
def test_network_tells_as_many_classes_as_asked_for(name: str) -> None:
    with torch.device("meta"):
        module = build(name, num_classes=7)
        assert module(torch.empty(2, *network(name).input_shape)).shape == (2, 7)


def test_digits_cnn_learns_from_every_layer() -> None:
    torch.manual_seed(0)
    module = build("digits-cnn")
    module(torch.rand(4, 1, 8, 8)).square().sum().backward()
    assert all(bool(cast(Any, parameter.grad).abs().sum() > 0) for parameter in module.parameters())
    assert 5_000 < parameters(module) < 50_000


def test_options_reach_the_network() -> None:
    with torch.device("meta"):
        assert [name for name, _ in build("transformer", depth=2).named_children()] == [
            "embedding",
            "layer1",
            "layer2",
            "head",
        ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet19"}, "did you mean 'resnet18'"),
        ({"name": "resnet18", "num_classes": 0}, "num_classes is 0"),
        ({"name": "resnet18", "norm": "layer"}, "norm is 'layer'"),
        ({"name": "transformer", "norm": "batch"}, "leave norm out"),
    ],
)
def test_wrong_network_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        build(**cast(dict[str, Any], arguments))
