"""The average of the devices' copies after a round."""

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
            if not (copies.is_floating_point() or copies.is_complex()):
                furthest = copies.amax(dim=0)
                self.value[name] = furthest.maximum(self.value.get(name, furthest))
            elif name in self.value:
                self.value[name].view(-1).addmv_(copies.reshape(len(copies), -1).T, share_as[copies.dtype])
            else:
                self.value[name] = weighted_sum(share, copies)


def weighted_sum(share: Tensor, copies: Tensor) -> Tensor:
    """Return the sum of (A, ...) copies, weighted by (A,) shares.

    Examples
    --------
    >>> weighted_sum(torch.tensor([0.25, 0.75]), torch.tensor([[4.0], [8.0]]))
    tensor([7.])
    """
    total: Tensor = torch.tensordot(share.to(copies.dtype), copies, dims=1)
    return total
