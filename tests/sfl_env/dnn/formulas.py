"""Costs of the field's networks by formulas, from the tables of the papers and without a look at any module.

Each network is a list of what its blocks cost, in order. Multiply-accumulates are those of one sample.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Block(NamedTuple):
    """Multiply-accumulates, parameters, and elements that the block hands on."""

    macs: int
    parameters: int
    sent: int


class _Layer(NamedTuple):
    macs: int
    parameters: int


def _block(layers: Iterable[_Layer], sent: int) -> Block:
    layers = list(layers)
    return Block(sum(layer.macs for layer in layers), sum(layer.parameters for layer in layers), sent)


def _conv(kernel: int, channels_in: int, channels_out: int, side: int, *, groups: int = 1) -> _Layer:
    """Cost a convolution that puts out side x side pixels, with two parameters a channel for normalisation."""
    weights = kernel**2 * channels_in // groups * channels_out
    return _Layer(weights * side**2, weights + 2 * channels_out)


def _linear(features_in: int, features_out: int, rows: int = 1, *, bias: bool = True) -> _Layer:
    weights = features_in * features_out
    return _Layer(rows * weights, weights + (features_out if bias else 0))


def resnet(depths: tuple[int, ...], *, large: bool) -> list[Block]:
    """Table 1 of He et al. (2016), columns of 50 and 101 layers, the stride in the 3x3 convolution."""
    side = 56 if large else 32
    stem = _conv(7, 3, 64, 112) if large else _conv(3, 3, 64, 32)
    blocks = [_block([stem], 64 * side**2)]
    channels = 64
    for width, depth in zip((64, 128, 256, 512), depths, strict=True):
        for index in range(depth):
            out = side // 2 if index == 0 and width > 64 else side
            layers = [
                _conv(1, channels, width, side),
                _conv(3, width, width, out),
                _conv(1, width, 4 * width, out),
            ]
            if index == 0:
                layers.append(_conv(1, channels, 4 * width, out))
            blocks.append(_block(layers, 4 * width * out**2))
            channels, side = 4 * width, out
    return [*blocks, _block([_linear(2048, 1000 if large else 10)], 0)]


def vgg19(*, large: bool) -> list[Block]:
    """Table 1 of Simonyan & Zisserman (2015), column E: 16 convolutions with a bias, three linear layers."""
    side, channels, blocks = 224 if large else 32, 3, []
    for widths in ([64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4):
        for index, width in enumerate(widths):
            weights = 9 * channels * width
            pooled = side // 2 if index == len(widths) - 1 else side
            blocks.append(Block(weights * side**2, weights + width, width * pooled**2))
            channels, side = width, pooled
    head = (25_088, 4096, 4096, 1000) if large else (512, 512, 512, 10)
    linears = [_block([_linear(features, out)], out) for features, out in pairwise(head)]
    return [*blocks, *linears[:-1], linears[-1]._replace(sent=0)]


def efficientnetb0() -> list[Block]:
    """Table 1 of Tan & Le (2019); squeezed to a quarter of a block's input channels."""
    # expansion, kernel, pixels along an edge of the input, channels out, layers
    rows = (
        (1, 3, 112, 16, 1),
        (6, 3, 112, 24, 2),
        (6, 5, 56, 40, 2),
        (6, 3, 28, 80, 3),
        (6, 5, 14, 112, 3),
        (6, 5, 14, 192, 4),
        (6, 3, 7, 320, 1),
    )
    ends = [row[2] for row in rows[1:]] + [7]
    blocks = [_block([_conv(3, 3, 32, 112)], 32 * 112**2)]
    channels = 32
    for (expansion, kernel, side, width, count), end in zip(rows, ends, strict=True):
        for _ in range(count):
            inner, squeezed = expansion * channels, channels // 4
            layers = [
                _conv(kernel, inner, inner, end, groups=inner),
                _linear(inner, squeezed),
                _linear(squeezed, inner),
                _conv(1, inner, width, end),
            ]
            if expansion > 1:
                layers.append(_conv(1, channels, inner, side))
            blocks.append(_block(layers, width * end**2))
            channels, side = width, end
    blocks.append(_block([_conv(1, 320, 1280, 7)], 1280 * 7**2))
    return [*blocks, _block([_linear(1280, 1000)], 0)]


