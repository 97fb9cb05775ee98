"""Frozen, unused and reused parts."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from tests.users_networks.bodies import Body, chain
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    fused,
    message_passing,
    outcome,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# K01: what is frozen stays as it is, and costs no gradient of its own.


def frozen(*names: str) -> nn.Module:
    network = chain()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in names)
    return network


class Adapted(nn.Module):
    """A frozen layer with a trained correction of low rank (LoRA)."""

    def __init__(self, width: int, rank: int = 2) -> None:
        super().__init__()
        self.base = nn.Linear(width, width).requires_grad_(False)
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)

    def forward(self, x: Tensor) -> Any:
        return self.base(x) + 0.5 * self.up(self.down(x))


def adapted() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8).requires_grad_(False), Adapted(8), nn.Tanh(), Adapted(8), nn.Linear(8, 3))


def frozen_normalisation() -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    network[1].requires_grad_(False)
    return network


class FrozenByEval(nn.Module):
    """Keeps a normalisation in evaluation mode whatever it is told, as detection networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def train(self, mode: bool = True) -> "FrozenByEval":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.norm(self.first(x))))


FROZEN = {
    "first layer": lambda: frozen("0.weight", "0.bias"),
    "last layer": lambda: frozen("4.weight", "4.bias"),
    "middle layer": lambda: frozen("2.weight", "2.bias"),
    "weights but not biases": lambda: frozen("0.weight", "2.weight", "4.weight"),
    "all biases": lambda: frozen("0.bias", "2.bias", "4.bias"),
    "all but the head": lambda: frozen("0.weight", "0.bias", "2.weight", "2.bias"),
    "low-rank adapters": adapted,
    "normalisation in training mode": frozen_normalisation,
    "normalisation kept in evaluation mode": FrozenByEval,
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parameters_stay_and_the_rest_trains(name: str) -> None:
    user = User(FROZEN[name])
    assert_is_the_users_own(user)
    network = user.network()
    before = {each: p.detach().clone() for each, p in network.named_parameters() if not p.requires_grad}
    after = trained(message_passing(user), network, user.plan([0, 1, 1]))
    assert all(torch.equal(after[each], tensor) for each, tensor in before.items())


def test_a_device_that_trains_nothing_gets_no_gradient_back_and_sends_no_weights() -> None:
    user = User(FROZEN["all but the head"])
    costs = profile(user.network(), (6,))
    assert costs.smashed_gradient_elements.tolist() == [0.0] * costs.num_cuts
    assert costs.device_backward_flops.tolist() == [0.0, 0.0, 2.0 * 8 * 3]
    traffic = outcome(message_passing(user), user.network(), user.plan([0, 0, 1])).traffic
    assert traffic is not None
    assert traffic.downlink_bits.tolist() == [0, 0, 0]
    assert costs.device_parameters.tolist() == [56, 128, 155]
    assert costs.device_frozen_parameters.tolist() == [56, 128, 128]


# K02: one module object, used more than once.


class InItselfTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.block, self.out = (
            nn.Linear(6, 8),
            nn.Sequential(nn.Linear(8, 8), nn.Tanh()),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Any:
        return self.out(self.block(self.block(self.into(x))))


def twice_in_a_sequential() -> nn.Module:
    block, act = nn.Sequential(nn.Linear(8, 8), nn.GELU()), nn.Tanh()
    return nn.Sequential(nn.Linear(6, 8), act, block, block, act, nn.Linear(8, 3))


def normalisation_twice() -> nn.Module:
    norm = nn.BatchNorm1d(8)
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(norm, nn.Tanh(), nn.Linear(8, 8), norm), nn.Linear(8, 3))


def slope_twice() -> nn.Module:
    act = nn.PReLU()
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(act, nn.Linear(8, 8), act), nn.Linear(8, 3))


def same_activation_everywhere() -> nn.Module:
    act = nn.ELU()
    inner = nn.Sequential(nn.Linear(8, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 8), act)
    return nn.Sequential(OrderedDict(first=nn.Linear(6, 8), inner=inner, last=nn.Linear(8, 3)))


def identities() -> nn.Module:
    same = nn.Identity()
    return nn.Sequential(same, nn.Linear(6, 8), same, nn.Sequential(same, nn.Tanh(), same), nn.Linear(8, 3), same)


def pooled_and_padded() -> nn.Module:
    pool, pad = nn.AvgPool2d(2), nn.ZeroPad2d(1)
    body = nn.Sequential(pad, nn.Conv2d(2, 3, 3), nn.Tanh(), pool, pad, nn.Conv2d(3, 3, 3), pool)
    return nn.Sequential(body, nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


REUSED = {
    "a block twice in forward": User(InItselfTwice),
    "a block twice in a sequential": User(twice_in_a_sequential),
    "batch normalisation twice": User(normalisation_twice),
    "a trained activation twice": User(slope_twice),
    "one activation three times": User(same_activation_everywhere),
    "one identity everywhere": User(identities),
    "pooling and padding twice": User(pooled_and_padded, (2, 8, 8)),
}


@pytest.mark.parametrize("name", REUSED)
def test_a_module_that_is_used_again_runs_again(name: str) -> None:
    assert_is_the_users_own(REUSED[name])


# K09: parameters that the loss does not depend on.


class Spare(nn.Module):
    """A head for another task, a token and a layer, none of which the logits need."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.other, self.token = Body(), nn.Linear(6, 5), nn.Parameter(torch.ones(4))
        self.unheard = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        self.other(x)
        return self.body(x)


class Sometimes(nn.Module):
    """Uses one of its branches in training, the other in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh((self.a if self.training else self.b)(torch.tanh(self.first(x)))))


@pytest.mark.parametrize("make", [Spare, Sometimes])
def test_parameters_without_use_stay_as_they_are(make: Any) -> None:
    user = User(make)
    assert_is_the_users_own(user)
    network = user.network()
    unused = [
        name for name in dict(network.named_parameters()) if name.startswith(("other", "token", "unheard", "b."))
    ]
    after = trained(fused(user), network, user.plan([0] * K))
    assert unused
    assert all(torch.equal(after[name], dict(network.named_parameters())[name]) for name in unused)
