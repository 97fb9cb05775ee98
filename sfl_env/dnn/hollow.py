"""Networks without values: their tensors have shapes, and nothing is computed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from sfl_env.dnn.constants import Constants
from sfl_env.dnn.copies import copied

M = TypeVar("M", bound=nn.Module)
_LOG = logging.getLogger("torch._subclasses.fake_tensor")


@contextmanager
def hollow_tensors() -> Iterator[FakeTensorMode]:
    """Have all tensors that are made within be without values, as if they lay on the CPU.

    Examples
    --------
    >>> with hollow_tensors():
    ...     y = torch.empty(10**6, 10**6) @ torch.empty(10**6, 3)
    >>> y.shape
    torch.Size([1000000, 3])
    """
    # torch logs a trace of what fails under it, which is told as an error here.
    _LOG.addFilter(_nothing)
    try:
        # A network may hold tensors with values outside itself: of these, too, only the shape counts.
        with FakeTensorMode(allow_non_fake_inputs=True) as fake:
            yield fake
    finally:
        _LOG.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def hollow_copy(network: M, constants: Constants) -> M:
    """Return a copy without values, to be made and run under :func:`hollow_tensors`; no weights are copied.

    Parameters
    ----------
    network : nn.Module
        What to copy. Tensors that are shared within it stay shared.
    constants : Constants
        Is told of the tensors that want no gradient, with their values.

    Raises
    ------
    ProfileError
        If the network cannot be copied, or has parameters that get their shape from a first run.
    """

    def without_values(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        made = _like(tensor)
        if not (made.requires_grad or tensor.is_meta):
            constants.add(made, tensor)
        return made

    return copied(network, without_values)


def _like(tensor: Tensor) -> Tensor:
    # Networks are built on the meta device where their weights don't matter; they run as if on the CPU.
    like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(like, tensor.requires_grad)
    return like.requires_grad_(tensor.requires_grad)


def _gradients(*like: int) -> Callable[..., Any]:
    """Return a function that makes the results of an operation, gradients of the arguments at these positions."""

    def made(*args: Any) -> tuple[Tensor | None, ...]:
        *_, mask = args
        return tuple(
            torch.empty_like(args[index]) if wanted and args[index] is not None else None
            for index, wanted in zip(like, mask, strict=True)
        )

    return made


def _of_one_type(product: Callable[..., Any]) -> Callable[..., Any]:
    """Return a product that refuses numbers of two types, as it does with values."""

    def checked(*args: Any, **kwargs: Any) -> Any:
        types = {each.dtype for each in args if isinstance(each, Tensor)}
        if len(types) > 1:
            raise RuntimeError(
                f"{product} takes numbers of one dtype, but got {' and '.join(sorted(map(str, types)))}"
            )
        return product(*args, **kwargs)

    return checked


def _device(tensor: FakeTensor) -> torch.device:
    return tensor.fake_device


aten = torch.ops.aten
QUICKER: dict[Any, Callable[..., Any]] = {
    torch.ops.prim.device.default: _device,
    # A bias is as long as the weight.
    aten.native_batch_norm_backward.default: _gradients(1, 2, 2),
    aten.native_group_norm_backward.default: _gradients(1, 4, 4),
    aten.native_layer_norm_backward.default: _gradients(1, 5, 6),
    **{
        product: _of_one_type(product)
        for product in (
            *(aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default, aten.addbmm.default),
            *(aten.mv.default, aten.addmv.default, aten.dot.default),
        )
    },
}
"""Functions in the place of operations, on tensors without values: they return the same shapes.

torch would run through all steps of a normalisation's gradient in Python, which takes longer than the rest of a
network together. And products of numbers of two types, which tensors without values allow, are refused.
"""
