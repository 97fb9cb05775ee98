"""Layers that mix the samples of a batch, and buffers that a forward pass puts anew."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.errors import ProfileError
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    fused,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# K08: layers that mix the samples of a batch, where the devices' batches differ.


class OwnCentring(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return (x - x.mean(dim=0)) / (1.0 + x.std(dim=0))


class BatchSoftmax(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x * x.softmax(dim=0)


class GhostNorm(nn.Module):
    """Normalises two halves of the batch apart."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8, momentum=0.3)

    def forward(self, x: Tensor) -> Any:
        return torch.cat([self.norm(half) for half in x.tensor_split(2)])


class Gram(nn.Module):
    """Each sample looks at all others: the work grows with the square of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        return self.last((h @ h.t()).softmax(dim=1) @ h)


def images(norm: Any) -> Any:
    return lambda: nn.Sequential(nn.Conv2d(2, 4, 3), norm(), nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))


def features(norm: Any) -> Any:
    return lambda: nn.Sequential(nn.Linear(6, 8), norm(), nn.Tanh(), nn.Linear(8, 8), norm(), nn.Linear(8, 3))


MIXING = {
    "BatchNorm1d": User(features(lambda: nn.BatchNorm1d(8))),
    "BatchNorm1d without affine": User(features(lambda: nn.BatchNorm1d(8, affine=False))),
    "BatchNorm2d": User(images(lambda: nn.BatchNorm2d(4)), (2, 6, 6)),
    "InstanceNorm2d with statistics": User(
        images(lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True)), (2, 6, 6)
    ),
    "own centring": User(features(OwnCentring)),
    "softmax over the batch": User(features(BatchSoftmax)),
    "halves of the batch": User(features(GhostNorm), batches=(4, 6, 5)),
    "SyncBatchNorm's like": User(images(lambda: nn.BatchNorm2d(4, momentum=None)), (2, 6, 6)),
}


@pytest.mark.parametrize("name", MIXING)
def test_layers_that_mix_samples_see_the_devices_own_batches(name: str) -> None:
    assert_is_the_users_own(MIXING[name])


def test_work_that_grows_with_the_square_of_the_batch_is_refused() -> None:
    with pytest.raises(ProfileError, match="no sum of a part for each sample and one for the batch"):
        profile(Gram(), (6,))


# K12: buffers that forward assigns anew.


class MovingMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("seen", torch.tensor(0))
        self.mean: Tensor
        self.seen: Tensor

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.mean = self.mean.lerp(x.detach().mean(0), 0.2)
            self.seen = self.seen + 1
        return x - self.mean


class Codebook(nn.Module):
    """Moves the nearest of its vectors towards what it sees, in its buffer's data."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(4, 8))
        self.codes: Tensor

    def forward(self, x: Tensor) -> Any:
        nearest = (x.detach().unsqueeze(1) - self.codes).square().sum(-1).argmin(1)
        found = self.codes[nearest]
        if self.training:
            self.codes.data[nearest] = 0.9 * found + 0.1 * x.detach()
        return x + (found - x).detach()


class Slow(nn.Module):
    """A slow copy of its weight, updated in place under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = nn.Linear(8, 8), nn.Linear(8, 8).requires_grad_(False)

    def forward(self, x: Tensor) -> Any:
        with torch.no_grad():
            for slow, fast in zip(self.slow.parameters(), self.fast.parameters(), strict=True):
                slow.mul_(0.9).add_(fast, alpha=0.1)
        return torch.tanh(self.fast(x)) + self.slow(x).detach()


@pytest.mark.parametrize("block", [MovingMean, Codebook, Slow])
def test_what_forward_writes_is_followed_and_averaged(block: Any) -> None:
    user = User(lambda: nn.Sequential(nn.Linear(6, 8), block(), nn.Tanh(), nn.Linear(8, 3)))
    assert_is_the_users_own(user)
    network = user.network()
    written = {"MovingMean": "1.mean", "Codebook": "1.codes", "Slow": "1.slow.weight"}[block.__name__]
    after = trained(fused(user), network, user.plan([0] * K))
    assert not torch.equal(after[written], dict(network.state_dict())[written])
