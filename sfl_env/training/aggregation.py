"""Averages over devices: of the copies of a block after a round, and of the server's gradients within one."""

import torch
from torch import Tensor

from sfl_env.training.weights import Weights


def average(stacked: Weights, samples: Tensor) -> Weights:
    """Average the devices' copies, weighted by their samples (FedAvg), tensor by tensor.

    Running statistics are averaged as the parameters are. Whole-number buffers count batches: the furthest
    count is taken.

    Parameters
    ----------
    stacked : dict of (K, ...) tensors
        The copies.
    samples : (K,) tensor
        Samples of each device, with a sum above 0.

    Examples
    --------
    >>> average({"w": torch.tensor([[1.0], [4.0]])}, torch.tensor([2.0, 1.0]))
    {'w': tensor([2.])}
    """
    share = samples / samples.sum()
    return {
        name: _weighted_sum(share, copies) if copies.is_floating_point() else copies.amax(dim=0)
        for name, copies in stacked.items()
    }


def share_server_gradients(gradients: Weights, block: dict[str, int], cut: Tensor, samples: Tensor) -> Weights:
    """Give the server's copies of each block one common gradient, the sample-weighted mean of theirs.

    Parameters
    ----------
    gradients : dict of (K, ...) tensors
        Each replica's own gradients.
    block : dict of int
        Block of each tensor.
    cut : (K,) integer tensor
        Index of each device's last block.
    samples : (K,) tensor
        Samples of each device.

    Returns
    -------
    dict of (K, ...) tensors
        A block that lies on the device keeps its own gradient; as copies that start equal and take equal
        steps stay equal, the server's copies stay one.

    Examples
    --------
    The first device has both blocks, the other two leave block 1 to the server.

    >>> share_server_gradients(
    ...     {"1.weight": torch.tensor([1.0, 2.0, 4.0])},
    ...     {"1.weight": 1},
    ...     torch.tensor([1, 0, 0]),
    ...     torch.tensor([1.0, 1.0, 1.0]),
    ... )
    {'1.weight': tensor([1., 3., 3.])}
    """
    shared = dict(gradients)
    on_server: dict[int, Tensor | None] = {}
    for name, own in gradients.items():
        index = block[name]
        if index not in on_server:
            mask = cut < index
            on_server[index] = mask if bool(mask.any()) else None
        mask_or_none = on_server[index]
        if mask_or_none is None:
            continue
        share = samples * mask_or_none
        common = _weighted_sum(share / share.sum(), own)
        shared[name] = torch.where(mask_or_none.reshape(-1, *[1] * (own.ndim - 1)), common, own)
    return shared


def _weighted_sum(share: Tensor, copies: Tensor) -> Tensor:
    total: Tensor = torch.tensordot(share.to(copies.dtype), copies, dims=1)
    return total
