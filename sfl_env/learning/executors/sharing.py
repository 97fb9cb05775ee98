"""One gradient for all copies of a block that are one copy on the server, in each step."""

from itertools import compress, pairwise

import torch
from torch import Tensor

from sfl_env.learning.aggregation import weighted_sum
from sfl_env.learning.executors.workspace import MaybeGradients
from sfl_env.scenario import Server


def own_upto(server: Server, cut: Tensor) -> Tensor:
    """Return the index of the last block of which each device has a copy that takes its own steps.

    Blocks beyond are one on the server. It can keep one copy of all that lies there (parallel split learning), or
    only of what all devices leave to it (AdaptSFL): blocks beyond the deepest cut.

    Parameters
    ----------
    server : {"parallel-sl", "adaptsfl"}
        The kind.
    cut : (K,) integer tensor
        Index of each device's last block.

    Examples
    --------
    >>> own_upto("adaptsfl", torch.tensor([0, 2, 1]))
    tensor([2, 2, 2])
    """
    return cut.max().expand_as(cut) if server == "adaptsfl" else cut


def share_server_gradients(
    parts: list[MaybeGradients], block: dict[str, int], cut: Tensor, samples: Tensor
) -> list[MaybeGradients]:
    """Give the server's copies of each block one common gradient, the sample-weighted mean of theirs.

    Parameters
    ----------
    parts : list of dict of tensors
        The replicas' own gradients, some replicas in each part, in order; None of what a loss does not depend on.
    block : dict of int
        Block of each tensor.
    cut : (K,) integer tensor
        Index of the last block that each device has to itself.
    samples : (K,) tensor
        Samples of each device.

    Returns
    -------
    list of dict of tensors
        A block up to the cut keeps its own gradient; as copies that start equal and take equal
        steps stay equal, the server's copies stay one.

    Examples
    --------
    The first device has both blocks, the other two leave block 1 to the server.

    >>> share_server_gradients(
    ...     [{"1.weight": torch.tensor([1.0])}, {"1.weight": torch.tensor([2.0, 4.0])}],
    ...     {"1.weight": 1},
    ...     torch.tensor([1, 0, 0]),
    ...     torch.tensor([1.0, 1.0, 1.0]),
    ... )
    [{'1.weight': tensor([1.])}, {'1.weight': tensor([3., 3.])}]
    """
    shared: list[MaybeGradients] = [dict(own) for own in parts]
    ends = torch.tensor([0, *(_replicas(own) for own in parts)]).cumsum(0).tolist()
    where = list(pairwise(ends))
    masks = {each: cut < each for each in set(block.values())}
    served = {each: [bool(mask[start:end].any()) for start, end in where] for each, mask in masks.items()}
    for name in parts[0]:
        mask, at_server = masks[block[name]], served[block[name]]
        # What the server's copies got: without one they are left alone, whatever a device gives its own.
        there = [gradient for own in compress(parts, at_server) if (gradient := own[name]) is not None]
        if not there:
            continue
        # A device whose loss does not depend on it pulls nowhere.
        whole = torch.cat(
            [_or_zeros(own[name], there[0], end - start) for own, (start, end) in zip(parts, where, strict=True)]
        )
        share = samples * mask
        common = weighted_sum(share / share.sum(), whole)
        for own, (start, end) in zip(shared, where, strict=True):
            own[name] = _exchanged(own[name], common, mask[start:end])
    return shared


def _replicas(own: MaybeGradients) -> int:
    return next((len(gradient) for gradient in own.values() if gradient is not None), 1)


def _or_zeros(gradient: Tensor | None, like: Tensor, replicas: int) -> Tensor:
    return like.new_zeros((replicas, *like.shape[1:])) if gradient is None else gradient


def _exchanged(own: Tensor | None, common: Tensor, mask: Tensor) -> Tensor | None:
    """Return the common gradient for the replicas of the mask, their own one for the others."""
    if not bool(mask.any()):
        return own
    if own is None:
        own = torch.zeros_like(common).expand(len(mask), *common.shape)
    return torch.where(mask.reshape(-1, *[1] * common.ndim), common, own)
