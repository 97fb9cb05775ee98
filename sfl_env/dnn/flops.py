"""Counting the FLOPs of real torch modules, by each ATen operation that they run."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator, OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from sfl_env.dnn.foreign import foreign_code
from sfl_env.dnn.operations import ESTIMATES, FORMULAS, MENDED
from sfl_env.dnn.sparse import SPARSE_PRODUCTS, is_sparse, sparse_product_flops
from sfl_env.errors import ProfileError


def operation_flops(
    operation: OpOverload | HigherOrderOperator, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any
) -> int:
    """Return the FLOPs of one ATen operation (1 multiply-accumulate = 2 FLOPs).

    Only products are counted: matrix products, convolutions, attention, recurrent kernels, distances of all
    pairs, Fourier transforms. What takes a bounded number of steps for each element of its input or output
    (activations, normalisation, pooling, optimiser steps, copies) counts as 0.

    Parameters
    ----------
    operation : OpOverload or HigherOrderOperator
        What a :class:`torch.utils._python_dispatch.TorchDispatchMode` is told of.
    args, kwargs : tuple, dict
        Its arguments; tensors may be on any device.
    out : object
        What it returned.

    Returns
    -------
    int
        FLOPs, of complex numbers in real ones (a complex multiply-accumulate is four).

    Raises
    ------
    ProfileError
        If the operation's cost is not known: solvers and decompositions of matrices, and other libraries'
        own kernels without a formula registered by :func:`torch.utils.flop_counter.register_flop_formula`.

    Notes
    -----
    What torch's counter knows is counted by it, apart from its faults; in attention, masked and causal scores
    count as all others. Outer products are pointwise multiplications to torch, so they are free; ``addr`` is
    counted. Distances are 3 FLOPs for each coordinate of each pair. Fourier transforms are an estimate,
    5 N log2 N for N complex points and half of it for real ones. What autograd would have taken apart, and
    inference mode hands on whole, is counted by its parts.

    Examples
    --------
    >>> matrix, vector = torch.ones(3, 4), torch.ones(4)
    >>> operation_flops(torch.ops.aten.mv.default, (matrix, vector), {}, matrix @ vector)
    24
    >>> operation_flops(torch.ops.aten.relu.default, (vector,), {}, vector.relu())
    0
    """
    with foreign_code(f"The FLOPs of {operation} cannot be counted for these arguments"):
        flops = _counted(operation, args, kwargs, out)
        if flops is None and not _is_free(operation):
            flops = _flops_of_parts(operation, args, kwargs)
    return 0 if flops is None else flops


def _counted(operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> int | None:
    """Return the FLOPs of an operation that has a formula, None for any other."""
    target = operation if isinstance(operation, HigherOrderOperator) else operation._overloadpacket
    known = flop_registry.get(target)
    if isinstance(operation, HigherOrderOperator) or operation.namespace not in TORCHS_OWN:
        return None if known is None else int(known(*args, **kwargs, out_val=out))
    name = _base_name(operation)
    own = MENDED.get(name) or FORMULAS.get(name) or ESTIMATES.get(name)
    if known is None and own is None and name not in SPARSE_PRODUCTS:
        return None
    given = _arguments(operation, args, kwargs)
    factors = [given[factor] for factor in SPARSE_PRODUCTS.get(name, ())]
    flops: int | None
    if any(is_sparse(factor) for factor in factors):
        flops = sparse_product_flops(*factors)
    elif known is not None and name not in MENDED:
        flops = int(known(*args, **kwargs, out_val=out))
    else:
        flops = None if own is None else int(own(given, out))
    return flops if flops is None or name in ESTIMATES else flops * _real_products(args)


@cache
def _base_name(operation: OpOverload) -> str:
    """Return an operation's name without its namespace and without the mark of a step in place."""
    name: str = operation._schema.name.partition("::")[2]
    return name.removesuffix("_")


@cache
def _schema(operation: OpOverload) -> dict[str, Any]:
    """Return the names of an operation's arguments with their defaults, None for those without."""
    return {argument.name: argument.default_value for argument in operation._schema.arguments}


