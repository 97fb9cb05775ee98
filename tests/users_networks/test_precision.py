"""Training in numbers of other types: low precision, complex parameters, and what is no number."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.errors import DataError, ProfileError, TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, TensorData, scheme
from tests.users_networks.bodies import Body, around, between, chain
from tests.users_networks.plain_loop import K, User, assert_is_the_users_own, distance

pytestmark = pytest.mark.usefixtures("one_thread")


def training(make: Any, executor: Any = "fused", dtype: torch.dtype = torch.float32) -> SplitFederatedTraining:
    made = SplitFederatedTraining(
        make,
        User(make).data(),
        scheme("iid", K),
        LocalTraining(2, 4),
        executor=executor,
        device="cpu",
        dtype=dtype,
    )
    made.reset(0)
    return made


# Low precision.


class Residual(Body):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)

    def between(self, h: Tensor) -> Any:
        return h + self.norm(h)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("make", "executor"),
    [
        (chain, "fused"),
        (Residual, "fused"),
        (Residual, "message-passing"),
        (lambda: between(nn.BatchNorm1d(8)), "message-passing"),
    ],
)
def test_low_precision_trains_like_high_but_for_its_rounding(make: Any, dtype: torch.dtype, executor: str) -> None:
    low, high = training(make, executor, dtype), training(make, executor, torch.float64)
    for each in (low, high):
        each.run_round([0, 1, 0])
    assert {t.dtype for t in low.weights().values() if t.is_floating_point()} == {dtype}
    gap = distance({name: tensor.double() for name, tensor in low.weights().items()}, high.weights())
    assert 0.0 < gap < 16 * torch.finfo(dtype).eps
    assert low.profile == high.profile


def test_a_fast_way_is_found_in_low_precision_too() -> None:
    assert training(chain, dtype=torch.bfloat16).executor.method == training(chain).executor.method != "loop"


# Complex parameters.


class Spectral(nn.Module):
    """Mixes features by a trained complex matrix, in doubles as whoever trains in doubles makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(8, 8, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Any:
        return (torch.complex(x, 0.5 * x) @ self.mix).abs()


class Filter(nn.Module):
    """Filters a signal by a trained frequency response, as Fourier operators do."""

    def __init__(self) -> None:
        super().__init__()
        self.response = nn.Parameter(torch.randn(5, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Any:
        return torch.fft.irfft(torch.fft.rfft(x) * self.response, n=8)


def test_complex_parameters_train() -> None:
    assert_is_the_users_own(User(around(Spectral)), by_hand=False)


def test_a_complex_number_takes_the_bits_of_two() -> None:
    real = sum(parameter.numel() for parameter in around(nn.Identity)().parameters())
    assert profile(around(Spectral)().double(), (6,)).device_parameters[-1] == real + 2 * 64


def test_a_trained_response_to_frequencies_trains() -> None:
    assert_is_the_users_own(User(around(Filter)), by_hand=False)


# What is no number.


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["training", "test"])
def test_features_that_are_no_numbers_are_refused_with_their_sample(value: float, part: str) -> None:
    mine = {"training": torch.zeros(9, 6), "test": torch.zeros(4, 6)}
    mine[part][2, 3] = value
    labels = [torch.zeros(len(rows), dtype=torch.int64) for rows in mine.values()]
    with pytest.raises(DataError, match=rf"{value} in sample 2"):
        TensorData("mine", mine["training"], labels[0], mine["test"], labels[1], 3)


class Blows(nn.Module):
    """Divides by zero with fresh weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Any:
        return x / (self.scale - self.scale)


def test_a_network_that_makes_no_numbers_is_told_by_the_probe_and_by_the_round() -> None:
    blown = training(lambda: between(Blows()))
    assert blown.executor.method == "loop"
    assert blown.executor.why
    assert all("not a finite number" in each for each in blown.executor.why)
    before = blown.weights()
    with pytest.raises(TrainingError, match=r"device 0 became nan in round 1, iteration 1 of 2"):
        blown.run_round([0] * K)
    assert blown.round == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in blown.weights().items())


class Gap(nn.Module):
    """Keeps the last activation's logarithm in a buffer, which nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))
        self.seen: Tensor

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.seen = x.detach().mean(0).abs().neg().log()
        return x


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_a_buffer_that_forward_spoils_is_not_blamed_on_the_learning_rate(executor: str) -> None:
    with pytest.raises(TrainingError, match=r"'2\.seen' of device 0 .* forward wrote them") as told:
        training(lambda: between(Gap()), executor).run_round([0, 1, 0])
    assert not re.search("learning rate", str(told.value))


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_weights_that_overflow_are_blamed_on_the_learning_rate(executor: Any) -> None:
    wild = SplitFederatedTraining(
        chain,
        User(chain).data(),
        scheme("iid", K),
        LocalTraining(3, 4, learning_rate=1e38),
        executor=executor,
        device="cpu",
    )
    wild.reset(0)
    with pytest.raises(TrainingError, match=r"round 1.* Lower the learning rate"):
        wild.run_round([0] * K)


# Inputs of another type than the weights.


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bilinear, self.last = nn.Bilinear(6, 6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.bilinear(x, x))


def normalised() -> nn.Module:
    return nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 8), nn.Linear(8, 3))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("make", [chain, normalised, Bilinear])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.float16])
def test_numbers_of_another_type_than_the_weights_are_refused(
    dtype: torch.dtype, make: Callable[[], nn.Module], device: str
) -> None:
    with torch.device(device):
        network = make()
    with pytest.raises(ProfileError, match=rf"does not take a {dtype} input"):
        profile(network, (6,), input_dtype=dtype)
