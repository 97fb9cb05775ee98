"""Functions of torch that choose by the sizes of their arguments how they compute, so maybe by the batch's."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch

from sfl_env.dnn.record import Choice
from sfl_env.dnn.telling import tensors_among
from sfl_env.errors import ProfileError

_IN_ORDER = "Write its products one by one, in the order that you want."
_ONE_WAY = "Name the way: compute_mode='use_mm_for_euclid_dist', or 'donot_use_mm_for_euclid_dist'."

FEW_ROWS = 25
"""Points up to which torch takes the distances of all pairs one by one, and no matrix product."""


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
    shapes = tuple(tensor.shape for tensor in tensors_among((*args, *kwargs.values())))
    if func is torch.cdist:
        sets = tuple(shape[-2:] for shape in shapes)  # before these come sets of points, each on its own
        is_few = max(rows for rows, _ in sets) <= FEW_ROWS
        is_free = kwargs["p"] == 2.0 and kwargs["compute_mode"] in _UNDECIDED and is_few
        return Choice(call, sets, _ONE_WAY) if is_free else None
    optimised = torch.backends.opt_einsum
    is_free = func is not torch.einsum or (optimised.is_available() and optimised.enabled)
    return Choice(call, shapes, _IN_ORDER) if is_free and len(shapes) > 2 else None


_CHOOSING = frozenset({torch.cdist, torch.chain_matmul, torch.einsum, torch.linalg.multi_dot})

_UNDECIDED = ("use_mm_for_euclid_dist_if_necessary", None)


def require_one_way(choices: Sequence[Sequence[Choice]], what: str) -> None:
    """Raise if functions chose by the batch's size.

    Parameters
    ----------
    choices : sequence of sequences of Choice
        Those of one run for each batch size.
    what : str
        The network, for messages.

    Raises
    ------
    ProfileError
        Naming the function, and what to do.
    """
    for calls in zip_longest(*choices):
        chosen = next(call for call in calls if call is not None)
        if any(call is None or call.shapes != chosen.shapes for call in calls):
            raise ProfileError(
                f"{what} calls {chosen.call!r}, which chooses by the sizes of its arguments how it computes, so "
                f"that what a sample costs depends on how large the batch is. {chosen.mend}"
            )
