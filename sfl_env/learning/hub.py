"""Picture data sets of the Hugging Face hub: from a stored copy, or downloaded."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sfl_env.checks import shown
from sfl_env.errors import DataError

DATA_DIRECTORY_VARIABLE = "SFL_DATA_DIR"
"""Environment variable: a folder with one folder for each stored data set, named as in :data:`SOURCES`."""


@dataclass(frozen=True)
class _HubSource:
    """Where a data set lies on the Hugging Face hub and how its columns are called."""

    repository: str
    image: str
    label: str
    num_classes: int


SOURCES = {
    "mnist": _HubSource("ylecun/mnist", "image", "label", 10),
    "fashion-mnist": _HubSource("zalando-datasets/fashion_mnist", "image", "label", 10),
    "cifar10": _HubSource("uoft-cs/cifar10", "img", "label", 10),
    "cifar100": _HubSource("uoft-cs/cifar100", "img", "fine_label", 100),
}
"""Data sets by name."""


def read(name: str, path: str | os.PathLike[str] | None) -> dict[str, tuple[Tensor, Tensor]]:
    """Return pixels and labels of the splits ``train`` and ``test``.

    Parameters
    ----------
    name : str
        One of :data:`SOURCES`.
    path : path, optional
        Folder of a stored copy; see :func:`sfl_env.learning.data.load`.

    Raises
    ------
    DataError
        If the data set is not there or is another one.
    """
    source = SOURCES[name]
    splits = _stored_or_downloaded(name, source, path)
    parts: dict[str, tuple[Tensor, Tensor]] = {}
    for part in ("train", "test"):
        if part not in splits:
            raise DataError(f"The stored {name!r} has no {part!r} split; it has: {', '.join(splits)}.")
        parts[part] = _images_and_labels(name, source, splits[part])
    return parts


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
    try:
        images = np.stack([np.asarray(image) for image in split[source.image]])
        labels = np.asarray(split[source.label], dtype=np.int64)
    except Exception as error:  # a picture's file that cannot be decoded, sizes that differ, labels that are none
        raise DataError(
            f"The stored {name!r} does not hold pictures of one size and a whole number for each: {shown(error)}. "
            "Store it afresh."
        ) from error
    channels_last = images[..., None] if images.ndim == 3 else images
    return torch.as_tensor(channels_last).permute(0, 3, 1, 2).contiguous().float(), torch.as_tensor(labels)