def _arguments(operation: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, those left out at their defaults."""
    names = _schema(operation)
    return {**names, **dict(zip(names, args, strict=False)), **kwargs}


def _real_products(args: tuple[Any, ...]) -> int:
    """Return how many products of real numbers a product of two elements is."""
    first = next((leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)), None)
    if first is not None and first.is_complex():
        return 4
    return 2 if first is not None and first.dtype is torch.float4_e2m1fn_x2 else 1  # two numbers in one element


TORCHS_OWN = frozenset({"aten", "prim", "prims", "profiler"})
"""Namespaces whose operations are free unless their names tell of a product or a decomposition."""

_PRODUCT = re.compile(
    r"\w*(?:mm|mv|dot|matmul)|[cp]dist|einsum|ger|addr|outer|inner|kron|cov|corrcoef|combination|(?:bi|tri)?linear"
    r"|conv(?:\d[a-z]|olution)?|head|attention|attn|transformer|rnn|lstm|gru|generator|bag|i?stft|fft"
    r"|linalg|\w*det|(?!re)\w*solve|p?inverse|lu|qr|svd|eigh?|cholesky|lstsq|ormqr|orgqr|geqrf|householder"
    r"|matrix|nuclear|cond"
)
"""A part of a name, between underscores, of what has to be counted, taken apart or refused."""

FREE = frozenset(
    {
        # Norms, cross products and copies in spite of their names.
        "aten::dist",
        "aten::dist_backward",
        "aten::fft_fftfreq",
        "aten::fft_rfftfreq",
        "aten::linalg__powsum",
        "aten::linalg_cross",
        "aten::linalg_vector_norm",
        "aten::_linalg_check_errors",
        "aten::slice_inverse",
        "aten::mkldnn_reorder_conv2d_weight",
        "aten::mkldnn_reorder_conv3d_weight",
        "aten::_cudnn_rnn_flatten_weight",
        "aten::_use_cudnn_rnn_flatten_weight",
        # The gates of one step, whose products are operations of their own.
        "aten::_thnn_fused_gru_cell",
        "aten::_thnn_fused_gru_cell_backward",
        "aten::_thnn_fused_lstm_cell",
        "aten::_thnn_fused_lstm_cell_backward",
        "aten::_thnn_fused_lstm_cell_backward_impl",
        "rngprims::philox_rand",
        # Pooling over boxes, and choosing among them.
        "torchvision::nms",
        "torchvision::qnms",
        "torchvision::roi_align",
        "torchvision::_roi_align_backward",
        "torchvision::roi_pool",
        "torchvision::_roi_pool_backward",
        "torchvision::ps_roi_align",
        "torchvision::_ps_roi_align_backward",
        "torchvision::ps_roi_pool",
        "torchvision::_ps_roi_pool_backward",
    }
)
"""Operations that are free although their name or library does not say so."""


@cache
def _is_free(operation: Any) -> bool:
    if isinstance(operation, HigherOrderOperator):
        return False
    if operation._schema.name in FREE:
        return True
    parts = _base_name(operation).split("_")
    return operation.namespace in TORCHS_OWN and not any(_PRODUCT.fullmatch(part) for part in parts)


def _flops_of_parts(operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Return the FLOPs of the operations that one consists of, run on the meta device.

    Autograd takes such operations apart itself; they arrive whole in inference mode.

    Raises
    ------
    ProfileError
        If it has no parts, so that its cost is not known.
    """
    if isinstance(operation, OpOverload):
        hollow_args, hollow_kwargs = tree_map_only(Tensor, _hollow, (args, dict(kwargs)))
        parts = _PartsCounter()
        with parts:
            if operation.decompose(*hollow_args, **hollow_kwargs) is not NotImplemented:
                return parts.flops
    packet = operation if isinstance(operation, HigherOrderOperator) else operation._overloadpacket
    raise ProfileError(
        f"The FLOPs of {operation} are not known. Write the network without it, or say what it costs: "
        f"register a formula with torch.utils.flop_counter.register_flop_formula(torch.ops.{_path(packet)})."
    )


def _path(packet: Any) -> str:
    if isinstance(packet, HigherOrderOperator):
        return f"higher_order.{packet.name()}"
    path: str = packet._qualified_op_name.replace("::", ".")
    return path


def _hollow(tensor: Tensor) -> Tensor:
    """Return a tensor without values, or the tensor itself where values may say how much there is to do."""
    counts = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    return torch.empty_like(tensor, device="meta") if counts and not is_sparse(tensor) else tensor


class _PartsCounter(TorchDispatchMode):
    """Adds up the FLOPs of all that runs inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.flops += operation_flops(func, args, kwargs or {}, out)
        return out


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


def _convolution_backward_flops(*args: Any, out_val: Any, **kwargs: Any) -> int:
    return operation_flops(torch.ops.aten.convolution_backward.default, args, kwargs, out_val)


_convolution_backward_flops._get_raw = True  # type: ignore[attr-defined]  # tensors, not only their shapes
