"""Counting the FLOPs of real torch modules on the meta device, where nothing is computed."""

import math
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def flop_counter() -> FlopCounterMode:
    """Return torch's counter (1 multiply-accumulate = 2 FLOPs) with its grouped convolutions mended.

    torch 2.13 counts the weight gradient of a convolution with ``groups`` groups ``groups`` times over,
    which for a depthwise convolution is as many times as it has channels.
    """
    return FlopCounterMode(
        display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward_flops}
    )


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
