"""Which way replicas are trained is told, with the reason; and what was measured is what is trained."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import sfl_env
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from sfl_env.learning.executors.choice import Method
from sfl_env.learning.plan import Execution
from tests.users_networks.bodies import Body, around, chain
from tests.users_networks.plain_loop import TOLERANCE, K, User, distance, federated, fused, trained

pytestmark = pytest.mark.usefixtures("one_thread")


def training(user: User, executor: Any = "fused", batch_size: int | tuple[int, ...] = 4) -> SplitFederatedTraining:
    made = SplitFederatedTraining(
        user.make,
        user.data(),
        scheme("iid", K),
        LocalTraining(1, batch_size),
        executor=executor,
        device="cpu",
        dtype=torch.float64,
    )
    made.reset(0)
    return made


def pictures() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


class Branched(Body):
    def between(self, h: Tensor) -> Any:
        return h + torch.tanh(self.middle(h))


def _all(gradients: Any) -> Any:
    return gradients


def hooked() -> nn.Module:
    network = chain()
    network[2].register_full_backward_hook(
        lambda module, inputs, outputs: tuple(0.5 * each for each in _all(inputs))
    )
    return network


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.lstm, self.out = nn.Linear(6, 6), nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.lstm(self.into(x).unsqueeze(1))[0][:, -1])


class DropsByFunction(Body):
    def between(self, h: Tensor) -> Any:
        return nn.functional.dropout(h, 0.2, self.training)


class AddsNoise(Body):
    def between(self, h: Tensor) -> Any:
        return h + 0.01 * torch.randn_like(h)


class Counts(Body):
    calls = 0

    def between(self, h: Tensor) -> Any:
        self.calls += 1
        return h / self.calls


class Branches(Body):
    def between(self, h: Tensor) -> Any:
        return h if bool(h.sum() > 0.0) else 2.0 * h


FAST: dict[str, tuple[User, Method]] = {
    "a plain convolutional chain": (User(pictures, (2, 8, 8)), "grouped"),
    "a plain chain": (User(chain), "grouped"),
    "a shortcut": (User(Branched), "vmap"),
}

SLOW: dict[str, tuple[Any, str]] = {
    "hooks": (hooked, ""),
    "recurrent": (Recurrent, ""),
    "dropout by function": (DropsByFunction, "draws random numbers"),
    "noise": (AddsNoise, "draws random numbers"),
    "a counter": (Counts, "state of its own"),
    "a branch that numbers choose": (Branches, ""),
}


@pytest.mark.parametrize("name", FAST)
def test_small_networks_train_all_at_once(name: str) -> None:
    user, method = FAST[name]
    made = training(user)
    assert made.executor == Execution("fused", method, ())
    assert distance(trained(fused(user), user.network(), user.plan([0] * K)), federated(user)) < TOLERANCE


@pytest.mark.parametrize("name", SLOW)
def test_the_loop_is_taken_with_the_reason_where_fast_ways_are_not(name: str) -> None:
    make, reason = SLOW[name]
    name_, method, why = training(User(make)).executor
    assert (name_, method) == ("fused", "loop")
    assert why
    assert all(reason in each for each in why), why


def test_the_executor_that_splits_says_so() -> None:
    assert training(User(chain), "message-passing").executor == Execution("message-passing", "split", ())


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("make", [pictures, Branched, Recurrent, Counts])
def test_the_profile_of_a_training_is_that_of_the_network(make: Any, executor: str) -> None:
    shape = (2, 8, 8) if make is pictures else (6,)
    assert training(User(make, shape), executor).profile == sfl_env.profile(make(), shape)


# Trained weights under the users' names.


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return 0.5 * x


def parametrised() -> nn.Module:
    network = chain()
    parametrizations.weight_norm(network[0])
    parametrizations.spectral_norm(network[2])
    parametrize.register_parametrization(network[4], "bias", Halved())
    return network


def frozen() -> nn.Module:
    network = chain()
    network[0].requires_grad_(False)
    return network


class Aliases(nn.Module):
    """One layer under three names, and a list that holds it again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.encoder = nn.Linear(8, 8)
        self.decoder = self.encoder
        self.all = nn.ModuleList([self.encoder, self.decoder])

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.all[1](torch.tanh(self.encoder(torch.tanh(self.first(x)))))))


