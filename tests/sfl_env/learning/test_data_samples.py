"""Data sets of the user's own: what a sample may be, and what is said of one that cannot be taken."""

import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from sfl_env.errors import DataError
from sfl_env.learning.data import from_datasets

X = np.arange(6, dtype=np.float32).reshape(2, 3)


class Made(Dataset[Any]):
    """Samples that a function makes of their number."""

    def __init__(self, make: Callable[[int], Any], count: int = 6) -> None:
        self.make = make
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def taken(make: Callable[[int], Any], **settings: Any) -> Any:
    return from_datasets(Made(make), Made(make), name="toy", **settings)


@pytest.mark.parametrize(
    "label",
    [
        int,
        float,
        np.int8,
        np.uint64,
        lambda c: np.array([c]),
        lambda c: np.array([[c]]),
        lambda c: np.array(c, dtype=">i4"),
        torch.tensor,
        lambda c: torch.tensor([c]),
        lambda c: torch.tensor(c, dtype=torch.float16),
        lambda c: np.eye(3)[c],
        lambda c: np.eye(3, dtype=bool)[c].tolist(),
        lambda c: torch.eye(3)[c],
        lambda c: [c, np.array([c]), torch.tensor(float(c))][c],
    ],
)
def test_the_usual_labels_are_taken(label: Callable[[int], Any]) -> None:
    data = taken(lambda i: (X, label(i % 3)))
    assert data.train_labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.num_classes == 3


@pytest.mark.parametrize("kind", [bool, np.bool_, torch.tensor])
def test_truth_values_are_two_classes(kind: Callable[[bool], Any]) -> None:
    assert taken(lambda i: (X, kind(i % 2 == 1))).train_labels.tolist() == [0, 1] * 3


def test_one_hot_labels_tell_the_number_of_classes_even_of_those_without_samples() -> None:
    assert taken(lambda i: (X, [0, 1, 0, 0])).num_classes == 4
    with pytest.raises(DataError, match="have 3 entries in the training set and 2 in the test set"):
        from_datasets(Made(lambda i: (X, [0, 1, 0])), Made(lambda i: (X, [0, 1])))


@pytest.mark.parametrize("key", ["label", "labels", "y", "target"])
def test_dictionaries_of_a_label_and_one_other_entry_are_pairs(key: str) -> None:
    data = taken(lambda i: {"image": X + i, key: i % 2})
    assert torch.equal(data.train_features[3], torch.from_numpy(X + 3))
    assert data.train_labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("features", "dtype"),
    [
        ([1.5, 2.0], torch.float32),
        (np.array([1.5, 2.0]), torch.float32),
        (np.array([1.5, 2.0], dtype=">f4"), torch.float32),
        (np.array([1.0, 2.0, 3.0])[::-2], torch.float32),
        (torch.tensor([1.5, 2.0], dtype=torch.bfloat16), torch.float32),
        (np.array([1, 255], dtype=np.uint8), torch.float32),
        (torch.tensor([True, False]), torch.float32),
        ([1, 2], torch.int64),
        (np.array([1, 2], dtype=np.uint16), torch.int64),
        (torch.tensor([1, 2], dtype=torch.int32), torch.int64),
    ],
)
def test_measurements_and_pictures_are_floating_point_and_tokens_whole(features: Any, dtype: torch.dtype) -> None:
    data = taken(lambda i: (features, 0))
    assert data.train_features.dtype == dtype
    assert data.train_features[5].tolist() == [float(x) for x in features]


def test_a_floating_point_sample_makes_all_of_them_floating_point() -> None:
    data = taken(lambda i: ([i, 2] if i else [0.5, 2], 0))
    assert data.train_features.tolist() == [[0.5, 2.0], *([float(i), 2.0] for i in range(1, 6))]
    mixed = from_datasets(Made(lambda i: ([1, 2], 0)), Made(lambda i: ([0.5, 2.0], 0)))
    assert mixed.train_features.dtype == mixed.test_features.dtype == torch.float32


@given(arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(max_dims=3, max_side=3)))
def test_any_array_is_taken_as_the_numbers_that_it_holds_or_refused(array: Any) -> None:
    kept = array.copy()
    with np.errstate(over="ignore"):
        is_real = array.dtype.kind in "biuf" and bool(np.isfinite(array.astype(np.float32)).all())
    if not is_real or (array.dtype.kind == "u" and array.max() >= 2**63):
        with pytest.raises(DataError):
            taken(lambda i: (array, 0))
        return
    data = taken(lambda i: (array, 0))
    expected = array.astype(np.int64 if data.train_features.dtype == torch.int64 else np.float32)
    assert all(np.array_equal(row.numpy(), expected) for row in data.train_features)
    data.train_features.zero_()
    assert np.array_equal(array, kept)


