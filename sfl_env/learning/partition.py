"""How the training samples are spread over the devices.

The four schemes here are a few lines each. ``flwr-datasets`` offers them too, but it brings the Hugging Face
stack and its own download logic into every installation, and it draws from a seed rather than from a
generator that is handed in; so the schemes live here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sfl_env.checks import look_up, require_positive, require_whole, shown
from sfl_env.errors import DataError

Labels = NDArray[np.int64]

_DRAWS_AT_A_TIME = 64
_MOST_DRAWS = 64 * _DRAWS_AT_A_TIME


@dataclass(frozen=True)
class Partition:
    """Which training samples each device holds.

    Parameters
    ----------
    indices : tuple of K integer arrays
        Sample numbers of each device; no sample is held twice.

    Raises
    ------
    DataError
        If a device has no samples, holds what are no sample numbers, or holds one that is held already.

    Examples
    --------
    >>> partition = Partition((np.array([0, 1, 2]), np.array([3])))
    >>> partition.label_histogram(np.array([0, 0, 1, 1]), num_classes=2)
    array([[2, 1],
           [0, 1]])
    """

    indices: tuple[NDArray[np.int64], ...]

    def __post_init__(self) -> None:
        if not self.indices:
            raise DataError("A partition needs at least one device.")
        for device, held in enumerate(self.indices):
            if not (isinstance(held, np.ndarray) and held.ndim == 1 and held.dtype.kind in "iu"):
                raise DataError(
                    f"indices of device {device} are {shown(held)}; they have to be an array of sample numbers."
                )
            if len(held) == 0:
                raise DataError(
                    f"Device {device} of {len(self.indices)} has no samples. Take fewer devices, a milder "
                    "skew or more data."
                )
            if held.min() < 0:
                raise DataError(f"Device {device} holds sample {held.min()}; samples are numbered from 0.")
        samples, times = np.unique(np.concatenate(self.indices), return_counts=True)
        if times.max() > 1:
            raise DataError(f"Sample {samples[times.argmax()]} is held {times.max()} times; once is right.")

    @property
    def num_devices(self) -> int:
        """K, the number of devices."""
        return len(self.indices)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(K,): samples of each device."""
        return np.array([len(held) for held in self.indices], dtype=np.int64)

    def label_histogram(self, labels: Labels, num_classes: int) -> NDArray[np.int64]:
        """(K, classes): how many samples of each class each device holds."""
        return np.stack([np.bincount(labels[held], minlength=num_classes) for held in self.indices])


Partitioner = Callable[[Labels, np.random.Generator], Partition]
"""Draws a partition of the samples with these labels."""


def iid(labels: Labels, rng: np.random.Generator, *, num_devices: int) -> Partition:
    """Spread the samples at random, equally many to each device (to within one).

    Parameters
    ----------
    labels : (M,) integer array
        Class of every training sample.
    rng : numpy.random.Generator
        Source of randomness.
    num_devices : int
        K. One device is the centralised run.

    Examples
    --------
    >>> iid(np.zeros(10, dtype=int), np.random.default_rng(0), num_devices=4).sizes
    array([3, 3, 2, 2])
    """
    _check_devices(num_devices, len(labels))
    return Partition(tuple(np.array_split(rng.permutation(len(labels)), num_devices)))


