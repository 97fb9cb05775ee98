"""Networks and data that do not fit are told in words that say which of them to change, and how."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import Tensor, nn

import sfl_env
from sfl_env.errors import MisfitError, ProfileError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, TensorData, scheme

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = torch.arange(32) % 3
SMALL: dict[str, Any] = {"mode": "accuracy", "num_devices": 2, "batch_size": 4, "torch_device": "cpu"}


def pictures(channels: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
        nn.ReLU(),
        nn.Linear(3, 3),
    )


def numbers() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


class OfTokens(nn.Module):
    """Takes six tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.inner, self.head = nn.Embedding(20, 4), nn.Linear(24, 8), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Any:
        return self.head(self.inner(self.embedding(tokens).flatten(1)).relu())


def of(features: Tensor, name: str = "mine") -> TensorData:
    return TensorData(name, features, LABELS, features, LABELS, 3)


def train(make: Callable[[], nn.Module], features: Tensor) -> SplitFederatedTraining:
    return SplitFederatedTraining(make, of(features), scheme("iid", 2), LocalTraining(1, 4), device="cpu")


@pytest.mark.parametrize(
    ("network", "shape", "words"),
    [(pictures(), (3, 6, 6), "to have 1 channels"), (numbers(), (7,), "cannot be multiplied")],
)
def test_a_wrong_shape_is_told_as_a_shape_alone(network: nn.Module, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ProfileError, match=words) as told:
        sfl_env.profile(network, shape)
    assert "tried with batches of 2 to 40 (" in str(told.value)
    assert "input_dtype" not in str(told.value)


@pytest.mark.parametrize("shape", [(7,), (6, 2)])
def test_a_network_of_tokens_is_told_of_the_shape_and_not_that_it_takes_no_real_numbers(
    shape: tuple[int, ...],
) -> None:
    with pytest.raises(ProfileError, match=r"torch.int64 input .* cannot be multiplied") as told:
        sfl_env.profile(OfTokens(), shape)
    assert "indices" not in str(told.value)


class Particular(nn.Module):
    """Takes one type of numbers alone."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.chain = dtype, numbers()

    def forward(self, x: Tensor) -> Any:
        if x.dtype != self.dtype:
            raise TypeError(f"expected dtype {self.dtype}")
        return self.chain(x.float())


@pytest.mark.parametrize("dtype", [torch.int32, torch.float64])
def test_a_wrong_type_is_told_with_the_argument_that_names_another(dtype: torch.dtype) -> None:
    with pytest.raises(ProfileError, match="name it as input_dtype"):
        sfl_env.profile(Particular(dtype), (6,))
    assert sfl_env.profile(Particular(dtype), (6,), input_dtype=dtype).num_cuts == 2
    with pytest.raises(ProfileError, match=r"does not take a torch\.int16 input") as told:
        sfl_env.profile(Particular(dtype), (6,), input_dtype=torch.int16)
    assert "name it" not in str(told.value)


@pytest.mark.parametrize(
    "make", [pictures, lambda: nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Linear(8, 3))]
)
def test_whole_numbers_for_a_network_of_real_ones_are_told_to_be_given_as_such(
    make: Callable[[], nn.Module],
) -> None:
    whole = torch.randint(0, 256, (32, 1, 6, 6))
    with pytest.raises(MisfitError, match=r"Whole numbers are taken as tokens; give pictures .* or uint8"):
        train(make, whole)
    assert train(make, whole.to(torch.uint8)).num_cuts >= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_tokens_that_are_given_as_real_numbers_are_told_to_be_given_as_int64(dtype: torch.dtype) -> None:
    tokens = torch.randint(0, 20, (32, 6))
    with pytest.raises(MisfitError, match="give tokens as int64"):
        train(OfTokens, tokens.to(dtype))
    assert train(OfTokens, tokens).num_cuts == 2


def test_a_wrong_shape_of_data_says_nothing_of_types() -> None:
    with pytest.raises(MisfitError, match="cannot be multiplied") as told:
        train(numbers, torch.rand(32, 7))
    assert "tokens" not in str(told.value)


def test_too_few_outputs_are_told_of_the_last_layer() -> None:
    five = TensorData("five", torch.rand(10, 6), torch.arange(10) % 5, torch.rand(5, 6), torch.arange(5), 5)
    with pytest.raises(MisfitError, match=r"'five' has 5 classes.* The last layer has to have 5 outputs\."):
        SplitFederatedTraining(numbers, five, scheme("iid", 2), LocalTraining(1, 4), device="cpu")


@pytest.mark.parametrize("features", [torch.rand(32, 3, 32, 32), torch.rand(32, 6)])
def test_a_network_that_was_not_given_is_named_with_what_it_is_made_for(features: Tensor) -> None:
    with pytest.raises(MisfitError, match=r"No network= was given, .* 'digits-cnn' .* shape \(1, 8, 8\)"):
        gym.make("SFL-v0", data=of(features), **SMALL)


@pytest.mark.parametrize(
    "network", [numbers, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 3))]
)
def test_data_that_were_not_given_are_named(network: Callable[[], nn.Module]) -> None:
    with pytest.raises(MisfitError, match="No data= was given, so the scenario's 'digits' was taken"):
        gym.make("SFL-v0", network=network, **SMALL)


def test_where_both_are_given_nothing_is_said_to_be_missing() -> None:
    with pytest.raises(MisfitError) as told:
        gym.make("SFL-v0", network=numbers, data=of(torch.rand(32, 7)), **SMALL)
    assert "was given" not in str(told.value)


def test_a_data_set_without_a_name_is_told_the_order() -> None:
    features = torch.rand(32, 6)
    with pytest.raises(sfl_env.SFLError, match=r"TensorData\(name, train_features, .* num_classes\)"):
        TensorData(features, LABELS, features, LABELS, 3, "mine")  # type: ignore[arg-type]


def test_of_the_ways_out_that_are_told_for_tied_weights_freezing_is_one() -> None:
    tied = nn.Linear(6, 6)
    network = nn.Sequential(tied, nn.Linear(6, 6), tied)
    with pytest.raises(ProfileError, match=r"shared \(tied\) .* tie them within one block, or freeze them"):
        sfl_env.profile(network, (6,))
    tied.requires_grad_(False)
    assert sfl_env.profile(network, (6,)).num_cuts > 1