class Remembers(nn.Module):
    """A buffer that is not stored, one that is None, one that is, and more that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.BatchNorm1d(8)
        self.register_buffer("hidden", torch.ones(8), persistent=False)
        self.register_buffer("nothing", None)
        self.register_parameter("no_parameter", None)
        self.hidden: Tensor
        self.settings = {"depth": 3}

    def get_extra_state(self) -> dict[str, Any]:
        return {"settings": self.settings, "table": torch.arange(3)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.settings = state["settings"]

    def forward(self, x: Tensor) -> Any:
        return self.layer(x) * self.hidden


NAMED: dict[str, Any] = {
    "parametrised": parametrised,
    "aliases": Aliases,
    "state of all kinds": around(Remembers),
    "parallel": lambda: nn.DataParallel(chain()),
    "frozen": frozen,
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_trained_weights_fit_the_users_network_to_the_letter(name: str, executor: str) -> None:
    made = training(User(NAMED[name]), executor)
    before = made.weights()
    made.run_round([0] * K)
    network = NAMED[name]().double()
    assert list(made.weights()) == list(network.state_dict())
    network.load_state_dict(made.weights(), strict=True)
    network.eval()
    with torch.no_grad():
        logits = network(made.data.test_features)
    loss = float(nn.functional.cross_entropy(logits, made.data.test_labels))
    assert loss == pytest.approx(made.evaluate().loss, rel=1e-12)
    assert any(
        not torch.equal(made.weights()[each], tensor) for each, tensor in before.items() if "weight" in each
    )


@pytest.mark.parametrize("name", NAMED)
def test_a_stored_training_goes_on_as_if_it_had_not_stopped(name: str) -> None:
    through, first = training(User(NAMED[name])), training(User(NAMED[name]))
    for each in (through, first):
        each.run_round([0] * K)
    again = training(User(NAMED[name]))
    again.load_state_dict(first.state_dict())
    results = [each.run_round([0] * K) for each in (through, again)]
    assert results[0].score == results[1].score
    for key, tensor in through.weights().items():
        assert not isinstance(tensor, Tensor) or torch.equal(tensor, again.weights()[key])


# What a network keeps from call to call is each device's own, for one round.


class Schedules(nn.Module):
    """Grows its noise-free scale with each call, in a number, a list and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.seen, self.table = 0, list[float](), {"scale": 1.0}

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        self.seen.append(float(self.calls))
        self.table["scale"] *= 0.9
        return x * self.table["scale"] / len(self.seen)


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_evaluations_between_rounds_leave_no_trace(executor: str) -> None:
    user = User(around(Schedules))
    often, never = training(user, executor), training(user, executor)
    for _ in range(2):
        assert often.evaluate() == often.evaluate()
        for each in (often, never):
            each.run_round([0, 1, 0])
    assert often.evaluate() == never.evaluate()
    for name, tensor in often.weights().items():
        assert torch.equal(tensor, never.weights()[name]), name


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_each_device_starts_each_round_from_the_network_as_made(executor: str) -> None:
    """So that a round does not depend on those before it, but for the weights."""
    user = User(around(Schedules))
    later = training(user, executor)
    later.run_round([0] * K)
    stored = later.state_dict()
    afresh = training(user, executor)
    afresh.load_state_dict(stored)
    for each in (later, afresh):
        each.run_round([0] * K)
    for name, tensor in later.weights().items():
        assert torch.equal(tensor, afresh.weights()[name]), name
