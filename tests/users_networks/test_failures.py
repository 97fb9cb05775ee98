"""Failures of a user's network are told as what they are, where they are."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError, SFLError, TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.users_networks.bodies import between
from tests.users_networks.plain_loop import K, User

pytestmark = pytest.mark.usefixtures("one_thread")


ENDS = 2 * 6 * 8 + 2 * 8 * 3
"""FLOPs of a first layer of 6 to 8 and a last one of 8 to 3."""


class Fails(nn.Module):
    """Fails from a certain call on, or in evaluation."""

    def __init__(self, when: Callable[["Fails", Tensor], bool]) -> None:
        super().__init__()
        self.inner, self.when, self.calls = nn.Linear(8, 8), when, 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        if self.when(self, x):
            raise KeyError("my own words")
        return self.inner(x)


def made(when: Any) -> Any:
    return lambda: between(Fails(when))


def train(make: Any, executor: Any = "fused", batch_size: int = 4) -> None:
    training = SplitFederatedTraining(
        make, User(between).data(), scheme("iid", K), LocalTraining(1, batch_size), executor=executor, device="cpu"
    )
    training.reset(0)
    training.run_round([0] * K)


def test_a_network_that_fails_is_quoted_by_the_profile() -> None:
    with pytest.raises(ProfileError, match="my own words") as told:
        profile(made(lambda module, x: True)(), (6,))
    assert "(batch, 6)" in str(told.value)


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_a_network_that_fails_in_a_round_is_quoted_with_module_and_samples(executor: str) -> None:
    with pytest.raises(TrainingError, match=r"in round 1, in module '2' on 4 sample\(s\).*my own words"):
        train(made(lambda module, x: module.training and len(x) == 4), executor)


def test_a_network_that_fails_in_evaluation_is_quoted() -> None:
    with pytest.raises(TrainingError, match=r"evaluation after round 1, in module '2'.*my own words"):
        train(made(lambda module, x: not module.training and len(x) == 8))


def test_a_network_that_cannot_be_made_is_quoted() -> None:
    def broken() -> nn.Module:
        raise OSError("no weights here")

    with pytest.raises(TrainingError, match="no weights here"):
        train(broken)


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_a_batch_of_one_in_batch_normalisation_is_told(executor: str) -> None:
    with pytest.raises(TrainingError, match="in module '2' on 1 sample"):
        train(lambda: between(nn.BatchNorm1d(8)), executor, batch_size=1)


@pytest.mark.parametrize("samples", [2, 3])
def test_a_network_that_needs_more_samples_than_it_is_tried_with_is_taken(samples: int) -> None:
    class Needs(nn.Module):
        def forward(self, x: Tensor) -> Any:
            if self.training and len(x) <= samples:
                raise ValueError(f"more than {samples} samples, please")
            return x

    assert profile(between(Needs()), (6,)).device_forward_flops[-1] == ENDS


def test_lazy_layers_are_told_to_be_run_first() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.LazyLinear(8), nn.Linear(8, 3))
    with pytest.raises(ProfileError, match="run the network on one batch first"):
        profile(network, (6,))
    network(torch.zeros(2, 6))
    assert profile(network, (6,)).num_cuts == 3


def test_a_network_without_a_legal_cut_says_what_crosses() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Any:
            return self.b(torch.tanh(self.a(x))) + self.c(x)

    with pytest.raises(ProfileError, match=r"2 cross: .*the input"):
        as_chain(Dense(), (6,))


@pytest.mark.parametrize("output", [lambda h: (h, h), lambda h: [h], lambda h: {"out": h}, lambda h: None])
def test_an_output_without_logits_is_told(output: Any) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = between()

        def forward(self, x: Tensor) -> Any:
            return output(self.body(x))

    with pytest.raises(ProfileError, match="logits"):
        profile(Odd(), (6,))


def test_a_network_that_computes_what_is_no_number_is_told() -> None:
    class Blows(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x / (x - x)

    with pytest.raises(SFLError, match=r"nan|inf|finite"):
        train(lambda: between(Blows()))


def test_a_network_is_copied_and_pickled_with_its_training() -> None:
    training = SplitFederatedTraining(
        between, User(between).data(), scheme("iid", K), LocalTraining(1, 4), device="cpu"
    )
    training.reset(0)
    for other in (copy.deepcopy(training), pickle.loads(pickle.dumps(training))):
        other.run_round([0] * K)
        assert other.round == 1
    assert training.round == 0
