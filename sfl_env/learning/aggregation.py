"""Averages over devices: of the copies of a block after a round, and of the server's gradients within one."""

import torch
from torch import Tensor

from sfl_env.learning.weights import Weights


class RunningAverage:
    """Averages the devices' copies, weighted by their samples (FedAvg), as they come in.

    Running statistics are averaged as the parameters are. Whole-number buffers count batches: the furthest
    count is taken.

    Parameters
    ----------
    samples : float
        Samples of all devices together, above 0.

    Examples
    --------
    >>> mean = RunningAverage(samples=3.0)
    >>> mean.add({"w": torch.tensor([[1.0]])}, torch.tensor([2.0]))
    >>> mean.add({"w": torch.tensor([[4.0]])}, torch.tensor([1.0]))
    >>> mean.value
    {'w': tensor([2.])}
    """

    def __init__(self, samples: float) -> None:
        self._samples = samples
        self.value: Weights = {}

    def add(self, stacked: Weights, samples: Tensor) -> None:
        """Take in some devices' copies.

        Parameters
        ----------
        stacked : dict of (A, ...) tensors
            The copies.
        samples : (A,) tensor
            Samples of each device.
        """
        share = samples / self._samples
        share_as = {dtype: share.to(dtype) for dtype in {copies.dtype for copies in stacked.values()}}
        for name, copies in stacked.items():
            if not copies.is_floating_point():
                furthest = copies.amax(dim=0)
                self.value[name] = furthest.maximum(self.value.get(name, furthest))
            elif name in self.value:
                self.value[name].view(-1).addmv_(copies.reshape(len(copies), -1).T, share_as[copies.dtype])
            else:
                self.value[name] = _weighted_sum(share, copies)


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
