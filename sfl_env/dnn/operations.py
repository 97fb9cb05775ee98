"""What single ATen operations cost, as far as torch's own counter does not know it or counts it wrong.

All formulas take an operation's arguments by the names of its schema, and its result. Only shapes are read
(of sparse matrices also how many values they hold), so tensors may be on the meta device.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

from sfl_env.dnn.sparse import stored

Arguments = Mapping[str, Any]
Formula = Callable[[Arguments, Any], int]
aten = torch.ops.aten
ATTENTION = aten._scaled_dot_product_flash_attention
ATTENTION_BACKWARD = aten._scaled_dot_product_flash_attention_backward
_QKV = ("query", "key", "value")


def _as_known(known: object, *names: str) -> Formula:
    """Return the FLOPs that torch's formula of another operation finds for the named arguments."""
    return lambda given, out: _torch_count(known, *(given[name].shape for name in names))


def _torch_count(known: object, *shapes: torch.Size) -> int:
    return int(flop_registry[known](*shapes, out_val=None))


def _convolution(positions: str | None) -> Formula:
    """Return the FLOPs of a convolution, which uses all of a filter at each of its positions.

    These are the elements of its output, or of the argument that is named: a transposed convolution's input.
    """
    return lambda given, out: _filter_flops(out if positions is None else given[positions], given["weight"])


def _filter_flops(positions: Tensor, weight: Tensor) -> int:
    return int(2 * positions.numel() * math.prod(weight.shape[1:]))


def _convolution_backward(given: Arguments, out: object) -> int:
    """Return the FLOPs of the gradients asked for: each pairs the same numbers as the forward pass does."""
    positions = given["input"] if given["transposed"] else given["grad_output"]
    return int(_filter_flops(positions, given["weight"]) * sum(given["output_mask"][:2]))


def _slow_convolution_backward(given: Arguments, out: object) -> int:
    asked = given.get("output_mask", (True, True))
    return int(_filter_flops(given["grad_output"], given["weight"]) * sum(asked[:2]))


def _linear_backward(given: Arguments, out: object) -> int:
    return int(2 * given["self"].numel() * given["weight"].shape[0] * sum(given["output_mask"][:2]))


def _rows(rows: str) -> Formula:
    """Return the FLOPs of a product with each row of an argument, whatever form the other factor is stored in."""
    return lambda given, out: 2 * out.numel() * given[rows].shape[-1]


def _list_of_matrices(given: Arguments, out: object) -> int:
    pairs = zip(given["self"], given["mat2"], strict=True)
    return sum(_torch_count(aten.mm, left.shape, right.shape) for left, right in pairs)


