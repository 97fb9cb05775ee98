"""Buffers of all sorts, tied weights, and what a network holds besides tensors."""

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
from tests.users_networks.bodies import Body, around
from tests.users_networks.plain_loop import (
    TOLERANCE,
    K,
    User,
    assert_is_the_users_own,
    assert_trains_like_the_plain_loop,
    distance,
    federated,
    message_passing,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


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
    got = trained(message_passing(user, "parallel-sl"), split.network, user.plan([split.num_cuts - 1] * K))
    assert distance(got, federated(user)) < TOLERANCE
    network: Any = on(OneParameterTwoNames(), torch.device("cpu"), torch.float64)
    assert network.b.weight is network.a.weight


class SetsItselfFirst(Body):
    """Scales by what its first batch tells, as a flag among its buffers says."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("is_set", torch.zeros((), dtype=torch.uint8))
        self.is_set: Tensor
        self.shift = nn.Parameter(torch.zeros(8))

    def between(self, h: Tensor) -> Any:
        if self.is_set.item() == 0:
            with torch.no_grad():
                self.shift.copy_(-h.mean(0))
                self.is_set.fill_(1)
        return h + self.shift


class AveragesItsWeights(Body):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.mean = torch.optim.swa_utils.AveragedModel(
            self.inner, avg_fn=lambda old, new, _: 0.9 * old + 0.1 * new
        )

    def between(self, h: Tensor) -> Any:
        if self.training:
            self.mean.update_parameters(self.inner)
        return self.inner(h)


@pytest.mark.parametrize("make", [SetsItselfFirst, AveragesItsWeights])
def test_cuts_are_those_of_first_and_of_later_calls(make: Any) -> None:
    user = User(make)
    assert user.split().num_cuts >= 3
    assert_trains_like_the_plain_loop(user, user.split())


def test_what_a_first_call_writes_changes_in_training() -> None:
    assert "is_set" in as_chain(SetsItselfFirst(), (6,)).changed
