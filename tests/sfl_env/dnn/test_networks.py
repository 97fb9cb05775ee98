"""The networks that accuracy mode trains."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from sfl_env.dnn.networks import NETWORKS, build, network
from sfl_env.dnn.networks.llama import LoRALinear
from sfl_env.errors import ProfileError

PICTURES = sorted(name for name, entry in NETWORKS.items() if entry.input_kind == "numbers")
SMALL = [name for name in PICTURES if network(name).input_shape[-1] < 224]


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_network_has_no_running_statistics_by_default(name: str) -> None:
    with torch.device("meta"):
        assert not list(build(name).buffers())


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "mobilenetv2",
        "efficientnetb0-224",
        "vgg11",
        "vgg19",
        "lenet5",
        "digits-cnn",
        "alexnet",
    ],
)
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


TINY_GPT2: dict[str, Any] = {"vocabulary": 11, "positions": 6, "width": 8, "depth": 2, "heads": 2}
TINY_LLAMA: dict[str, Any] = {
    "vocabulary": 11,
    "width": 16,
    "depth": 2,
    "heads": 4,
    "key_value_heads": 2,
    "hidden": 24,
    "rank": 2,
}


@pytest.mark.parametrize(
    ("name", "options", "input_shape"),
    [
        ("resnet50", {}, (3, 32, 32)),
        ("resnet101-224", {}, (3, 64, 64)),
        ("vgg19", {}, (3, 32, 32)),
        ("efficientnetb0-224", {}, (3, 64, 64)),
        ("vitb16", {"image_size": 32, "width": 48, "depth": 2}, (3, 32, 32)),
        ("gpt2", TINY_GPT2, (5,)),
        ("llama-lora", TINY_LLAMA, (5,)),
    ],
)
def test_network_learns_from_every_layer_that_trains(
    name: str, options: dict[str, Any], input_shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module = build(name, num_classes=3, **options)
    adapters = [part for part in module.modules() if isinstance(part, LoRALinear)]
    for adapter in adapters:  # with zeros behind it, the first half of an adapter gets no gradient yet
        nn.init.normal_(adapter.lora_b.weight)
    tokens = network(name).input_kind == "tokens"
    module(
        torch.randint(11, (4, *input_shape)) if tokens else torch.rand(4, *input_shape)
    ).square().sum().backward()
    for parameter in module.parameters():
        assert (
            bool(cast(Any, parameter.grad).abs().sum() > 0) if parameter.requires_grad else parameter.grad is None
        )
    assert all(parameter.requires_grad for parameter in module.parameters()) == (not adapters)


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
        ({"name": "vitb16", "norm": "group"}, "leave norm out"),
        ({"name": "llama-lora", "rank": 0}, "rank is 0"),
    ],
)
def test_wrong_network_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        build(**cast(dict[str, Any], arguments))