def dirichlet(
    labels: Labels,
    rng: np.random.Generator,
    *,
    num_devices: int,
    concentration: float,
    min_samples: int = 1,
) -> Partition:
    """Give each class to the devices in proportions drawn from a symmetric Dirichlet distribution.

    The usual label-skew benchmark (Yurochkin et al., 2019; NIID-Bench, Li et al., 2022): the smaller the
    concentration, the fewer classes a device sees. Proportions are drawn again until each device has
    ``min_samples``.

    Parameters
    ----------
    labels, rng, num_devices
        As in :func:`iid`.
    concentration : float
        Above 0; 0.1 is strongly skewed, 100 nearly IID.
    min_samples : int
        Fewest samples that a device may end with, at least 1; a mini-batch has to fit.

    Raises
    ------
    DataError
        If no draw gives each device ``min_samples``.

    Examples
    --------
    >>> labels = np.repeat(np.arange(10), 100)
    >>> skewed = dirichlet(labels, np.random.default_rng(0), num_devices=5, concentration=0.1, min_samples=9)
    >>> int(skewed.sizes.sum()), bool(skewed.sizes.min() >= 9)
    (1000, True)
    """
    require_whole("min_samples", min_samples, 1, error=DataError)
    _check_devices(num_devices, len(labels), min_samples)
    require_positive("concentration", concentration, DataError)
    classes, counts = np.unique(labels, return_counts=True)
    for _ in range(_MOST_DRAWS // _DRAWS_AT_A_TIME):
        shares = _dirichlet_shares(rng, concentration, (_DRAWS_AT_A_TIME, len(classes)), num_devices)
        edges = _edges(shares, counts[:, None])  # (draws, classes, K + 1)
        smallest = np.diff(edges).sum(axis=1).min(axis=-1)
        if (smallest >= min_samples).any():
            chosen = edges[int(np.argmax(smallest >= min_samples))]
            break
    else:
        raise DataError(
            f"{_MOST_DRAWS} draws of Dirichlet({concentration:g}) left a device with fewer than {min_samples} "
            f"of {len(labels)} samples over {num_devices} devices. Take a larger concentration, fewer devices "
            "or a smaller batch."
        )
    held: list[list[NDArray[np.int64]]] = [[] for _ in range(num_devices)]
    for label, row in zip(classes, chosen, strict=True):
        for device, part in enumerate(np.split(rng.permutation(np.flatnonzero(labels == label)), row[1:-1])):
            held[device].append(part)
    return Partition(tuple(np.concatenate(parts) for parts in held))


def shards(labels: Labels, rng: np.random.Generator, *, num_devices: int, shards_per_device: int = 2) -> Partition:
    """Sort the samples by label, cut them into equal shards and deal the shards out.

    The pathological split of McMahan et al. (2017): with two shards most devices see two classes.

    Parameters
    ----------
    labels, rng, num_devices
        As in :func:`iid`.
    shards_per_device : int
        Shards that each device gets.

    Examples
    --------
    >>> labels = np.repeat(np.arange(10), 20)
    >>> split = shards(labels, np.random.default_rng(0), num_devices=10)
    >>> int((split.label_histogram(labels, 10) > 0).sum(axis=1).max())
    2
    """
    require_whole("shards_per_device", shards_per_device, 1, error=DataError)
    _check_devices(num_devices, len(labels), shards_per_device)
    # The order within a class is random, so that a shard is a random part of its class.
    shuffled = rng.permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    pieces = np.array_split(by_label, num_devices * shards_per_device)
    dealt = rng.permutation(len(pieces)).reshape(num_devices, shards_per_device)
    return Partition(tuple(np.concatenate([pieces[i] for i in row]) for row in dealt))


def quantity_skew(
    labels: Labels,
    rng: np.random.Generator,
    *,
    num_devices: int,
    concentration: float,
    min_samples: int = 1,
) -> Partition:
    """Spread the samples at random, in amounts drawn from a symmetric Dirichlet distribution.

    Every device has ``min_samples``; the rest is shared out in the drawn proportions. The classes stay
    as mixed as in :func:`iid`.

    Parameters
    ----------
    labels, rng, num_devices, concentration, min_samples
        As in :func:`dirichlet`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> split = quantity_skew(np.zeros(100, dtype=int), rng, num_devices=3, concentration=0.5, min_samples=10)
    >>> int(split.sizes.sum()), bool(split.sizes.min() >= 10)
    (100, True)
    """
    require_whole("min_samples", min_samples, 1, error=DataError)
    _check_devices(num_devices, len(labels), min_samples)
    require_positive("concentration", concentration, DataError)
    shares = _dirichlet_shares(rng, concentration, (), num_devices)
    spare = len(labels) - num_devices * min_samples
    edges = _edges(shares, np.array(spare)) + min_samples * np.arange(num_devices + 1)
    return Partition(tuple(np.split(rng.permutation(len(labels)), edges[1:-1])))


_SCHEMES: dict[str, tuple[Callable[..., Partition], frozenset[str]]] = {
    "iid": (iid, frozenset()),
    "dirichlet": (dirichlet, frozenset({"concentration", "min_samples"})),
    "shards": (shards, frozenset({"shards_per_device"})),
    "quantity-skew": (quantity_skew, frozenset({"concentration", "min_samples"})),
}


def scheme(name: str, num_devices: int, **options: float) -> Partitioner:
    """Choose a scheme by name.

    Parameters
    ----------
    name : str
        ``iid``, ``dirichlet`` (``concentration``, ``min_samples``), ``shards`` (``shards_per_device``) or
        ``quantity-skew`` (``concentration``, ``min_samples``).
    num_devices : int
        K.
    **options
        The scheme's own options; those of the others are left out, so that one set of scenario fields
        serves every scheme.

    Raises
    ------
    DataError
        If there is no scheme of that name.

    Examples
    --------
    >>> draw = scheme("shards", 4, shards_per_device=1)
    >>> draw(np.arange(8), np.random.default_rng(0)).num_devices
    4
    >>> scheme("dirichelt", 4)
    Traceback (most recent call last):
        ...
    sfl_env.errors.DataError: Unknown partition scheme 'dirichelt' (did you mean 'dirichlet'?); known are iid, ...
    """
    draw, known = look_up("partition scheme", name, _SCHEMES, DataError)
    return partial(draw, num_devices=num_devices, **{k: v for k, v in options.items() if k in known})


def _dirichlet_shares(
    rng: np.random.Generator, concentration: float, shape: tuple[int, ...], num_devices: int
) -> NDArray[np.float64]:
    return rng.dirichlet(np.full(num_devices, concentration), size=shape)


def _edges(shares: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where to cut ``count`` samples so that the K parts follow the shares, (..., K + 1)."""
    edges = np.zeros((*shares.shape[:-1], shares.shape[-1] + 1), dtype=np.int64)
    edges[..., 1:-1] = np.rint(np.cumsum(shares[..., :-1], axis=-1) * count)
    edges[..., -1:] = count
    return edges


def _check_devices(num_devices: int, num_samples: int, each: int = 1) -> None:
    require_whole("num_devices", num_devices, 1, error=DataError)
    if num_devices * each > num_samples:
        raise DataError(
            f"{num_samples} samples cannot give {num_devices} devices {each} each; take fewer devices or more "
            "data."
        )
