"""What the larger networks cost is what the papers' tables say, and what published counts are."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sfl_env.dnn import catalogue
from sfl_env.dnn.networks import build, network
from tests.sfl_env.dnn import formulas
from tests.sfl_env.dnn.formulas import Block

META = torch.device("meta")

PICTURES = {
    "resnet50": formulas.resnet((3, 4, 6, 3), large=False),
    "resnet50-224": formulas.resnet((3, 4, 6, 3), large=True),
    "resnet101": formulas.resnet((3, 4, 23, 3), large=False),
    "resnet101-224": formulas.resnet((3, 4, 23, 3), large=True),
    "vgg19": formulas.vgg19(large=False),
    "vgg19-224": formulas.vgg19(large=True),
    "efficientnetb0-224": formulas.efficientnetb0(),
    "vitb16": formulas.vitb16(),
}


@contextmanager
def counted() -> Iterator[FlopCounterMode]:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


def on_meta(name: str) -> tuple[nn.Sequential, Tensor]:
    """Return a network as in the literature and one sample, without values."""
    entry = network(name)
    with META:
        kind = torch.long if entry.input_kind == "tokens" else torch.float32
        return build(name, norm=entry.literature_norm), torch.empty((1, *entry.input_shape), dtype=kind)


def parameters(module: nn.Module, *, trained: bool | None = None) -> int:
    return sum(each.numel() for each in module.parameters() if trained in (None, each.requires_grad))


@pytest.mark.parametrize("name", PICTURES)
def test_stored_costs_at_every_cut_are_those_of_the_papers_table(name: str) -> None:
    profile, blocks = catalogue.load(name), PICTURES[name]
    assert profile.num_cuts == len(blocks)
    macs = list(itertools.accumulate(block.macs for block in blocks))
    assert (profile.device_forward_flops / 2).tolist() == macs
    assert profile.device_parameters.tolist() == list(itertools.accumulate(block.parameters for block in blocks))
    assert profile.smashed_elements.tolist() == [block.sent for block in blocks]


@pytest.mark.parametrize("name", PICTURES)
def test_stored_costs_are_those_of_one_picture_at_a_time(name: str) -> None:
    module, x = on_meta(name)
    with counted() as forward:
        module.eval()(x)
    assert forward.get_total_flops() == catalogue.load(name).device_forward_flops[-1]


def blocks_cost(module: nn.Sequential, x: Tensor) -> list[Block]:
    costs = []
    for block in module:
        with counted() as forward:
            x = block(x)
        costs.append(Block(forward.get_total_flops() // 2, parameters(block), x.numel()))
    return [*costs[:-1], costs[-1]._replace(sent=0)]


def test_gpt2_costs_what_its_dimensions_say() -> None:
    module, tokens = on_meta("gpt2")
    assert blocks_cost(module, tokens) == formulas.gpt2(length=128, classes=2)
    with counted() as backward:
        module(tokens).backward(torch.empty(1, 2, device=META))
    # Forward, and twice that backward: the embedding looks up, which is no product.
    assert backward.get_total_flops() == 3 * 2 * sum(block.macs for block in formulas.gpt2(128, 2))


def test_gpt2_has_the_published_parameters_and_those_of_the_classifier() -> None:
    with META:
        assert parameters(build("gpt2")) == 124_439_808 + 768 * 2
        assert parameters(build("gpt2", num_classes=20)) == 124_439_808 + 768 * 20


def test_llama_costs_what_its_dimensions_say() -> None:
    module, tokens = on_meta("llama-lora")
    layer = formulas.llama_layer()
    sent = 128 * 2048
    blocks = [Block(layer.macs, layer.frozen_parameters + layer.lora_parameters, sent)] * 22
    embedding, head = Block(0, 32_000 * 2048, sent), Block(2048 * 2, 2048 + 2048 * 2, 0)
    assert blocks_cost(module, tokens) == [embedding, *blocks, head]


def test_the_backward_pass_of_frozen_layers_costs_their_forward_pass() -> None:
    module, tokens = on_meta("llama-lora")
    y = module(tokens)
    with counted() as backward:
        y.backward(torch.empty_like(y))
    layer = formulas.llama_layer()
    macs = 2 * 2048 * 2 + 21 * layer.backward_macs + layer.first_backward_macs
    assert backward.get_total_flops() == 2 * macs


def test_llama_has_the_published_parameters_but_for_its_language_head() -> None:
    with META:
        module = build("llama-lora")
    assert parameters(module, trained=False) == 1_100_048_384 - 32_000 * 2048
    assert parameters(module, trained=True) == 1_126_400 + 2048 * 2


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_adapters_have_as_many_parameters_as_their_rank_asks_for(rank: int) -> None:
    with META:
        module = build("llama-lora", rank=rank, depth=3, vocabulary=10)
    # On each side of the rank: queries 2048 and 2048, values 2048 and 4 of 32 heads.
    assert parameters(module, trained=True) == 3 * rank * (2048 + 2048 + 2048 + 256) + 2048 * 2
