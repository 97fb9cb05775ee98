"""Copies of modules on the meta device, where tensors have shapes and no values."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sfl_env.errors import ProfileError

M = TypeVar("M", bound=nn.Module)
META = torch.device("meta")

BATCHES = (2, 3)
"""Batch sizes to run with: two, to tell what grows with the batch, and not 1, which batch normalisation
refuses."""


def to_meta(module: M) -> M:
    """Return a copy in training mode on the meta device; the weights themselves are never copied.

    Parameters shared within the module stay shared in the copy.

    Raises
    ------
    ProfileError
        If the module cannot be copied, or has parameters that get their shape from a first run.
    """
    memo: dict[int, object] = {}
    for part in module.modules():
        plain = [value for value in vars(part).values() if isinstance(value, Tensor)]
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False), *plain):
            if is_lazy(tensor):
                raise ProfileError(
                    f"A {type(part).__name__} has parameters without a shape; run the network on one batch first."
                )
            hollow = tensor.detach().to(META).requires_grad_(tensor.requires_grad)
            is_parameter = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(hollow, tensor.requires_grad) if is_parameter else hollow
    with foreign_code(f"{type(module).__name__} cannot be copied"):
        return copy.deepcopy(module, memo).to(META).train()


def sample_input(input_shape: tuple[int, ...], batch: int) -> Tensor:
    """Return an input without values, (batch, *input_shape)."""
    return torch.empty((batch, *input_shape), device=META)


@contextmanager
def foreign_code(what: str, mend: str = "") -> Iterator[None]:
    """Run a user's own code, which may raise anything at all, and tell it as what did not work.

    ``sys.exit`` counts: a module that ends the process on import, or a forward pass that does, would otherwise end
    a measurement without a word. Only an interruption stays one.

    Raises
    ------
    ProfileError
        ``what``, the reason and the mend.

    Examples
    --------
    >>> with foreign_code("make_net() failed"):
    ...     raise SystemExit(0)
    Traceback (most recent call last):
        ...
    sfl_env.errors.ProfileError: make_net() failed (SystemExit: 0).
    """
    try:
        yield
    except (KeyboardInterrupt, ProfileError):
        raise
    except BaseException as error:
        raise ProfileError(f"{what} ({reason(error)}).{mend}") from error


def reason(error: BaseException) -> str:
    """Return what an error of foreign code says, on one line and without its full stop."""
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # not even that can be relied on
        return kind
    return f"{kind}: {lines[0].rstrip('.')}" if lines else kind
