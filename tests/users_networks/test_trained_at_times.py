"""Weights that get a gradient in some calls, or in large batches, alone: they train, and are charged and sent."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.measure import profile
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import User, assert_trains_like_the_plain_loop

pytestmark = pytest.mark.usefixtures("one_thread")


class TrainsFromTheSecondCallOn(Body):
    """Its first layer waits, as a pretrained one does until the head has settled."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        with torch.set_grad_enabled(self.calls > 1 and torch.is_grad_enabled()):
            h = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.middle(h)))


class DetachesAtFirst(TrainsFromTheSecondCallOn):
    def forward(self, x: Tensor) -> Any:
        self.calls += self.training
        h = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.middle(h if self.calls > 1 else h.detach())))


class AdaptersInTurn(Body):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.calls = 0

    def between(self, h: Tensor) -> Any:
        self.calls += self.training
        return (self.one if self.calls % 2 else self.other)(h)


class ScalesLargeBatches(Body):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def between(self, h: Tensor) -> Any:
        return h * self.scale if len(h) >= 16 else h


class TrainsInLargeBatches(Body):
    def between(self, h: Tensor) -> Any:
        return h if len(h) >= 16 else h.detach()


@pytest.mark.parametrize(
    "make",
    [TrainsFromTheSecondCallOn, DetachesAtFirst, AdaptersInTurn, ScalesLargeBatches, TrainsInLargeBatches],
)
@pytest.mark.parametrize("size", [4, 16])
def test_what_trains_at_times_is_charged_and_sent(make: Any, size: int) -> None:
    costs = profile(make(), (6,))
    assert costs.device_frozen_parameters.tolist() == [0] * costs.num_cuts
    # The gradient comes back at each cut, if not in each call.
    assert costs.smashed_gradient_elements.tolist() == costs.smashed_elements.tolist()
    user = User(make, batches=(size, size, size))
    # Where no gradient comes back in some of the steps, bits on the air are fewer than those charged.
    never = make is TrainsInLargeBatches and size < 16
    has_all = not issubclass(make, TrainsFromTheSecondCallOn) and not never
    assert_trains_like_the_plain_loop(user, user.split(), bits=has_all)


class SendsMoreInLargeBatches(Body):
    """Goes on with half of the numbers in small batches, by the same functions."""

    def between(self, h: Tensor) -> Any:
        half = h[:, : 8 if len(h) >= 16 else 4]
        return functional.pad(half, (0, 8 - half.shape[1]))


def test_no_cut_is_where_large_batches_send_otherwise() -> None:
    user = User(SendsMoreInLargeBatches, batches=(16, 16, 16))
    assert profile(user.make(), (6,)).smashed_elements.tolist() == [8, 8, 0]
    assert_trains_like_the_plain_loop(user, user.split())


class CentresItsBatch(Body):
    """A mean is no number of a sample: there are as many of it in large batches as in small ones."""

    def between(self, h: Tensor) -> Any:
        return h - h.mean(0)


def test_what_is_the_same_for_all_batches_costs_no_cut() -> None:
    # Behind a function, not a module, as in networks whose calls are all alike.
    assert profile(CentresItsBatch(), (6,)).cut_names == ("sub", "tanh", "last")


class TakesNoLargeBatch(Body):
    def between(self, h: Tensor) -> Any:
        if len(h) > 16:
            raise SystemExit("too many")
        return h


def test_a_network_that_takes_no_large_batch_is_profiled_in_small_ones() -> None:
    assert profile(TakesNoLargeBatch(), (6,)).device_forward_flops.tolist() == [96, 224, 272]
