"""Networks without values: their tensors have shapes, and nothing is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from sfl_env.dnn.copies import copied, held_tensors

M = TypeVar("M", bound=nn.Module)


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
    with FakeTensorMode() as fake, _QuickShapes():  # type: ignore[no-untyped-call]  # torch's own __init__
        yield fake


def hollow_copy(network: M) -> M:
    """Return a copy without values, to be made and run under :func:`hollow_tensors`; no weights are copied.

    Parameters
    ----------
    network : nn.Module
        What to copy. Tensors that are shared within it stay shared.

    Raises
    ------
    ProfileError
        If the network cannot be copied, or has parameters that get their shape from a first run.
    """

    def hollow(tensor: Tensor) -> Tensor:
        # Networks are built on the meta device where their weights don't matter; they run as if on the CPU.
        like = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
        return like.requires_grad_(tensor.requires_grad and not isinstance(tensor, nn.Parameter))

    memo: dict[int, object] = {}
    for tensor in held_tensors(network):
        empty = hollow(tensor)
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, tensor.requires_grad)
        memo[id(tensor)] = empty
    return copied(network, memo)


class _QuickShapes(TorchDispatchMode):
    """Tells the shapes of gradients of normalisations at once.

    They are those of what they are gradients of. torch would run through all steps of a decomposition in Python,
    which takes longer than the rest of a network together.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        like = _GRADIENTS_OF.get(func)
        if like is None:
            return func(*args, **(kwargs or {}))
        *_, mask = args
        return tuple(
            torch.empty_like(args[index]) if wanted and args[index] is not None else None
            for index, wanted in zip(like, mask, strict=True)
        )


aten = torch.ops.aten
_GRADIENTS_OF: dict[Any, tuple[int, int, int]] = {
    aten.native_batch_norm_backward.default: (1, 2, 2),
    aten.native_group_norm_backward.default: (1, 4, 4),
    aten.native_layer_norm_backward.default: (1, 5, 6),
}
"""Positions of the arguments that the results are gradients of; for a bias the weight, which is as long."""
