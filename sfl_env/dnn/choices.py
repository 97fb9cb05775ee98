"""Functions of torch that choose by sizes in which order they compute, so maybe by the batch's."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch

from sfl_env.dnn.record import Choice
from sfl_env.dnn.telling import tensors_among

_CHOOSING = frozenset({torch.chain_matmul, torch.einsum, torch.linalg.multi_dot})


def choice_of(call: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Choice | None:
    """Return what a call of a function of torch chose by, None if there was nothing to choose.

    Examples
    --------
    >>> a, b = torch.ones(2, 3), torch.ones(3, 3)
    >>> choice_of("multi_dot", torch.linalg.multi_dot, ([a, b, b],), {}).shapes
    (torch.Size([2, 3]), torch.Size([3, 3]), torch.Size([3, 3]))
    >>> choice_of("matmul", torch.matmul, (a, b), {}) is None
    True
    """
    if func not in _CHOOSING:
        return None
    optimised = torch.backends.opt_einsum
    is_free = func is not torch.einsum or (optimised.is_available() and optimised.enabled)
    shapes = tuple(tensor.shape for tensor in tensors_among((*args, *kwargs.values())))
    return Choice(call, shapes) if is_free and len(shapes) > 2 else None


def varying(choices: Sequence[Sequence[Choice]]) -> str | None:
    """Return the first call that may choose by the size of the batch; None if there is none.

    Parameters
    ----------
    choices : sequence of sequences of Choice
        Those of one run for each batch size.

    Examples
    --------
    >>> varying([[Choice("multi_dot", ((2, 3), (3, 3)))], [Choice("multi_dot", ((3, 3), (3, 3)))]])
    'multi_dot'
    """
    for calls in zip_longest(*choices):
        chosen = next(call for call in calls if call is not None)
        if any(call is None or call.shapes != chosen.shapes for call in calls):
            return chosen.call
    return None
