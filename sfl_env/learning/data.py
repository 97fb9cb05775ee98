"""Data sets of accuracy mode, as tensors that are moved to the device once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sfl_env.checks import require_known, require_whole, shown
from sfl_env.dnn.process import on_one_thread
from sfl_env.errors import DataError
from sfl_env.learning import hub
from sfl_env.learning.samples import read_samples
from sfl_env.learning.tensors import classes_of, features_of


@dataclass(frozen=True)
class TensorData:
    """A classification data set.

    The tensors that are given are left as they are. Those of floating-point numbers and of int64 are not copied.

    Parameters
    ----------
    name : str
        What to call it.
    train_features, test_features : (M, ...) tensor
        One sample a row: finite floating-point numbers; ``uint8`` (pictures) or ``bool`` (masks), held as float32;
        or any other integers, held as int64, which reach the network as the token numbers that they are.
    train_labels, test_labels : (M,) tensor
        Classes, 0 to ``num_classes - 1``, held as int64: whole numbers of any type, also of shape (M, 1), or
        one-hot rows (M, ``num_classes``).
    num_classes : int
        Number of classes.

    Raises
    ------
    DataError
        If the tensors do not fit together, a feature is not finite, or a label is no class; it names the first
        such sample.

    Examples
    --------
    >>> TensorData("toy", torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), torch.zeros(1, 2),
    ...            torch.tensor([0]), num_classes=2).input_shape
    (2,)
    >>> TensorData("tokens", torch.tensor([[7, 2]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[3, 3]]),
    ...            torch.tensor([[1.0, 0.0]]), num_classes=2).train_labels
    tensor([1])
    """

    name: str
    train_features: Tensor
    train_labels: Tensor
    test_features: Tensor
    test_labels: Tensor
    num_classes: int

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise DataError(
                f"name is {shown(self.name)}; it has to be a string, the first of TensorData(name, "
                "train_features, train_labels, test_features, test_labels, num_classes)."
            )
        require_whole("num_classes", self.num_classes, 1, error=DataError)
        for part in ("train", "test"):
            features, labels = f"{part}_features", f"{part}_labels"
            # A frozen dataclass takes what its own __post_init__ puts into its form in this way alone.
            x = features_of(f"{features} of {self.name!r}", getattr(self, features))
            if len(x) == 0:
                raise DataError(f"The {part} set of {self.name!r} is empty.")
            self._check_length(labels, getattr(self, labels), len(x))
            y = classes_of(f"{labels} of {self.name!r}", getattr(self, labels), self.num_classes)
            object.__setattr__(self, features, x)
            object.__setattr__(self, labels, y)
        train, test = self.train_features, self.test_features
        if train.shape[1:] != test.shape[1:]:
            raise DataError(
                f"Samples of {self.name!r} have shape {tuple(train.shape[1:])} in the training set and "
                f"{tuple(test.shape[1:])} in the test set."
            )
        if train.is_floating_point() != test.is_floating_point():
            raise DataError(
                f"Features of {self.name!r} are {train.dtype} in the training set and {test.dtype} in the test "
                "set. Give both as floating-point numbers (measurements, pictures), or both as integers (tokens)."
            )

    def _check_length(self, part: str, labels: object, samples: int) -> None:
        shape = tuple(labels.shape) if isinstance(labels, Tensor) else ()
        if shape and shape[0] != samples:
            raise DataError(
                f"{part} of {self.name!r} have shape {shape}; {samples} samples need shape ({samples},), one "
                "class each."
            )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_features.shape[1:])

    def to(self, device: torch.device, dtype: torch.dtype) -> "TensorData":
        """Return the data on a device, floating-point features in the type given.

        What is there and of that type already is shared, not copied: whoever may write into samples copies them.

        Raises
        ------
        DataError
            If a feature is too large for the type.
        """

        def moved(features: Tensor) -> Tensor:
            return features.to(device, dtype if features.is_floating_point() else None)

        return TensorData(
            self.name,
            moved(self.train_features),
            self.train_labels.to(device),
            moved(self.test_features),
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
    train: Dataset[Any] | Sequence[Any],
    test: Dataset[Any] | Sequence[Any],
    *,
    num_classes: int | None = None,
    name: str = "custom",
) -> TensorData:
    """Take any two map-style ``torch.utils.data.Dataset`` of (features, label) pairs.

    Parameters
    ----------
    train, test : Dataset
        With ``__len__`` and ``__getitem__``, such as a list; they are read once and held as one tensor each. A
        sample is a pair (features, label), or a dictionary with the label under ``"label"``, ``"labels"``, ``"y"``
        or ``"target"`` and exactly one other entry, the features.

        Features are tensors, arrays, lists of numbers or Pillow's pictures, of one shape. Floating-point numbers,
        ``uint8``, ``bool`` and pictures become float32, a picture as (channels, height, width) with values as they
        are, such as 0 to 255. Where all samples are other integers, they stay token numbers (int64).

        A label is a whole number of any type, also in an array of one entry, or a one-hot vector.
    num_classes : int, optional
        By default the length of one-hot labels, else the largest label plus one.
    name : str
        What to call it in messages.

    Raises
    ------
    DataError
        If a data set has no length or is empty, a sample is no such pair, samples differ in shape, a feature is
        not finite, or a label is text or another thing that is no class. It names the first such sample.

    Examples
    --------
    >>> from torch.utils.data import TensorDataset
    >>> pairs = TensorDataset(torch.rand(6, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1, 2]))
    >>> from_datasets(pairs, pairs).num_classes
    3
    >>> rows = [{"tokens": [4, 1, 3], "label": 1}, {"tokens": [2, 2, 0], "label": 0}]
    >>> from_datasets(rows, rows).train_features
    tensor([[4, 1, 3],
            [2, 2, 0]])
    """
    (train_x, train_y), (test_x, test_y) = read_samples(train, "train", name), read_samples(test, "test", name)
    if num_classes is None:
        num_classes = _num_classes(name, train_y, test_y)
    common = torch.promote_types(train_x.dtype, test_x.dtype)
    return TensorData(name, train_x.to(common), train_y, test_x.to(common), test_y, num_classes)


def _num_classes(name: str, train: Tensor, test: Tensor) -> int:
    """Return the length of one-hot labels, else the largest label plus one."""
    lengths = {labels.shape[1] for labels in (train, test) if labels.ndim == 2}
    if len(lengths) > 1:
        raise DataError(
            f"One-hot labels of {name!r} have {train.shape[1]} entries in the training set and {test.shape[1]} in "
            "the test set; give both one for each class."
        )
    if lengths:
        return lengths.pop()
    parts = (classes_of(f"{part}_labels of {name!r}", y) for part, y in (("train", train), ("test", test)))
    return 1 + max(int(classes.max()) for classes in parts)


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
