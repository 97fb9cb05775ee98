"""Frozen, shared, unused and reused parts; buffers of all sorts; what a network keeps from call to call."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.measure import profile
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from sfl_env.learning.network import on
from tests.sfl_env.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    cut_patterns,
    distance,
    federated,
    fused,
    message_passing,
    outcome,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


class Body(nn.Module):
    """Three layers whose activations are functions, as most users write them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))


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


# K10: non-persistent buffers, tied weights, extra state.


class Positions(nn.Module):
    """Adds a table that is not stored, and masks with one that is."""

    def __init__(self, persistent: bool) -> None:
        super().__init__()
        self.project = nn.Linear(8, 8)
        self.register_buffer("table", torch.linspace(0.0, 1.0, 8), persistent=persistent)
        self.register_buffer("mask", torch.full((8, 8), float("-inf")).triu(1), persistent=persistent)
        self.table: Tensor
        self.mask: Tensor

    def forward(self, x: Tensor) -> Any:
        weights = (self.project(x).unsqueeze(-1) * x.unsqueeze(-2) + self.mask).softmax(-1)
        return (weights * (x + self.table).unsqueeze(-2)).sum(-1)


class Masked(nn.Module):
    """The mask is a plain attribute, no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.mask = torch.tensor([0.0, float("-inf")] * 4)
        self.scales = [torch.tensor(0.5), torch.tensor(2.0)]

    def forward(self, x: Tensor) -> Any:
        return (self.inner(x) * self.scales[1] + self.mask).softmax(-1) + self.scales[0] * x


class Tied(nn.Module):
    """Two layers with one weight, the second by its transpose, as autoencoders have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.code, self.last = nn.Linear(6, 8), nn.Linear(8, 4, bias=False), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h = functional.linear(torch.tanh(self.code(h)), self.code.weight.t())
        return self.last(torch.tanh(h))


class OneParameterTwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.b.weight, self.b.bias = self.a.weight, self.a.bias

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.b(torch.tanh(self.a(torch.tanh(self.first(x)))))))


class WithExtraState(nn.Module):
    """A block that stores more than tensors (``get_extra_state``)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.version = nn.Linear(8, 8), 3

    def get_extra_state(self) -> dict[str, int]:
        return {"version": self.version}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.version = state["version"]

    def forward(self, x: Tensor) -> Any:
        return torch.tanh(self.layer(x))


def around(block: Any) -> Any:
    return lambda: nn.Sequential(nn.Linear(6, 8), block(), nn.Tanh(), nn.Linear(8, 3))


class SharedBuffer(nn.Module):
    """Two layers with one running statistic between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.a, self.b = nn.BatchNorm1d(8), nn.BatchNorm1d(8)
        self.b.running_mean = self.a.running_mean

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.b(torch.tanh(self.a(self.first(x))))))


HELD = {
    "persistent table and mask": around(lambda: Positions(True)),
    "table and mask that are not stored": around(lambda: Positions(False)),
    "mask and numbers as plain attributes": around(Masked),
    "transposed weight": Tied,
    "one parameter under two names": OneParameterTwoNames,
    "extra state": around(WithExtraState),
    "one statistic of two layers": SharedBuffer,
    "running mean of all batches": around(lambda: nn.BatchNorm1d(8, momentum=None)),
    "normalisation without statistics": around(lambda: nn.BatchNorm1d(8, track_running_stats=False)),
}


@pytest.mark.parametrize("name", HELD)
def test_whatever_a_network_holds_is_trained_and_averaged(name: str) -> None:
    assert_is_the_users_own(User(HELD[name]))


@pytest.mark.parametrize("name", HELD)
def test_trained_weights_go_back_into_the_users_network(name: str) -> None:
    user = User(HELD[name])
    training = SplitFederatedTraining(
        HELD[name], user.data(), scheme("iid", K), LocalTraining(iterations=1, batch_size=4), device="cpu"
    )
    training.reset(0)
    training.run_round([0] * K)
    network = HELD[name]()
    network.load_state_dict(training.weights())
    network.eval()
    with torch.no_grad():
        logits = network(training.data.test_features)
    loss = float(functional.cross_entropy(logits, training.data.test_labels))
    assert loss == pytest.approx(training.evaluate().loss, abs=1e-5)


class TiedEnds(nn.Module):
    """Embeds and decodes by one weight, the first and the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner, self.decode = nn.Embedding(3, 8), nn.Linear(8, 8), nn.Linear(8, 3, bias=False)
        self.decode.weight = self.embed.weight

    def forward(self, x: Tensor) -> Any:
        return self.decode(torch.tanh(self.inner(self.embed(x.long()).mean(1))))


def test_weights_tied_across_all_cuts_leave_none() -> None:
    with pytest.raises(ProfileError, match="tied"):
        as_chain(TiedEnds(), (5,))


def test_tied_layers_leave_the_cuts_outside_of_them() -> None:
    split = as_chain(OneParameterTwoNames(), (6,))
    assert len({split.block[name] for name in ("a.weight", "a.bias")}) == 1
    assert split.num_cuts == 3
    costs = profile(OneParameterTwoNames(), (6,))
    assert costs.device_parameters.tolist() == [56, 56 + 72, 56 + 72 + 27]


def test_one_tied_weight_is_trained_by_both_of_its_uses() -> None:
    user = User(OneParameterTwoNames)
    split = user.split()
    for cuts in cut_patterns(split.num_cuts):
        got = trained(message_passing(user, "shared"), split.network, user.plan([split.num_cuts - 1] * K))
        assert distance(got, federated(user)) < 1e-9, cuts
    network = on(OneParameterTwoNames(), torch.device("cpu"), torch.float64)
    assert network.b.weight is network.a.weight
