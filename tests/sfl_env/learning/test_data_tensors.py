"""What the tensors of a data set may hold: features of any real type, labels in all the usual forms."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sfl_env.errors import DataError
from sfl_env.learning.data import TensorData, from_datasets

CPU = torch.device("cpu")
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOKENS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]


def toy(features: Any = None, labels: Any = None, num_classes: int = 2) -> TensorData:
    x = torch.zeros(4, 2) if features is None else features
    y = torch.tensor([0, 1, 0, 1]) if labels is None else labels
    return TensorData("toy", x, y, x, y, num_classes)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floating_point_features_are_cast_when_they_are_moved(dtype: torch.dtype) -> None:
    data = toy(torch.ones(4, 2, dtype=dtype))
    assert data.train_features.dtype == dtype
    assert data.to(CPU, torch.float64).train_features.dtype == torch.float64


@pytest.mark.parametrize("dtype", TOKENS)
def test_token_numbers_stay_whole_numbers(dtype: torch.dtype) -> None:
    tokens = torch.tensor([[7, 1], [0, 3], [100, 5], [2, 2]])
    moved = toy(tokens.to(dtype)).to(CPU, torch.float16)
    assert moved.train_features.dtype == moved.test_features.dtype == torch.int64
    assert torch.equal(moved.train_features, tokens)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool])
def test_pictures_and_masks_become_floating_point(dtype: torch.dtype) -> None:
    values = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0]])
    data = toy(values.to(dtype))
    assert data.train_features.dtype == torch.float32
    assert torch.equal(data.train_features, values.float())


def test_what_is_given_is_neither_changed_nor_part_of_any_gradient() -> None:
    features, labels = torch.ones(4, 2, requires_grad=True), torch.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    data = toy(features, labels)
    assert not data.train_features.requires_grad
    (data.train_features * torch.ones(2, requires_grad=True)).sum().backward()
    assert features.grad is None
    assert labels.dtype == torch.float32
    with torch.inference_mode():
        inference = torch.ones(4, 2)
    (toy(inference).train_features * torch.ones(2, requires_grad=True)).sum().backward()


def forms_of(classes: list[int], num_classes: int) -> dict[str, Tensor]:
    """The same classes in all forms that labels have."""
    plain = torch.tensor(classes)
    forms = {str(dtype): plain.to(dtype) for dtype in [*FLOATS, *TOKENS, torch.uint8]}
    forms["column"] = plain[:, None]
    forms["column of fractions that are none"] = plain[:, None].double()
    if num_classes > 1:
        one_hot = torch.nn.functional.one_hot(plain, num_classes)
        forms |= {f"one-hot, {dtype}": one_hot.to(dtype) for dtype in [torch.int64, torch.bool, torch.float32]}
    if num_classes <= 2:
        forms["bool"] = plain.bool()
    return forms


@given(st.data())
def test_labels_of_every_form_are_the_classes_that_they_name(draws: st.DataObject) -> None:
    num_classes = draws.draw(st.integers(1, 100))
    classes = draws.draw(st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=9))
    x = torch.zeros(len(classes), 1)
    for form, labels in forms_of(classes, num_classes).items():
        data = TensorData("toy", x, labels, x, labels, num_classes)
        assert data.train_labels.dtype == torch.int64, form
        assert data.train_labels.tolist() == classes, form
        rows = list(zip(x, labels, strict=True))
        again = from_datasets(rows, rows, num_classes=num_classes)
        assert again.train_labels.tolist() == classes, form


@given(st.sampled_from(FLOATS), st.integers(0, 3), st.integers(0, 1), st.sampled_from(["nan", "inf", "-inf"]))
def test_the_first_sample_that_is_not_finite_is_named(
    dtype: torch.dtype, sample: int, place: int, value: str
) -> None:
    features = torch.zeros(4, 2, dtype=dtype)
    features[sample:, place] = float(value)
    with pytest.raises(
        DataError, match=f"train_features of 'toy' hold {value} in sample {sample}; .*leave it out"
    ):
        toy(features)


def test_features_too_large_for_the_type_that_trains_are_refused() -> None:
    data = toy(torch.full((4, 2), 1e30))
    with pytest.raises(
        DataError, match=r"hold inf in sample 0; .* finite as torch.float16, whose largest is 6.6e\+04"
    ):
        data.to(CPU, torch.float16)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 2)), "of type ndarray; they have to be a tensor.*torch.as_tensor makes one"),
        (None, "features of 'toy' are None, of type NoneType"),
        (torch.zeros(4, 2, dtype=torch.complex64), "are complex .*view_as_real"),
        (torch.zeros(4, 2).to_sparse(), "sparse.*to_dense"),
        (torch.zeros(4, 2, device="meta"), "meta tensor"),
        (torch.tensor(1.0), "are a single number; .* one sample a row"),
        (torch.tensor([[2**63]], dtype=torch.uint64), r"2\^63 and more"),
    ],
)
def test_features_that_no_network_takes_are_refused(features: Any, message: str) -> None:
    labels = torch.tensor([0])
    with pytest.raises(DataError, match=message):
        TensorData("toy", features, labels, torch.zeros(1, 2), labels, 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 0, 1], r"labels of 'toy' are \[0, 1, 0, 1\], of type list; they have to be a tensor"),
        (torch.tensor([0.0, 1.0, 0.5, 0.1]), "hold 0.5 in sample 2; a label has to be the number of a class"),
        (torch.tensor([0.0, np.nan, 0.0, 1.0]), "hold nan in sample 1; a label"),
        (torch.tensor([0.0, 1.0, 1e300, 1.0], dtype=torch.float64), "they have to be from 0 to 1"),
        (torch.tensor([[0.3, 0.7]] * 4), r"hold \[0.3, 0.7\] in sample 0; a one-hot row .*argmax\(dim=1\)"),
        (
            torch.tensor([[0, 1], [1, 0], [1, 1], [0, 0]]),
            r"\[1.0, 1.0\] in sample 2; a one-hot row has a single 1",
        ),
        (torch.tensor([[0, 1], [1, 0], [0, 0], [0, 2]]), r"\[0.0, 0.0\] in sample 2"),
        (torch.eye(4), r"shape \(4, 4\), which are one-hot rows of 4 classes; .* Give num_classes=4"),
        (torch.zeros(4, 2, 2), "not one for each pixel or token"),
        (torch.tensor([1, 2, 1, 2]), "run from 1 to 2; .* from 0 to 1. Classes are counted from 0: subtract 1"),
        (torch.tensor([-1, 1, -1, 1]), "run from -1 to 1; .* Number the classes from 0"),
        (torch.zeros(4, dtype=torch.complex64), "are complex"),
        (torch.tensor(1), "are a single number"),
        (torch.zeros(3), r"shape \(3,\); 4 samples need shape \(4,\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        toy(labels=labels)


def test_a_training_set_of_tokens_and_a_test_set_of_measurements_are_refused() -> None:
    tokens, labels = torch.zeros(2, 3, dtype=torch.int64), torch.tensor([0, 1])
    with pytest.raises(
        DataError, match=r"torch.int64 in the training set and torch.float32 in the test set. Give"
    ):
        TensorData("toy", tokens, labels, tokens.float(), labels, 2)
