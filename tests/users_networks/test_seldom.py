"""What a network does seldom: on numbers, or in batches, that a probe did not have."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from sfl_env.errors import TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.pooling import pool_before_activation
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import (
    TOLERANCE,
    K,
    User,
    assert_trains_like_the_plain_loop,
    distance,
    federated,
    fused,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class CountsAnew(Body):
    """Puts a new tensor in the place of a buffer, with another value only for samples that are far out."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("count", torch.zeros(()))
        self.count: Tensor

    def between(self, h: Tensor) -> Any:
        self.count = self.count + (h.detach().abs() > self.limit).sum().to(self.count.dtype)
        return h * (1.0 + 0.01 * self.count)


class CountsInNewMemory(CountsAnew):
    def between(self, h: Tensor) -> Any:
        self.count.data = self.count + (h.detach().abs() > self.limit).sum().to(self.count.dtype)
        return h * (1.0 + 0.01 * self.count)


@pytest.mark.parametrize("kind", [CountsAnew, CountsInNewMemory])
@pytest.mark.parametrize("limit", [0.8, 2.0])
def test_buffers_put_anew_are_followed_whatever_their_values(
    kind: Callable[[float], nn.Module], limit: float
) -> None:
    user = User(lambda: kind(limit))
    assert_trains_like_the_plain_loop(user, user.split())
    assert fused(user).execution.method == "loop"


def with_a_hook_before_the_pooling() -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )
    network[2].register_forward_pre_hook(
        lambda module, inputs: (torch.where(inputs[0] > 0.5, -inputs[0], inputs[0]),)
    )
    return network


def with_a_hook_behind_the_activation() -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )
    network[1].register_forward_hook(lambda module, inputs, output: torch.where(output > 0.5, -output, output))
    return network


@pytest.mark.parametrize("make", [with_a_hook_before_the_pooling, with_a_hook_behind_the_activation])
def test_layers_with_hooks_between_them_keep_their_order(make: Callable[[], nn.Module]) -> None:
    assert isinstance(pool_before_activation(make()).get_submodule("1"), nn.ReLU)
    user = User(make, (1, 8, 8))
    assert_trains_like_the_plain_loop(user, user.split())


class LooksAtLargeBatches(Body):
    def between(self, h: Tensor) -> Any:
        return h * float(h.detach().std()) if len(h) > 10 else h


class DropsOnAConstant(Body):
    """In one pass for all replicas an operation in place cannot write to what they share."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.3, inplace=True)

    def between(self, h: Tensor) -> Any:
        return h + self.drop(torch.ones(8, dtype=h.dtype))


@pytest.mark.parametrize("make", [LooksAtLargeBatches, DropsOnAConstant])
def test_a_round_that_a_fast_way_cannot_train_is_trained_by_the_loop(make: Callable[[], nn.Module]) -> None:
    user = User(make, batches=(12, 12, 12))
    plan = user.plan([0] * K)
    quickest = fused(user)
    assert quickest.execution.method == "vmap"
    with pytest.warns(RuntimeWarning, match="trained device by device, since vmap: failed in a round"):
        got = trained(quickest, user.split().network, plan)
    assert "vmap: failed in a round" in quickest.execution.why[-1]
    loop = trained(fused(user, "loop"), user.split().network, plan)
    assert distance(got, loop) == 0.0
    if make is LooksAtLargeBatches:
        assert distance(got, federated(user)) < TOLERANCE
    with pytest.raises((RuntimeError, TrainingError)):
        trained(fused(user, "vmap"), user.split().network, plan)


def test_what_the_loop_cannot_train_either_is_told() -> None:
    class Fails(Body):
        def between(self, h: Tensor) -> Any:
            if len(h) > 10:
                raise OSError("the disk is full")
            return h

    user = User(Fails, batches=(12, 12, 12))
    executor = FusedExecutor(user.split(), user.data(), user.local())
    told = pytest.warns(RuntimeWarning, match="OSError: the disk is full")
    with told, pytest.raises(OSError, match="the disk is full"):
        trained(executor, user.split().network, user.plan([0] * K))


def pruned() -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    prune.l1_unstructured(network[2], "weight", 0.4)
    return network


def with_old_weight_norm() -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(network[2])
    return network


class KeepsAProduct(Body):
    """Computes a tensor where it is made, and again in each call, before it uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.twice = 2.0 * self.scale

    def between(self, h: Tensor) -> Any:
        self.twice = 2.0 * self.scale
        return h * self.twice


@pytest.mark.parametrize("make", [pruned, with_old_weight_norm, KeepsAProduct])
def test_tensors_computed_from_parameters_stay_computed(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())
    local = LocalTraining(iterations=2, batch_size=4)
    training = SplitFederatedTraining(
        make, user.data(), scheme("iid", K), local, dtype=torch.float64, device="cpu"
    )
    training.reset(0)
    score = training.run_round([0, 1, 1]).score
    network = make().double().eval()
    network.load_state_dict(training.weights())
    with torch.no_grad():
        logits = network(user.data().test_features)
    loss = nn.functional.cross_entropy(logits, user.data().test_labels)
    assert float(loss) == pytest.approx(score.loss, abs=1e-9)
