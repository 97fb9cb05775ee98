"""Data sets: the embedded one, stored ones in the hub's formats, and the user's own."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from sfl_env.errors import DataError
from sfl_env.learning.data import TensorData, from_datasets, load, names
from sfl_env.learning.hub import DATA_DIRECTORY_VARIABLE

SHAPES = {"mnist": (28, 28), "fashion-mnist": (28, 28), "cifar10": (32, 32, 3), "cifar100": (32, 32, 3)}
COLUMNS = {
    "mnist": ("image", "label"),
    "fashion-mnist": ("image", "label"),
    "cifar10": ("img", "label"),
    "cifar100": ("img", "fine_label"),
}


def hub_dataset(name: str, count: int = 12) -> Any:
    """A small data set of the columns and types that the hub has."""
    import datasets  # type: ignore[import-untyped]  # has no types

    image, label = COLUMNS[name]
    classes = 100 if name == "cifar100" else 10
    features = datasets.Features({image: datasets.Image(), label: datasets.ClassLabel(num_classes=classes)})
    if name == "cifar100":
        features["coarse_label"] = datasets.ClassLabel(num_classes=20)
    rng = np.random.default_rng(0)
    splits = {}
    for part in ("train", "test"):
        columns: dict[str, Any] = {
            image: [rng.integers(0, 256, SHAPES[name], dtype=np.uint8) for _ in range(count)],
            label: list(range(count)),
        }
        columns[label] = [value % classes for value in columns[label]]
        if name == "cifar100":
            columns["coarse_label"] = [0] * count
        splits[part] = datasets.Dataset.from_dict(columns, features=features)
    return datasets.DatasetDict(splits)


def test_digits_are_the_real_ones_and_always_split_alike() -> None:
    digits, again = load("digits"), load()
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert digits.input_shape == (1, 8, 8)
    assert torch.equal(digits.train_features, again.train_features)
    assert float(digits.train_features.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(digits.train_features.std()) == pytest.approx(1.0, abs=1e-3)
    assert torch.bincount(digits.test_labels).min() >= 34


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_a_stored_data_set_is_read_from_the_path_given(name: str, tmp_path: Path) -> None:
    stored = hub_dataset(name)
    stored.save_to_disk(tmp_path / "copy")
    data = load(name, tmp_path / "copy")
    side = SHAPES[name][0]
    assert data.input_shape == (SHAPES[name][2] if len(SHAPES[name]) == 3 else 1, side, side)
    assert data.num_classes == (100 if name == "cifar100" else 10)
    assert data.train_labels.tolist() == stored["train"][COLUMNS[name][1]][:]
    pixels = np.asarray(stored["train"][COLUMNS[name][0]][3], dtype=np.float32)
    read = data.train_features[3].permute(1, 2, 0).numpy().reshape(SHAPES[name])
    assert np.corrcoef(read[..., 0].ravel(), pixels[..., 0].ravel())[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_parquet_files_are_found_through_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mnist" / "mnist"
    folder.mkdir(parents=True)
    stored = hub_dataset("mnist")
    for part in ("train", "test"):
        stored[part].to_parquet(folder / f"{part}-00000-of-00001.parquet")
    monkeypatch.setenv(DATA_DIRECTORY_VARIABLE, str(tmp_path))
    data = load("mnist")
    assert data.train_labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    hub_dataset("cifar10")
    with pytest.raises(DataError, match=rf"The folder '{tmp_path}' does not hold 'cifar10' as"):
        load("cifar10", tmp_path)
    with pytest.raises(DataError, match="is not there"):
        load("cifar10", tmp_path / "missing")
    hub_dataset("mnist").save_to_disk(tmp_path / "copy")
    with pytest.raises(DataError, match=r"lacks the column\(s\) img"):
        load("cifar10", tmp_path / "copy")
    hub_dataset("mnist")["train"].save_to_disk(tmp_path / "half")
    with pytest.raises(DataError, match="holds a single split"):
        load("mnist", tmp_path / "half")
    stored = hub_dataset("mnist")
    del stored["test"]
    stored.save_to_disk(tmp_path / "no-test")
    with pytest.raises(DataError, match="has no 'test' split; it has: train"):
        load("mnist", tmp_path / "no-test")


def test_a_data_set_that_cannot_be_downloaded_tells_what_would_provide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(repository: str) -> None:
        raise ConnectionError(f"no route to {repository}")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    monkeypatch.delenv(DATA_DIRECTORY_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"could not be downloaded.*save_to_disk.*SFL_DATA_DIR"):
        load("fashion-mnist")


def test_without_the_extra_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"sfl-env\[datasets\]"):
        load("mnist")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'fashion-mnist'"):
        load("fashion_mnist")
    assert names() == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")


class Squares(Dataset[Any]):
    """NumPy features, whole-number labels."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if index >= self.count:
            raise IndexError
        return np.full((1, 2, 2), index, dtype=np.uint8), index % 3


def test_any_map_style_dataset_can_be_used() -> None:
    data = from_datasets(Squares(9), TensorDataset(torch.zeros(2, 1, 2, 2).double(), torch.tensor([0, 1])))
    assert data.num_classes == 3
    assert data.train_features[5, 0, 0, 0] == 5.0
    assert data.train_features.dtype == data.test_features.dtype == torch.float32
    assert data.to(torch.device("cpu"), torch.float64).test_features.dtype == torch.float64


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


class Ragged(Squares):
    def __getitem__(self, index: int) -> Any:
        return np.zeros(index + 1), 0


@pytest.mark.parametrize(
    ("dataset", "message"),
    [(Stream(), "map-style"), (Squares(0), "empty"), (Ragged(3), "differ in shape")],
)
def test_a_dataset_that_cannot_be_held_is_refused(dataset: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        from_datasets(dataset, Squares(3))


GOOD = {
    "name": "toy",
    "train_features": torch.zeros(4, 2),
    "train_labels": torch.tensor([0, 1, 0, 1]),
    "test_features": torch.zeros(2, 2),
    "test_labels": torch.tensor([0, 1]),
    "num_classes": 2,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_features": torch.zeros(0, 2)}, "train set of 'toy' is empty"),
        ({"train_labels": torch.tensor([0, 1])}, r"shape \(2,\); 4 samples"),
        ({"test_labels": torch.tensor([0, 2])}, "from 0 to 2; they have to be from 0 to 1"),
        ({"test_features": torch.zeros(2, 3)}, r"shape \(2,\) in the training set and \(3,\)"),
    ],
)
def test_tensors_that_do_not_fit_together_are_refused(change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TensorData(**{**GOOD, **change})
