"""Data sets of accuracy mode, as tensors that are moved to the device once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sfl_env.checks import nearest_name
from sfl_env.errors import DataError

DATA_DIRECTORY_VARIABLE = "SFL_DATA_DIR"
"""Environment variable: a folder with one folder for each stored data set, named as in :func:`names`."""


@dataclass(frozen=True)
class TensorData:
    """A classification data set.

    Parameters
    ----------
    name : str
        What to call it.
    train_features, test_features : (M, ...) float tensor
        One sample a row.
    train_labels, test_labels : (M,) int64 tensor
        Classes, 0 to ``num_classes - 1``.
    num_classes : int
        Number of classes.

    Raises
    ------
    DataError
        If the tensors do not fit together, or a label is out of range.

    Examples
    --------
    >>> TensorData("toy", torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), torch.zeros(1, 2),
    ...            torch.tensor([0]), num_classes=2).input_shape
    (2,)
    """

    name: str
    train_features: Tensor
    train_labels: Tensor
    test_features: Tensor
    test_labels: Tensor
    num_classes: int

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            features, labels = getattr(self, f"{part}_features"), getattr(self, f"{part}_labels")
            if len(features) == 0:
                raise DataError(f"The {part} set of {self.name!r} is empty.")
            if labels.shape != features.shape[:1]:
                raise DataError(
                    f"{part}_labels of {self.name!r} have shape {tuple(labels.shape)}; {len(features)} samples "
                    f"need shape ({len(features)},), one class each."
                )
            if labels.dtype != torch.int64 or not features.is_floating_point():
                raise DataError(
                    f"The {part} set of {self.name!r} has {features.dtype} features and {labels.dtype} labels; "
                    "features have to be floating-point and labels int64."
                )
            if bool((labels < 0).any() | (labels >= self.num_classes).any()):
                raise DataError(
                    f"{part}_labels of {self.name!r} run from {int(labels.min())} to {int(labels.max())}; they "
                    f"have to be from 0 to {self.num_classes - 1}."
                )
        if self.train_features.shape[1:] != self.test_features.shape[1:]:
            raise DataError(
                f"Samples of {self.name!r} have shape {tuple(self.train_features.shape[1:])} in the training set "
                f"and {tuple(self.test_features.shape[1:])} in the test set."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_features.shape[1:])

    def to(self, device: torch.device, dtype: torch.dtype) -> "TensorData":
        """Return the data on a device, the features in a floating-point type."""
        return TensorData(
            self.name,
            self.train_features.to(device, dtype),
            self.train_labels.to(device),
            self.test_features.to(device, dtype),
            self.test_labels.to(device),
            self.num_classes,
        )


@dataclass(frozen=True)
class _HubSource:
    """Where a data set lies on the Hugging Face hub and how its columns are called."""

    repository: str
    image: str
    label: str
    num_classes: int


_HUB = {
    "mnist": _HubSource("ylecun/mnist", "image", "label", 10),
    "fashion-mnist": _HubSource("zalando-datasets/fashion_mnist", "image", "label", 10),
    "cifar10": _HubSource("uoft-cs/cifar10", "img", "label", 10),
    "cifar100": _HubSource("uoft-cs/cifar100", "img", "fine_label", 100),
}


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows."""
    return ("digits", *_HUB)


