"""Samples of map-style data sets, read one by one into two tensors."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from sfl_env.checks import shown
from sfl_env.errors import DataError

LABEL_KEYS = ("label", "labels", "y", "target")
"""Under one of these a sample that is a dictionary holds its label."""

FEATURES = "a tensor, an array or equally long lists of real numbers"
LABEL = "the whole number of its class, or a one-hot vector"
"""What has to be given for a sample."""

_SHOWN_CLASSES = 5
"""Of so many classes that are text, a message tells the names."""


def read_samples(dataset: Any, part: str, name: str) -> tuple[Tensor, Tensor]:
    """Return features and labels of all samples, one a row.

    Parameters
    ----------
    dataset : object
        With ``__len__`` and ``__getitem__``.
    part : str
        ``"train"`` or ``"test"``, for messages.
    name : str
        Of the data, for messages.

    Returns
    -------
    features : (M, ...) tensor
        float32 for floating-point samples; uint8, bool or int64 where all samples are whole numbers.
    labels : (M,) or (M, C) tensor
        As the samples have them; one-hot vectors in the latter case.

    Raises
    ------
    DataError
        If the data set has no length or is empty, a sample cannot be read or is no pair, or samples do not fit
        together.

    Examples
    --------
    >>> read_samples([([1, 2], 0), {"tokens": [3, 4], "label": 1}], "train", "toy")
    (tensor([[1, 2],
            [3, 4]]), tensor([0, 1]))
    """
    count = _length(dataset, part, name)
    features, labels = torch.empty(0), []
    for number in range(count):
        sample = f"{number} of the {part} set of {name!r}"
        x, label = _pair(sample, _read(sample, dataset, number))
        row = numbers_of(f"Features of sample {sample}", x, FEATURES)
        if number == 0:
            features = _room(count, row, part, name)
        if row.shape != features.shape[1:]:
            raise DataError(
                f"Samples of the {part} set of {name!r} differ in shape: sample 0 has {tuple(features.shape[1:])} "
                f"and sample {number} {tuple(row.shape)}. Crop, resize or pad them to one shape."
            )
        if row.dtype != features.dtype:
            # A few floating-point samples among whole numbers make all of them floating-point.
            features = features.to(torch.promote_types(features.dtype, row.dtype))
        features[number] = row
        labels.append(label)
    return features, _stacked_labels(labels, part, name)


def numbers_of(where: str, value: Any, wanted: str) -> Tensor:
    """Return what a user gave for one sample as a tensor: float32, uint8, bool or int64.

    Parameters
    ----------
    where : str
        What it is and of which sample.
    value : object
        A tensor, an array, a number, lists of numbers, or a picture of Pillow's, which becomes (channels, height,
        width).
    wanted : str
        What it has to be, for messages.

    Raises
    ------
    DataError
        If it is none of these.

    Examples
    --------
    >>> numbers_of("Features of sample 3", [[1.5, 2.0]], FEATURES)
    tensor([[1.5000, 2.0000]])
    >>> numbers_of("Features of sample 3", [[1.0], [2.0, 3.0]], FEATURES)
    Traceback (most recent call last):
    ...
    sfl_env.errors.DataError: Features of sample 3: [[1.0], [2.0, 3.0]], of type list, is no array of real numbers;
    give a tensor, an array or equally long lists of real numbers.
    """
    if isinstance(value, Tensor):
        return _of_tensor(where, value)
    if _is_picture(value):
        return _of_picture(where, value)
    if np.ma.is_masked(value):
        raise DataError(f"{where}: some entries are masked; fill them in first, as by .filled(0.0).")
    try:
        array = np.asarray(value)
    except Exception:  # ragged lists, or whatever a user's own class may raise
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: {shown(value)}, of type {type(value).__name__}, is no array of real numbers; give {wanted}."
        )
    return torch.from_numpy(_held(where, array))


def _held(where: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of an array in a type that torch computes with; no user's array is shared."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what is not finite is found with all samples, and told
            return array.astype(np.float32, order="C")
    if array.dtype in (np.uint8, np.bool_):
        return array.copy(order="C")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{where}: whole numbers have to be below 2^63, which is as far as torch computes.")
    return array.astype(np.int64, order="C")


def _of_tensor(where: str, value: Tensor) -> Tensor:
    if (
        value.layout != torch.strided
        or value.is_nested
        or value.is_quantized
        or value.is_meta
        or value.is_complex()
    ):
        raise DataError(
            f"{where}: a tensor of {value.dtype} and {value.layout}; it has to be an ordinary one of real "
            "numbers. Try to_dense(), to_padded_tensor(), dequantize() or torch.view_as_real."
        )
    plain = value.detach().as_subclass(Tensor).cpu()
    if plain.is_floating_point():
        return plain.float()
    return plain if plain.dtype in (torch.uint8, torch.bool) else plain.to(torch.int64)


def _is_picture(value: object) -> bool:
    # Whoever holds a picture has loaded Pillow; without one it is not needed.
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _of_picture(where: str, picture: Any) -> Tensor:
    if picture.mode in ("P", "PA"):
        raise DataError(
            f"{where}: a picture whose pixels are numbers of a palette (mode {picture.mode!r}); turn it into "
            "colours first, by picture.convert('RGB')."
        )
    pixels = np.array(picture, dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.atleast_3d(pixels), -1, 0)))


def _length(dataset: Any, part: str, name: str) -> int:
    try:
        count = len(dataset)
    except Exception:  # a user's own data set, which may raise anything
        count = 0
    if count < 1 or not hasattr(dataset, "__getitem__") or isinstance(dataset, IterableDataset):
        raise DataError(
            f"The {part} set of {name!r} is empty, has no length or cannot be indexed ({type(dataset).__name__}); "
            "a map-style Dataset is needed, with __len__ and __getitem__. A list of (features, label) pairs is "
            "one, such as list(stream), or list(itertools.islice(stream, 1000)) of an endless stream. "
            "Instead of a DataLoader, give its dataset."
        )
    return count


def _read(which: str, dataset: Any, number: int) -> Any:
    try:
        return dataset[number]
    except MemoryError:
        raise
    except Exception as error:  # a user's own data set, which may raise anything
        raise DataError(f"Reading sample {which} raised {shown(error)}.") from error


def _pair(which: str, sample: Any) -> tuple[Any, Any]:
    if isinstance(sample, tuple | list) and len(sample) == 2:
        return sample[0], sample[1]
    if isinstance(sample, Mapping):
        return _pair_of_entries(which, sample)
    held = f" of {len(sample)} entries" if isinstance(sample, tuple | list) else ""
    raise DataError(
        f"Sample {which} is {shown(sample)}, a {type(sample).__name__}{held}; it has to be a pair (features, "
        "label), or a dictionary of these two. Wrap the data set in one whose __getitem__ returns the pair."
    )


def _pair_of_entries(which: str, sample: Mapping[Any, Any]) -> tuple[Any, Any]:
    labels = [key for key in sample if key in LABEL_KEYS]
    others = [key for key in sample if key not in LABEL_KEYS]
    if len(labels) == 1 and len(others) == 1:
        return sample[others[0]], sample[labels[0]]
    raise DataError(
        f"Sample {which} is a dictionary with the entries {shown(list(sample))}; it has to have one for the "
        f"label, called {', '.join(map(repr, LABEL_KEYS[:-1]))} or {LABEL_KEYS[-1]!r}, and exactly one other, for "
        "the features, which a network takes as one tensor. Wrap the data set in one whose __getitem__ returns "
        "the pair (features, label)."
    )


def _room(count: int, row: Tensor, part: str, name: str) -> Tensor:
    try:
        return torch.empty((count, *row.shape), dtype=row.dtype)
    except RuntimeError as error:  # torch's words for too little memory, or for more bytes than can be counted
        raise DataError(
            f"The {part} set of {name!r} says that it has {count} samples, and a sample takes "
            f"{row.numel() * row.element_size()} bytes: they cannot be held in memory. Give a part of them, as by "
            "torch.utils.data.Subset."
        ) from error


def _stacked_labels(labels: list[Any], part: str, name: str) -> Tensor:
    texts = {text for text in map(_text, labels) if text is not None}
    if texts:
        numbered = {text: number for number, text in enumerate(sorted(texts)[:_SHOWN_CLASSES])}
        more = ", ..." if len(texts) > _SHOWN_CLASSES else ""
        raise DataError(
            f"Labels of the {part} set of {name!r} are text; classes have to be numbers from 0. Number them, as "
            f"by {{{str(numbered)[1:-1]}{more}}}[label]."
        )
    rows = []
    for number, label in enumerate(labels):
        row = numbers_of(f"Label of sample {number} of the {part} set of {name!r}", label, LABEL)
        rows.append(row.reshape(()) if row.numel() == 1 else row)
        if rows[-1].shape != rows[0].shape:
            raise DataError(
                f"Labels of the {part} set of {name!r} differ in shape: sample 0 has {tuple(rows[0].shape)} and "
                f"sample {number} {tuple(row.shape)}. Give whole numbers, or one-hot vectors of one length."
            )
    kinds = {row.dtype for row in rows}
    common = torch.float32 if torch.float32 in kinds else torch.int64
    return torch.stack(rows if kinds == {common} else [row.to(common) for row in rows])


def _text(label: object) -> str | None:
    """Return a label that is text."""
    if isinstance(label, np.ndarray) and label.dtype.kind in "US" and label.size == 1:
        label = label.item()
    if isinstance(label, bytes):
        return label.decode(errors="replace")
    return str(label) if isinstance(label, str) else None
