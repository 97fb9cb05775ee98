"""The pieces of the larger networks compute what their papers write down."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.networks import build
from sfl_env.dnn.networks.efficientnet import SqueezeExcitation, StochasticDepth
from sfl_env.dnn.networks.gpt2 import gpt2
from sfl_env.dnn.networks.llama import (
    Attention,
    LlamaLayer,
    LoRALinear,
    llama_lora,
    rotated,
    rotations,
)
from sfl_env.dnn.networks.resnet import Bottleneck
from sfl_env.errors import ProfileError


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_a_bottleneck_has_its_stride_in_the_3x3_convolution() -> None:
    strides = {
        layer.kernel_size: layer.stride
        for layer in Bottleneck(16, 8, 2, "none").modules()
        if isinstance(layer, nn.Conv2d) and layer.in_channels != 16
    }
    assert strides == {(3, 3): (2, 2), (1, 1): (1, 1)}


def test_stochastic_depth_keeps_or_silences_whole_samples_and_their_mean() -> None:
    layer, x = StochasticDepth(0.2), torch.rand(4000, 2, 1, 3) + 0.1
    ratio = (layer(x) / x).flatten(1)
    kept = ratio[:, 0] > 0
    torch.testing.assert_close(ratio, kept[:, None] * torch.full_like(ratio, 1 / 0.8))
    # Four standard deviations of the share of 4000 independent draws.
    assert float(kept.double().mean()) == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 4000))


def test_stochastic_depth_is_nothing_when_evaluated() -> None:
    x = torch.rand(3, 2, 1, 1)
    assert torch.equal(StochasticDepth(0.9).eval()(x), x)


def test_stochastic_depth_grows_with_the_depth_of_the_block() -> None:
    with torch.device("meta"):
        blocks = dict(build("efficientnetb0-224").named_children())
    found = {
        name: part.kept.p
        for name, block in blocks.items()
        for part in block.modules()
        if isinstance(part, StochasticDepth)
    }
    # Of 16 blocks, the second in stage 2 has two before it, the last one with a shortcut has 14.
    assert found["stage2_block2"] == pytest.approx(0.2 * 2 / 16)
    assert found["stage6_block4"] == pytest.approx(0.2 * 14 / 16)
    assert list(found.values()) == sorted(found.values())
    assert len(found) == 9


def test_squeeze_and_excitation_weighs_whole_channels() -> None:
    x = torch.rand(2, 8, 3, 3) + 0.1
    weights = (SqueezeExcitation(8, 2)(x) / x).flatten(2)
    torch.testing.assert_close(weights, weights[..., :1].expand_as(weights))
    assert bool(((weights > 0) & (weights < 1)).all())


@pytest.mark.parametrize(
    "network",
    [
        lambda: gpt2(num_classes=2, vocabulary=11, positions=8, width=12, depth=2, heads=3),
        lambda: llama_lora(
            num_classes=2, vocabulary=11, width=16, depth=2, heads=4, key_value_heads=2, hidden=8, rank=1
        ),
    ],
    ids=["gpt2", "llama"],
)
@pytest.mark.parametrize("changed", [1, 4, 7])
def test_a_token_changes_itself_and_what_comes_later(network: Callable[[], nn.Sequential], changed: int) -> None:
    trunk = network()[:-1].eval()
    tokens = torch.randint(10, (1, 8))
    other = tokens.clone()
    other[0, changed] = 10
    differs = (trunk(tokens) != trunk(other)).any(dim=-1)[0]
    assert differs.tolist() == [False] * changed + [True] * (8 - changed)


def test_gpt2_refuses_sequences_without_positions() -> None:
    module = gpt2(num_classes=2, vocabulary=11, positions=4, width=8, depth=1, heads=2)
    with pytest.raises(ProfileError, match="have 5 tokens, but GPT-2 was built with 4 positions"):
        module(torch.zeros(1, 5, dtype=torch.long))


def test_gpt2_starts_with_what_adds_to_the_residual_stream_smaller() -> None:
    module = gpt2(num_classes=2, vocabulary=11, positions=4, width=256, depth=8, heads=2)
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    assert float(weights["layer1.query_key_value.weight"].std()) == pytest.approx(0.02, rel=0.02)
    for name in ("attention_out", "mlp_out"):
        assert float(weights[f"layer1.{name}.weight"].std()) == pytest.approx(0.02 / 4, rel=0.02)
        assert not weights[f"layer1.{name}.bias"].any()


def turned(x: Tensor) -> Tensor:
    """Rotate by complex numbers: x of (..., length, size), pairs half a head apart."""
    length, half = x.shape[-2], x.shape[-1] // 2
    angle_rad = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.exp(1j * angle_rad)
    return torch.cat((pairs.real, pairs.imag), dim=-1)


def test_positions_turn_pairs_as_complex_numbers() -> None:
    x = torch.randn(2, 3, 7, 8)
    torch.testing.assert_close(rotated(x, *rotations(x)), turned(x), rtol=1e-5, atol=1e-5)


def test_scores_depend_on_how_far_apart_tokens_are() -> None:
    query, key = torch.randn(8), torch.randn(8)
    queries, keys = query.expand(9, 8), key.expand(9, 8)
    scores = rotated(queries, *rotations(queries)) @ rotated(keys, *rotations(keys)).T
    for distance in range(-8, 9):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert float(scores[0].std()) > 1e-2


def adapted(layer: LoRALinear) -> Tensor:
    return layer.base.weight + layer.scale * layer.lora_b.weight @ layer.lora_a.weight


def test_an_adapter_is_a_low_rank_change_of_the_weight() -> None:
    layer, x = LoRALinear(12, 7, rank=2, alpha=3.0).double(), torch.randn(5, 12, dtype=torch.float64)
    nn.init.normal_(layer.lora_b.weight)
    torch.testing.assert_close(layer(x), x @ adapted(layer).T)
    change = adapted(layer) - layer.base.weight
    assert int(torch.linalg.matrix_rank(change)) == 2


def test_a_fresh_adapter_changes_nothing() -> None:
    module = llama_lora(
        num_classes=2, vocabulary=11, width=16, depth=1, heads=4, key_value_heads=2, hidden=8, rank=2
    )
    for part in module.modules():
        if isinstance(part, LoRALinear):
            assert torch.equal(adapted(part), part.base.weight)


def test_a_llama_layer_is_attention_of_shared_heads_and_a_gated_perceptron() -> None:
    layer = LlamaLayer(Attention(24, 6, 2, 2, 4.0), 24, 10)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 5, 24)
    y = normalised(x, layer.attention_norm)
    query, key = y @ adapted(layer.attention.query).T, y @ layer.attention.key.weight.T
    value = y @ adapted(layer.attention.value).T
    mixed = torch.zeros_like(x)
    for head in range(6):
        own, shared = slice(4 * head, 4 * head + 4), slice(4 * (head // 3), 4 * (head // 3) + 4)
        scores = turned(query[..., own]) @ turned(key[..., shared]).mT / math.sqrt(4)
        hidden = torch.ones(5, 5).triu(1).bool()
        mixed[..., own] = scores.masked_fill(hidden, -math.inf).softmax(-1) @ value[..., shared]
    expected = x + mixed @ layer.attention.out.weight.T
    z = normalised(expected, layer.mlp_norm)
    gate = z @ layer.mlp.gate.weight.T
    gated = gate / (1 + torch.exp(-gate)) * (z @ layer.mlp.up.weight.T)
    torch.testing.assert_close(layer(x), expected + gated @ layer.mlp.down.weight.T, rtol=1e-4, atol=1e-4)


def normalised(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    mean_square: Tensor = x.square().mean(-1, keepdim=True)
    return x / torch.sqrt(mean_square + 1e-5) * norm.weight


def test_what_is_frozen_is_all_but_the_adapters_and_the_classifier() -> None:
    with torch.device("meta"):
        module = build("llama-lora", depth=2, vocabulary=10)
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained == {"head.2.weight"} | {
        f"layer{layer}.attention.{part}.lora_{half}.weight"
        for layer in (1, 2)
        for part in ("query", "value")
        for half in "ab"
    }