def test_pictures_have_their_channels_first() -> None:
    image = pytest.importorskip("PIL.Image")
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    data = taken(lambda i: (image.fromarray(colours), 0))
    assert data.input_shape == (3, 4, 5)
    assert torch.equal(data.train_features[0].permute(1, 2, 0), torch.from_numpy(colours).float())
    assert taken(lambda i: (image.new("L", (5, 4), 7), 0)).train_features.unique().tolist() == [7.0]
    with pytest.raises(DataError, match=r"numbers of a palette \(mode 'P'\).*convert\('RGB'\)"):
        taken(lambda i: (image.new("P", (5, 4)), 0))


def failing(index: int) -> Any:
    raise KeyError("no such file")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (failing, r"Reading sample 0 of the train set of 'toy' raised KeyError\('no such file'\)"),
        (lambda i: None, "Sample 0 of the train set of 'toy' is None, a NoneType; it has to be a pair"),
        (lambda i: X, "a ndarray; it has to be a pair"),
        (lambda i: "ab", "is 'ab', a str; it has to be a pair"),
        (lambda i: (X,), "a tuple of 1 entries; it has to be a pair"),
        (lambda i: (X, 0, 1), "a tuple of 3 entries; it has to be a pair"),
        (
            lambda i: {"ids": [1], "mask": [1], "label": 0},
            r"the entries \['ids', 'mask', 'label'\]; .*exactly one",
        ),
        (lambda i: {"image": X, "fine_label": 0}, r"'fine_label'\]; it has to have one for the label, called"),
        (lambda i: {"image": X, "label": 0, "target": 0}, "'label', 'target'"),
        (
            lambda i: (None, 0),
            "Features of sample 0 .*: None, of type NoneType, is no array of real numbers; give",
        ),
        (lambda i: ("text", 0), "'text', of type str, is no array of real numbers"),
        (lambda i: ({"a": 1}, 0), "of type dict, is no array"),
        (lambda i: ([[1], [1, 2]], 0), r"\[\[1\], \[1, 2\]\], of type list, .*equally long lists"),
        (lambda i: (np.ma.masked_equal([1.0, 2.0], 2.0), 0), "masked; fill them in first"),
        (lambda i: (np.array([2**63]), 0), r"below 2\^63"),
        (lambda i: (torch.eye(2).to_sparse(), 0), "Try to_dense"),
        (lambda i: (np.array([0.0, 1e300 * (i == 2)]), 0), "hold inf in sample 2; .* finite as torch.float32"),
        (lambda i: (np.array([0.0, np.nan if i == 4 else 0.0]), 0), "hold nan in sample 4"),
        (lambda i: (np.zeros(2 + i // 3), 0), r"sample 0 has \(2,\) and sample 3 \(3,\). Crop, resize or pad"),
        (
            lambda i: (X, None),
            "Label of sample 0 .*: None, of type NoneType, .*; give the whole number of its class",
        ),
        (lambda i: (X, {"boxes": 1}), "Label of sample 0 .*of type dict"),
        (lambda i: (X, Fraction(1, 2)), "Label of sample 0 .*of type Fraction"),
        (lambda i: (X, 2**70), "Label of sample 0 .*of type int, is no"),
        (lambda i: (X, i / 2), "hold 0.5 in sample 1; a label has to be the number of a class"),
        (lambda i: (X, i - 1), "run from -1 to 4; they have to be whole numbers from 0"),
        (lambda i: (X, [1, 1]), r"hold \[1.0, 1.0\] in sample 0; a one-hot row has a single 1"),
        (lambda i: (X, [0] * i + [1, 0]), r"differ in shape: sample 0 has \(2,\) and sample 1 \(3,\)"),
        (lambda i: (X, ["dog", "cat"][i % 2]), r"are text; .* Number them, as by \{'cat': 0, 'dog': 1\}\[label\]"),
        (lambda i: (X, np.array("dog")), r"are text; .*\{'dog': 0\}"),
        (lambda i: (X, b"dog"), r"are text; .*\{'dog': 0\}"),
        (lambda i: (X, f"c{i}"), r"\{'c0': 0, 'c1': 1, 'c2': 2, 'c3': 3, 'c4': 4, \.\.\.\}"),
    ],
)
def test_a_sample_that_cannot_be_taken_is_named_with_what_it_is(make: Callable[[int], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        taken(make)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X, 0)])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "dataset", [Stream(), iter([(X, 0)]), DataLoader(Made(failing)), None, Made, [], TensorDataset]
)
def test_what_is_no_map_style_dataset_is_told_how_to_become_one(dataset: Any) -> None:
    with pytest.raises(DataError, match=r"map-style Dataset is needed.*list\(stream\)"):
        from_datasets(dataset, [(X, 0)])


@pytest.mark.parametrize("count", [10**13, sys.maxsize])
def test_a_dataset_that_no_memory_holds_is_not_read_on_and_on(count: int) -> None:
    with pytest.raises(DataError, match=f"it has {count} samples, .*torch.utils.data.Subset"):
        from_datasets(Made(lambda i: (X, 0), count), [(X, 0)])
