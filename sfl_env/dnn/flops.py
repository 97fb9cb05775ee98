"""Counting the FLOPs of real torch modules on the meta device, where nothing is computed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def counted_flops() -> Iterator[FlopCounterMode]:
    """Count what runs inside with torch's counter (1 multiply-accumulate = 2 FLOPs), mended in two ways.

    torch 2.13 counts the weight gradient of a convolution with ``groups`` groups ``groups`` times over,
    which for a depthwise convolution is as many times as it has channels. And attention is run as the matrix
    products that it consists of, whichever fused kernel a machine may have.
    """
    mended = {torch.ops.aten.convolution_backward: _convolution_backward_flops}
    with plain_attention(), FlopCounterMode(display=False, custom_mapping=mended) as counter:
        yield counter


@contextmanager
def plain_attention() -> Iterator[None]:
    """Run attention as matrix products and a softmax."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def _convolution_backward_flops(
    grad_output_shape: torch.Size,
    input_shape: torch.Size,
    weight_shape: torch.Size,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: int,
    output_mask: list[bool],
    *,
    out_shape: Any,
) -> int:
    """Return the FLOPs of the gradients asked for: each pairs the same numbers as the forward pass does."""
    positions_shape = input_shape if transposed else grad_output_shape
    batch, positions = positions_shape[0], math.prod(positions_shape[2:])
    forward = 2 * batch * positions * math.prod(weight_shape)
    return forward * sum(output_mask[:2])
