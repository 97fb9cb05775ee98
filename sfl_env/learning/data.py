"""Data sets of accuracy mode, as tensors that are moved to the device once."""

import os
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sfl_env.checks import require_known, require_whole, shown
from sfl_env.errors import DataError
from sfl_env.learning import hub
from sfl_env.learning.process import on_one_thread


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
        require_whole("num_classes", self.num_classes, 1, error=DataError)
        for part in ("train", "test"):
            features, labels = getattr(self, f"{part}_features"), getattr(self, f"{part}_labels")
            if not (isinstance(features, Tensor) and isinstance(labels, Tensor) and features.ndim and labels.ndim):
                raise DataError(
                    f"The {part} set of {self.name!r} is a {type(features).__name__} and a "
                    f"{type(labels).__name__}; features and labels have to be tensors, one sample a row."
                )
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


def names() -> tuple[str, ...]:
    """Names that :func:`load` knows."""
    return ("digits", *hub.SOURCES)


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
    require_known("data set", name, names(), DataError)
    # Sums come out the same whatever the number of threads.
    with on_one_thread():
        if name == "digits":
            return _digits()
        parts = hub.read(name, path)
        return _standardised(name, parts["train"], parts["test"], hub.SOURCES[name].num_classes)


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
        If a data set has no length, is empty, its samples differ in shape, or one is no pair of numbers and a
        class.

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
    features, labels = [], []
    for number in range(len(dataset)):
        try:
            x, label = dataset[number]
            numbers = x.detach().cpu() if isinstance(x, Tensor) else np.asarray(x, dtype=np.float32)
            features.append(torch.as_tensor(numbers, dtype=torch.float32))
            labels.append(_whole(label))
        # The user's own data set runs here, which may raise or return anything at all.
        except Exception as error:
            raise DataError(
                f"Sample {number} of the {part} set of {name!r} is no pair of features (a tensor or an array of "
                f"numbers) and a label (a whole number): {error}"
            ) from error
    shapes = {tuple(x.shape) for x in features}
    if len(shapes) > 1:
        raise DataError(f"Samples of the {part} set of {name!r} differ in shape: {sorted(shapes)}.")
    return torch.stack(features), torch.tensor(labels)


def _whole(label: Any) -> int:
    value = torch.as_tensor(label).item()
    if value != int(value):
        raise ValueError(f"the label is {shown(label)}")
    return int(value)


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
    (train_x, train_y), (test_x, test_y) = train, test
    return TensorData(
        name, (train_x - mean) / deviation, train_y, (test_x - mean) / deviation, test_y, num_classes
    )