def load(name: str = "digits", path: str | os.PathLike[str] | None = None) -> TensorData:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        ``digits`` (scikit-learn's 1,797 real handwritten digits of 8x8 pixels, shipped with scikit-learn,
        a fifth of them held out for the test, always the same ones), or ``mnist``, ``fashion-mnist``,
        ``cifar10``, ``cifar100`` (extra ``datasets``).
    path : path, optional
        Folder of a stored copy of one of the latter: what ``datasets.DatasetDict.save_to_disk`` wrote, or the
        hub's own ``train*.parquet`` and ``test*.parquet`` files, also in a folder below. Without it, the folder
        ``name`` inside the environment variable ``SFL_DATA_DIR`` is taken where it exists; failing that, the
        data set is downloaded from the Hugging Face hub, or taken from its local cache.

    Returns
    -------
    TensorData
        Pixels as (channels, height, width), standardised to the training set's mean and deviation per
        channel.

    Raises
    ------
    DataError
        For an unknown name, or a data set that is not there; the message tells what would provide it.

    Examples
    --------
    >>> digits = load("digits")
    >>> digits.input_shape, digits.num_classes, len(digits.train_labels), len(digits.test_labels)
    ((1, 8, 8), 10, 1437, 360)
    """
    if name == "digits":
        return _digits()
    if name not in _HUB:
        raise DataError(f"No data set {name!r}{nearest_name(name, names())}. Known: {', '.join(names())}.")
    source = _HUB[name]
    splits = _stored_or_downloaded(name, source, path)
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    for part in ("train", "test"):
        if part not in splits:
            raise DataError(f"The stored {name!r} has no {part!r} split; it has: {', '.join(splits)}.")
        parts[part] = _images_and_labels(name, source, splits[part])
    return _standardised(name, parts["train"], parts["test"], source.num_classes)


def from_datasets(
    train: Dataset[Any], test: Dataset[Any], *, num_classes: int | None = None, name: str = "custom"
) -> TensorData:
    """Take any two map-style ``torch.utils.data.Dataset`` of (features, label) pairs.

    Parameters
    ----------
    train, test : Dataset
        With ``__len__``; features are tensors or arrays of one shape, labels whole numbers. They are read
        once and held as one tensor.
    num_classes : int, optional
        By default the largest label plus one.
    name : str
        What to call it in messages.

    Raises
    ------
    DataError
        If a data set has no length, is empty, or its samples differ in shape.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> pairs = TensorDataset(torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    >>> from_datasets(pairs, pairs).num_classes
    3
    """
    (train_x, train_y), (test_x, test_y) = _collect(train, "train", name), _collect(test, "test", name)
    if num_classes is None:
        num_classes = int(torch.cat([train_y, test_y]).max()) + 1
    return TensorData(name, train_x, train_y, test_x, test_y, num_classes)


def _collect(dataset: Dataset[Any], part: str, name: str) -> tuple[Tensor, Tensor]:
    if not hasattr(dataset, "__len__") or len(dataset) == 0:
        raise DataError(f"The {part} set of {name!r} is empty or has no length; a map-style Dataset is needed.")
    pairs = [dataset[i] for i in range(len(dataset))]
    features = [torch.as_tensor(np.asarray(pair[0], dtype=np.float32)) for pair in pairs]
    shapes = {tuple(x.shape) for x in features}
    if len(shapes) > 1:
        raise DataError(f"Samples of the {part} set of {name!r} differ in shape: {sorted(shapes)}.")
    return torch.stack(features), torch.tensor([int(pair[1]) for pair in pairs])


def _digits() -> TensorData:
    # Imported by name, and only here: neither library is needed unless its data is asked for.
    images, labels = import_module("sklearn.datasets").load_digits(return_X_y=True)
    split = import_module("sklearn.model_selection").train_test_split(
        images.reshape(-1, 1, 8, 8), labels, test_size=360, stratify=labels, random_state=0
    )
    train_x, test_x, train_y, test_y = (torch.as_tensor(part) for part in split)
    return _standardised("digits", (train_x.float(), train_y.long()), (test_x.float(), test_y.long()), 10)


def _standardised(
    name: str, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], num_classes: int
) -> TensorData:
    pixels = train[0].transpose(0, 1).flatten(1)
    mean, deviation = (x[:, None, None] for x in (pixels.mean(dim=1), pixels.std(dim=1).clamp_min(1e-6)))
    return TensorData(
        name, (train[0] - mean) / deviation, train[1], (test[0] - mean) / deviation, test[1], num_classes
    )


def _stored_or_downloaded(name: str, source: _HubSource, path: str | os.PathLike[str] | None) -> Mapping[str, Any]:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"The data set {name!r} needs the extra 'datasets': pip install 'sfl-env[datasets]'. Without it, use "
            "'digits', which needs nothing more."
        ) from error
    folder = _folder(name, path)
    if folder is not None:
        return _read_folder(name, folder, datasets.load_from_disk, datasets.load_dataset)
    try:
        return cast(Mapping[str, Any], datasets.load_dataset(source.repository))
    except Exception as error:  # the hub's client raises a different class for every way to be offline
        raise DataError(
            f"The data set {name!r} is not stored here and could not be downloaded from the Hugging Face hub "
            f"({source.repository}): {error}. Store a copy (DatasetDict.save_to_disk, or the hub's parquet "
            "files) and give its folder (an environment's dataset_path, load's path), or put it into a folder "
            f"{name!r} in the directory that the environment variable {DATA_DIRECTORY_VARIABLE} names."
        ) from error


def _folder(name: str, path: str | os.PathLike[str] | None) -> Path | None:
    if path is not None:
        if not Path(path).is_dir():
            raise DataError(f"The folder {os.fspath(path)!r} given for the data set {name!r} is not there.")
        return Path(path)
    root = os.environ.get(DATA_DIRECTORY_VARIABLE)
    stored = Path(root) / name if root else None
    return stored if stored is not None and stored.is_dir() else None


def _read_folder(
    name: str, folder: Path, load_from_disk: Callable[..., Any], load_dataset: Callable[..., Any]
) -> Mapping[str, Any]:
    parquet = {
        part: sorted(str(file) for file in folder.rglob("*.parquet") if file.name.startswith(part))
        for part in ("train", "test")
    }
    try:
        if all(parquet.values()):
            # Decoded afresh into a throw-away cache: a changed file is never answered from an old copy.
            return cast(
                Mapping[str, Any], load_dataset("parquet", data_files=parquet, download_mode="force_redownload")
            )
        stored = load_from_disk(str(folder))
    except Exception as error:  # Arrow, JSON and file errors alike
        raise DataError(
            f"The folder {str(folder)!r} does not hold {name!r} as DatasetDict.save_to_disk or the hub's "
            f"train*.parquet and test*.parquet files: {error}"
        ) from error
    if not isinstance(stored, Mapping):
        raise DataError(
            f"The folder {str(folder)!r} holds a single split; {name!r} needs a DatasetDict with 'train' and "
            "'test'."
        )
    return stored


def _images_and_labels(name: str, source: _HubSource, split: Any) -> tuple[Tensor, Tensor]:
    missing = {source.image, source.label} - set(split.column_names)
    if missing:
        raise DataError(
            f"The stored {name!r} lacks the column(s) {', '.join(sorted(missing))}; it has: "
            f"{', '.join(split.column_names)}."
        )
    images = np.stack([np.asarray(image) for image in split[source.image]])
    channels_last = images[..., None] if images.ndim == 3 else images
    pixels = torch.as_tensor(channels_last).permute(0, 3, 1, 2).contiguous().float()
    return pixels, torch.as_tensor(np.asarray(split[source.label], dtype=np.int64))