def _grouped_matrices(given: Arguments, out: object) -> int:
    """Return the FLOPs of a product in groups of rows, of columns, of terms, or of whole matrices."""
    left, right = given["self"], given["mat2"]
    groups = left.shape[0] if left.dim() > right.dim() else 1  # each has its own part of the columns
    return int(2 * left.numel() // groups * right.shape[-1])


def _trilinear(given: Arguments, out: object) -> int:
    """Return the FLOPs of ``sum(i1 * i2 * i3)``: a product of the first two, then one with the third.

    Each tensor is stretched over the dimensions that it lacks. The kernel goes through the indices of
    ``unroll_dim`` one by one, so both products have them all. What sums nothing is pointwise, and free.
    """
    shapes = [list(given[name].shape) for name in ("i1", "i2", "i3")]
    for shape, lacking in zip(shapes, ("expand1", "expand2", "expand3"), strict=True):
        for dim in sorted(given[lacking]):
            shape.insert(dim, 1)
    first, second, third = shapes
    unrolled = given["unroll_dim"]
    product = list(torch.broadcast_shapes(first, second))
    product[unrolled] = torch.broadcast_shapes(*shapes)[unrolled]
    summed = set(given["sumdim"]) & set(given["expand3"]) - {unrolled}
    then_summed = set(given["sumdim"]) - set(given["expand3"]) - {unrolled}
    left = [1 if dim in summed else size for dim, size in enumerate(product)]
    both = (summed, product), (then_summed, torch.broadcast_shapes(left, third))
    return sum(2 * math.prod(shape) for sums, shape in both if sums)


def _recurrent(*weights: str, passes: int = 1) -> Formula:
    """Return the FLOPs of a fused recurrent layer: all weights in each step of each sequence."""

    def count(given: Arguments, out: object) -> int:
        return passes * _recurrent_flops(given["input"], [given[name] for name in weights])

    return count


def _recurrent_flops(steps: Tensor, weights: list[Tensor]) -> int:
    matrices = sum(weight.numel() for weight in weights if weight.dim() > 1)
    return int(2 * (steps.numel() // steps.shape[-1]) * matrices)


def _recurrent_layers(given: Arguments, out: object) -> int:
    return _recurrent_flops(given["input"], given["weight"])


def _recurrent_layers_backward(given: Arguments, out: object) -> int:
    """Return the FLOPs of a recurrent network's gradients: of inputs and states, and of weights if asked for."""
    return int(_recurrent_layers(given, out) * (1 + given["output_mask"][3]))


def _heads_first(tensor: Tensor) -> torch.Size:
    """Return the shape of a tensor (batch, tokens, heads, width) as (batch, heads, tokens, width)."""
    batch, tokens, heads, width = tensor.shape
    return torch.Size((batch, heads, tokens, width))


def _attention_kernel(kernel: object, lengths: str, known: object, *names: str) -> Formula:
    """Return the FLOPs of an attention kernel as libraries call it themselves, with heads behind tokens.

    Torch's formula is right for packed sequences, and reads one batch of equal lengths as if heads came first.
    """

    def count(given: Arguments, out: object) -> int:
        if given[lengths] is not None:
            return int(flop_registry[kernel](*given.values(), out_val=out))
        return _torch_count(known, *(_heads_first(given[name]) for name in names))

    return count


def _multi_head_attention(given: Arguments, out: object) -> int:
    """Return the FLOPs of the fast path of ``nn.MultiheadAttention``: four projections and the attention."""
    query, key, value = (given[name] for name in ("query", "key", "value"))
    width, heads = given["embed_dim"], given["num_head"]
    projections = 2 * (2 * query.numel() + key.numel() + value.numel()) * width
    shapes = (torch.Size((x.shape[0], heads, x.shape[1], width // heads)) for x in (query, key, value))
    return int(projections + _torch_count(ATTENTION, *shapes))


def _transformer_layer(given: Arguments, out: object) -> int:
    """Return the FLOPs of the fast path of ``nn.TransformerEncoderLayer``."""
    source = given["src"]
    tokens = source.numel() // source.shape[-1]
    feed_forward = 2 * tokens * (given["ffn_weight_1"].numel() + given["ffn_weight_2"].numel())
    same = {"query": source, "key": source, "value": source, "num_head": given["num_heads"]}
    return int(feed_forward + _multi_head_attention({**given, **same}, out))


def _weighted_bags(rows: str) -> Formula:
    """Return the FLOPs of sums of looked-up rows, which are products only where samples have weights."""

    def count(given: Arguments, out: object) -> int:
        weighted = given.get("per_sample_weights", True) is not None
        return int(2 * given["indices"].numel() * given[rows].shape[-1] * weighted)

    return count


def _distances(given: Arguments, out: Tensor) -> int:
    """Return 3 FLOPs for each coordinate of each pair: the difference, its power, the sum."""
    return int(3 * out.numel() * given["x1"].shape[-1])


def _distances_backward(given: Arguments, out: object) -> int:
    """Return 3 FLOPs for each coordinate of each pair: the difference, its weight, the sum."""
    return int(3 * given["cdist"].numel() * given["x1"].shape[-1])


def _own_distances_backward(given: Arguments, out: object) -> int:
    """Return 4 FLOPs for each coordinate of each pair, whose gradient goes to both of its points."""
    return int(4 * given["pdist"].numel() * given["self"].shape[-1])


def _fourier(given: Arguments, out: Tensor) -> int:
    """Return 5 N log2 N for each transform of N complex points, and half of it for real input or output.

    This is the convention of FFTW's benchmarks (M. Frigo, S. G. Johnson, "The design and implementation of
    FFTW3", Proc. IEEE 93(2), 2005): the radix-2 algorithm's asymptotic count, an estimate for any other N.
    """
    source = given["self"]
    real = source if not source.is_complex() else out if not out.is_complex() else None
    whole = source if real is None else real
    points = math.prod(whole.shape[dim] for dim in given["dim"])
    if points < 2:
        return 0
    one = 5 * points * math.log2(points)
    return int(whole.numel() // points * round(one if real is None else one / 2))


_CONVOLUTIONS = (
    "slow_conv3d_forward",
    "slow_conv_dilated2d",
    "slow_conv_dilated3d",
    "_conv_depthwise2d",
    "conv_depthwise3d",
    "cudnn_convolution_relu",
    "cudnn_convolution_add_relu",
    "mkldnn_convolution",
    "miopen_convolution",
    "miopen_convolution_relu",
    "miopen_convolution_add_relu",
    "miopen_depthwise_convolution",
    "_nnpack_spatial_convolution",
)
_TRANSPOSED_CONVOLUTIONS = (
    "slow_conv_transpose2d",
    "slow_conv_transpose3d",
    "cudnn_convolution_transpose",
    "miopen_convolution_transpose",
)

MENDED: dict[str, Formula] = {
    # The overloads with an ``out_dtype`` raise TypeError in torch's counter, and in-place ones count as nothing.
    "bmm": _as_known(aten.bmm, "self", "mat2"),
    "addmm": _as_known(aten.mm, "mat1", "mat2"),
    "baddbmm": _as_known(aten.bmm, "batch1", "batch2"),
    # Torch reads these two by the arguments of ``convolution``, which they do not have.
    "cudnn_convolution": _convolution(None),
    "_slow_conv2d_forward": _convolution(None),
    # Torch counts the gradient of a weight with ``groups`` groups ``groups`` times over.
    "convolution_backward": _convolution_backward,
    "_flash_attention_forward": _attention_kernel(aten._flash_attention_forward, "cum_seq_q", ATTENTION, *_QKV),
    "_flash_attention_backward": _attention_kernel(
        aten._flash_attention_backward, "cum_seq_q", ATTENTION_BACKWARD, "grad_out", *_QKV
    ),
    "_efficient_attention_forward": _attention_kernel(
        aten._efficient_attention_forward, "cu_seqlens_q", ATTENTION, *_QKV
    ),
    "_efficient_attention_backward": _attention_kernel(
        aten._efficient_attention_backward, "cu_seqlens_q", ATTENTION_BACKWARD, "grad_out_", *_QKV
    ),
}
"""Formulas that stand in for torch's own."""

FORMULAS: dict[str, Formula] = {
    **dict.fromkeys(_CONVOLUTIONS, _convolution(None)),
    **dict.fromkeys(_TRANSPOSED_CONVOLUTIONS, _convolution("self")),
    "_slow_conv2d_backward": _slow_convolution_backward,
    "conv_tbc": lambda given, out: 2 * out.numel() * math.prod(given["weight"].shape[:2]),
    "mv": lambda given, out: 2 * given["self"].numel(),
    "addmv": lambda given, out: 2 * given["mat"].numel(),
    "dot": lambda given, out: 2 * given["self"].numel(),
    "vdot": lambda given, out: 2 * given["self"].numel(),
    # A sum with an outer product; the outer product alone is torch's pointwise ``mul``, and free like that.
    "addr": lambda given, out: 2 * out.numel(),
    "addbmm": _as_known(aten.bmm, "batch1", "batch2"),
    "_addmm_activation": _as_known(aten.mm, "mat1", "mat2"),
    "_int_mm": _as_known(aten.mm, "self", "mat2"),
    "_scaled_mm_v2": _as_known(aten.mm, "self", "mat2"),
    "_grouped_mm": _grouped_matrices,
    "_scaled_grouped_mm": _grouped_matrices,
    "_scaled_grouped_mm_v2": _grouped_matrices,
    "_foreach_mm": _list_of_matrices,
    "_weight_int8pack_mm": _rows("self"),
    "_weight_int4pack_mm": _rows("self"),
    "_weight_int4pack_mm_for_cpu": _rows("self"),
    "_weight_int4pack_mm_with_scales_and_zeros": _rows("self"),
    "_dyn_quant_matmul_4bit": _rows("inp"),
    "_mixed_dtypes_linear": _rows("input"),
    "linear": _rows("input"),
    "linear_backward": _linear_backward,
    "mkldnn_linear": _rows("self"),
    "mkldnn_linear_backward": _linear_backward,
    "mkldnn_linear_backward_input": lambda given, out: 2 * given["grad_output"].numel() * out.shape[-1],
    "mkldnn_linear_backward_weights": lambda given, out: (
        2 * given["grad_output"].numel() * given["input"].shape[-1]
    ),
    "affine_grid_generator": _rows("theta"),
    "sparse_sampled_addmm": lambda given, out: 2 * stored(given["self"]) * given["mat1"].shape[-1],
    "_trilinear": _trilinear,
    "_cdist_forward": _distances,
    "_cdist_backward": _distances_backward,
    "_euclidean_dist": lambda given, out: 2 * out.numel() * (given["x1"].shape[-1] + 2),
    "_pdist_forward": lambda given, out: 3 * out.numel() * given["self"].shape[-1],
    "_pdist_backward": _own_distances_backward,
    "mkldnn_rnn_layer": _recurrent("weight0", "weight1"),
    "mkldnn_rnn_layer_backward": _recurrent("weight1", "weight2", passes=2),
    "_cudnn_rnn": _recurrent_layers,
    "_cudnn_rnn_backward": _recurrent_layers_backward,
    "miopen_rnn": _recurrent_layers,
    "miopen_rnn_backward": _recurrent_layers_backward,
    "_scaled_dot_product_flash_attention_for_cpu": _as_known(ATTENTION, *_QKV),
    "_scaled_dot_product_flash_attention_for_cpu_backward": _as_known(ATTENTION_BACKWARD, "grad_out", *_QKV),
    "_scaled_dot_product_fused_attention_overrideable": _as_known(ATTENTION, *_QKV),
    "_scaled_dot_product_fused_attention_overrideable_backward": _as_known(ATTENTION_BACKWARD, "grad_out", *_QKV),
    "_native_multi_head_attention": _multi_head_attention,
    "_transformer_encoder_layer_fwd": _transformer_layer,
    "_embedding_bag": _weighted_bags("weight"),
    "_embedding_bag_forward_only": _weighted_bags("weight"),
    "_embedding_bag_backward": _weighted_bags("grad"),
    "_embedding_bag_dense_backward": _weighted_bags("grad"),
    "_embedding_bag_per_sample_weights_backward": _weighted_bags("weight"),
}
"""Formulas of operations that torch's counter does not know."""

ESTIMATES: dict[str, Formula] = dict.fromkeys(
    ("_fft_c2c", "_fft_r2c", "_fft_c2r", "fft_c2c", "fft_r2c", "fft_c2r"), _fourier
)
"""Formulas that count real FLOPs of complex numbers themselves."""