def _attention_macs(queries: int, keys: int, width: int) -> int:
    """Count the scores of all pairs, and the values weighed by them."""
    return 2 * queries * keys * width


def vitb16() -> list[Block]:
    """Table 1 of Dosovitskiy et al. (2021), row "Base", on 14 x 14 patches and a class token."""
    width, hidden, patches = 768, 3072, 14**2
    tokens = patches + 1
    patch = _linear(16 * 16 * 3, width, patches)
    embedding = Block(patch.macs, patch.parameters + width + tokens * width, tokens * width)
    linears = [_linear(width, width, tokens)] * 4 + [
        _linear(width, hidden, tokens),
        _linear(hidden, width, tokens),
    ]
    plain = _block(linears, tokens * width)
    layer = Block(plain.macs + _attention_macs(tokens, tokens, width), plain.parameters + 4 * width, plain.sent)
    head = _linear(width, 1000)
    return [embedding, *[layer] * 12, Block(head.macs, head.parameters + 2 * width, 0)]


def gpt2(length: int, classes: int) -> list[Block]:
    """Table 2 of Radford et al. (2019), first row: 12 layers of width 768; 50,257 tokens, 1024 positions."""
    width = 768
    linears = [_linear(width, width, length)] * 4
    linears += [_linear(width, 4 * width, length), _linear(4 * width, width, length)]
    plain = _block(linears, length * width)
    layer = Block(plain.macs + _attention_macs(length, length, width), plain.parameters + 4 * width, plain.sent)
    head = Block(width * classes, 2 * width + width * classes, 0)
    return [Block(0, (50_257 + 1024) * width, length * width), *[layer] * 12, head]


class LlamaLayer(NamedTuple):
    """Multiply-accumulates of one layer by what they are for, and parameters by whether they train."""

    frozen_macs: int
    lora_macs: int
    attention_macs: int
    frozen_parameters: int
    lora_parameters: int

    @property
    def macs(self) -> int:
        """All multiply-accumulates of the forward pass."""
        return self.frozen_macs + self.lora_macs + self.attention_macs

    @property
    def backward_macs(self) -> int:
        """Those of the backward pass with a gradient of the input: frozen weights ask for none of their own."""
        return self.frozen_macs + 2 * (self.lora_macs + self.attention_macs)

    @property
    def first_backward_macs(self) -> int:
        """Those of the layer whose input asks for no gradient.

        Of the frozen layers only what comes behind the attention is gone through, into the adapters only for their
        weights and back through their second halves, and the keys, which nothing trains, are left out.
        """
        behind = LLAMA_LENGTH * (LLAMA_WIDTH**2 + 3 * LLAMA_WIDTH * LLAMA_HIDDEN)
        first_halves = 2 * LLAMA_LENGTH * LLAMA_RANK * LLAMA_WIDTH
        return behind + 2 * self.lora_macs - first_halves + 3 * self.attention_macs // 2


LLAMA_LENGTH, LLAMA_WIDTH, LLAMA_HIDDEN, LLAMA_RANK, LLAMA_DEPTH = 128, 2048, 5632, 8, 22
LLAMA_VOCABULARY = 32_000


def llama_layer() -> LlamaLayer:
    """TinyLlama-1.1B (Zhang et al., 2024, table 1) with LoRA of rank 8 on queries and values."""
    width, narrow, rank, length = LLAMA_WIDTH, LLAMA_WIDTH // 32 * 4, LLAMA_RANK, LLAMA_LENGTH
    frozen = 2 * width**2 + 2 * width * narrow + 3 * width * LLAMA_HIDDEN
    lora = rank * (width + width) + rank * (width + narrow)
    return LlamaLayer(
        frozen_macs=length * frozen,
        lora_macs=length * lora,
        attention_macs=_attention_macs(length, length, width),
        frozen_parameters=frozen + 2 * width,
        lora_parameters=lora,
    )
