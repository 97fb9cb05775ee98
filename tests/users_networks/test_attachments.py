"""What is attached to a network beside its layers goes with it: hooks, attributes of parameters, closures."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.measure import profile
from sfl_env.errors import TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.users_networks.bodies import Body, chain
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_trains_like_the_plain_loop,
    fused,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def with_masked_gradient() -> Any:
    network: Any = chain()
    network[0].weight.register_hook(lambda gradient: gradient * 0.0)
    return network


def with_clipped_gradient() -> Any:
    network: Any = chain()
    network[2].weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return network


def clipped_where_it_is_gathered() -> Any:
    def clip(parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad.clamp_(-0.01, 0.01)

    network: Any = chain()
    network[2].weight.register_post_accumulate_grad_hook(clip)
    return network


class ScaledByAnAttribute(Body):
    def __init__(self) -> None:
        super().__init__()
        self.middle.weight.scale = 2.0  # type: ignore[attr-defined]  # whatever a user hangs on it

    def between(self, h: Tensor) -> Any:
        return h * getattr(self.middle.weight, "scale", 1.0)


class HookWithSelf(Body):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.first.register_forward_hook(lambda module, inputs, output: output * self.scale)


class FunctionOfASubmodule(Body):
    function: Any

    def __init__(self) -> None:
        super().__init__()
        middle: Any = self.middle
        self.function = lambda h: middle(h)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.function(torch.tanh(self.first(x)))))


class FunctionWithinAFunction(FunctionOfASubmodule):
    def __init__(self) -> None:
        super().__init__()
        middle: Any = self.middle

        def inner(h: Tensor) -> Any:
            return middle(h)

        self.function = lambda h: inner(h)


class PartialOfAWeight(FunctionOfASubmodule):
    def __init__(self) -> None:
        super().__init__()
        self.function = partial(functional.linear, weight=self.middle.weight, bias=self.middle.bias)


class WeightInAList(Body):
    def __init__(self) -> None:
        super().__init__()
        self.weights = [self.middle.weight]

    def forward(self, x: Tensor) -> Any:
        return self.last(
            torch.tanh(functional.linear(torch.tanh(self.first(x)), self.weights[0], self.middle.bias))
        )


def one_layer_twice() -> nn.Module:
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 3))


def dropout_whose_result_nobody_takes() -> nn.Module:
    class Drops(Body):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(1.0, inplace=True)

        def between(self, h: Tensor) -> Any:
            half = h[:, :4].clone()
            self.drop(half)
            return torch.cat([half, h[:, 4:]], dim=1)

    return Drops()


@pytest.mark.parametrize(
    "make",
    [
        with_masked_gradient,
        with_clipped_gradient,
        clipped_where_it_is_gathered,
        ScaledByAnAttribute,
        HookWithSelf,
        FunctionOfASubmodule,
        FunctionWithinAFunction,
        PartialOfAWeight,
        WeightInAList,
        one_layer_twice,
        dropout_whose_result_nobody_takes,
    ],
)
def test_what_is_attached_is_heeded(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


@pytest.mark.parametrize("make", [one_layer_twice, WeightInAList, PartialOfAWeight])
def test_an_evaluation_is_of_the_trained_weights(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    local = LocalTraining(iterations=2, batch_size=4)
    training = SplitFederatedTraining(
        make, user.data(), scheme("iid", K), local, dtype=torch.float64, device="cpu"
    )
    for seed in range(2):
        training.reset(seed)
        for _ in range(2):
            score = training.run_round([0] * K).score
        network = make().double().eval()
        network.load_state_dict(training.weights())
        with torch.no_grad():
            logits = network(user.data().test_features)
        assert float(functional.cross_entropy(logits, user.data().test_labels)) == pytest.approx(
            score.loss, abs=1e-9
        )


def test_hooks_that_act_seldom_keep_a_network_from_being_grouped() -> None:
    def clamped() -> nn.Module:
        network = chain()
        network[2].register_forward_hook(lambda module, inputs, output: output.clamp(-60.0, 60.0))
        return network

    verdict = fused(User(clamped)).execution
    assert verdict.method != "grouped"
    assert "grouped: there are hooks on the network" in verdict.why
    assert fused(User(chain)).execution.method == "grouped"


def test_profiling_leaves_alone_what_closures_refer_to() -> None:
    class Collects(Body):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []
            self.middle.register_forward_hook(lambda module, inputs, output: self.seen.append(output))

    network = Collects()
    assert profile(network, (6,)).num_cuts == 3
    assert not network.seen
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_copy_refers_to_itself() -> None:
    network: Any = FunctionOfASubmodule()
    twin: Any = own_copy(network)
    with torch.no_grad():
        twin.middle.weight.zero_()
        twin.middle.bias.zero_()
    assert not twin.function(torch.ones(1, 8)).any()
    assert network.function(torch.ones(1, 8)).any()


class Counts:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class Tires(Body):
    """Its outputs shrink with each call, which it counts in a way of its own."""

    def __init__(self, counter: Any, count: Callable[[Any], int]) -> None:
        super().__init__()
        self.counter, self.count = counter, count

    def between(self, h: Tensor) -> Any:
        return h / (1 + self.count(self.counter))


def slots(counter: Counts) -> int:
    counter.calls += 1
    return counter.calls


def listed(counter: bytearray) -> int:
    counter[0] += 1
    return counter[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tires(itertools.count(), next),
        lambda: Tires(Counts(), slots),
        lambda: Tires(bytearray(1), listed),
    ],
    ids=["itertools", "slots", "bytes"],
)
def test_a_counter_of_any_kind_starts_afresh_on_each_device(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


def views_of_one_buffer() -> Any:
    network: Any = Body()
    network.register_buffer("table", torch.zeros(2, 8))
    network.register_buffer("row", network.table[0])
    return network


def two_parameters_of_one_memory() -> nn.Module:
    network = Body()
    network.other = nn.Linear(8, 8)
    network.other.weight = nn.Parameter(network.middle.weight.data)
    return network


def transposed_beforehand() -> nn.Module:
    network = Body()
    network.turned = network.middle.weight.t()
    return network


@pytest.mark.parametrize("make", [views_of_one_buffer, two_parameters_of_one_memory, transposed_beforehand])
def test_tensors_that_share_memory_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(TrainingError, match="views of the same memory"):
        SplitFederatedTraining(make, User(Body).data(), scheme("iid", K), device="cpu")


def test_layers_in_a_plain_list_are_those_of_the_episode() -> None:
    class Hidden(Body):
        def __init__(self) -> None:
            super().__init__()
            self.listed = [nn.Linear(8, 8)]

        def between(self, h: Tensor) -> Any:
            return torch.tanh(self.listed[0](h))

    local = LocalTraining(iterations=2, batch_size=4)
    with pytest.warns(UserWarning, match=r"'listed\[0\].weight' of the Hidden .* is no parameter.*nn.ModuleList"):
        training = SplitFederatedTraining(Hidden, User(Body).data(), scheme("iid", K), local, device="cpu")
    training.reset(0)
    first = training.evaluate()
    training.reset(1)
    assert training.evaluate() != first
    names = [name for name in training.state_dict()["weights"] if name.startswith("listed[0]")]
    assert names == ["listed[0].weight", "listed[0].bias"]
