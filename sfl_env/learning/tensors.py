"""What a data set's tensors hold: features that a network can take, and the numbers of classes."""

import torch
from torch import Tensor

from sfl_env.checks import shown
from sfl_env.errors import DataError

_COMPUTED_WITH = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Floating-point types that torch computes with; in narrower ones, numbers are only stored."""

_PICTURES_AND_MASKS = (torch.uint8, torch.bool)


def features_of(where: str, value: object) -> Tensor:
    """Return features as a network takes them, one sample a row.

    Floating-point numbers stay as they are, ``uint8`` (pictures) and ``bool`` (masks) become float32, all other
    integers (token numbers) become int64. What is so already is not copied.

    Parameters
    ----------
    where : str
        What holds them, such as ``"train_features of 'toy'"``.
    value : object
        What the user gave.

    Raises
    ------
    DataError
        If it is no tensor of real, finite numbers.

    Examples
    --------
    >>> features_of("train_features of 'toy'", torch.zeros(2, 3, dtype=torch.int32)).dtype
    torch.int64
    >>> features_of("train_features of 'toy'", torch.tensor([[1.0], [float("nan")]]))
    Traceback (most recent call last):
    ...
    sfl_env.errors.DataError: train_features of 'toy' hold nan in sample 1; all numbers have to be finite as
    torch.float32, whose largest is 3.4e+38. Mend that sample or leave it out.
    """
    tensor = _dense(where, value)
    if not tensor.is_floating_point() and tensor.dtype not in _PICTURES_AND_MASKS:
        return _as_int64(where, tensor)
    numbers = tensor if tensor.dtype in _COMPUTED_WITH else tensor.float()
    _require_finite(where, numbers)
    return numbers


def classes_of(where: str, value: object, num_classes: int | None = None) -> Tensor:
    """Return (M,) int64, the number of each sample's class.

    Parameters
    ----------
    where : str
        What holds them, such as ``"train_labels of 'toy'"``.
    value : object
        What the user gave: (M,) or (M, 1) whole numbers of any type, or (M, C) rows with a single 1 (one-hot).
    num_classes : int, optional
        C, where it is known.

    Raises
    ------
    DataError
        If it is nothing of that, or a class is out of range.

    Examples
    --------
    >>> classes_of("train_labels of 'toy'", torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    tensor([1, 0])
    >>> classes_of("train_labels of 'toy'", torch.tensor([0.0, 0.5]))
    Traceback (most recent call last):
    ...
    sfl_env.errors.DataError: train_labels of 'toy' hold 0.5 in sample 1; a label has to be the number of a class,
    a whole number from 0. Other targets (regression, mixed labels) are not learned here.
    """
    labels = _dense(where, value)
    if labels.ndim > 1 and len(labels) and labels[0].numel() == 1:
        labels = labels.reshape(len(labels))
    if labels.ndim > 1:
        labels = _of_one_hot(where, labels, num_classes)
    if labels.is_floating_point():
        _require_whole(where, labels)
    _require_in_range(where, labels, num_classes)
    return _as_int64(where, labels)


def _dense(where: str, value: object) -> Tensor:
    """Return a user's tensor, if it holds one sample a row, without what autograd knows of it."""
    if not isinstance(value, Tensor):
        raise DataError(
            f"{where} are {shown(value)}, of type {type(value).__name__}; they have to be a tensor, one sample a "
            "row. torch.as_tensor makes one of an array of numbers, or of a list of equally long ones."
        )
    if value.layout != torch.strided or value.is_nested or value.is_quantized or value.is_meta:
        raise DataError(
            f"{where} are a sparse, nested, quantized or meta tensor ({value.layout}, {value.dtype}); they have "
            "to be an ordinary one: try to_dense(), to_padded_tensor() or dequantize()."
        )
    if value.ndim == 0:
        raise DataError(f"{where} are a single number; they have to be a tensor with one sample a row.")
    if value.is_complex():
        raise DataError(
            f"{where} are complex ({value.dtype}); networks train on real numbers here: torch.view_as_real turns "
            "each into two."
        )
    plain = value.detach().as_subclass(Tensor)
    # Autograd refuses what was made in inference mode.
    return plain.clone() if plain.is_inference() else plain


def _as_int64(where: str, tensor: Tensor) -> Tensor:
    whole = tensor.to(torch.int64)
    if tensor.dtype == torch.uint64 and bool((whole < 0).any()):
        raise DataError(f"{where} hold whole numbers of 2^63 and more, with which torch does not compute.")
    return whole


def _require_finite(where: str, numbers: Tensor) -> None:
    if numbers.numel() == 0 or all(bool(end.isfinite()) for end in numbers.aminmax()):
        return
    sample = next(i for i, row in enumerate(numbers) if not bool(row.isfinite().all()))
    row = numbers[sample].flatten()
    raise DataError(
        f"{where} hold {row[~row.isfinite()][0].item()} in sample {sample}; all numbers have to be finite as "
        f"{numbers.dtype}, whose largest is {torch.finfo(numbers.dtype).max:.2g}. Mend that sample or leave it "
        "out."
    )


def _of_one_hot(where: str, rows: Tensor, num_classes: int | None) -> Tensor:
    if rows.ndim > 2:
        raise DataError(
            f"{where} have shape {tuple(rows.shape)}; a sample has to have one class, not one for each pixel or "
            f"token: shape ({len(rows)},), or ({len(rows)}, classes) as one-hot rows."
        )
    if num_classes is not None and rows.shape[1] != num_classes:
        raise DataError(
            f"{where} have shape {tuple(rows.shape)}, which are one-hot rows of {rows.shape[1]} classes; there "
            f"are {num_classes} classes. Give num_classes={rows.shape[1]}, or rows of {num_classes} entries."
        )
    is_one = rows == 1
    wrong = (((rows != 0) & ~is_one).any(dim=1) | (is_one.sum(dim=1) != 1)).nonzero()
    if len(wrong):
        sample = int(wrong[0])
        row = [float(f"{x:.6g}") for x in rows[sample].tolist()]
        raise DataError(
            f"{where} hold {shown(row)} in sample {sample}; a one-hot row has a single 1 and is 0 elsewhere. "
            "Several classes a sample are not learned here; of probabilities, labels.argmax(dim=1) "
            "takes the likeliest class."
        )
    return is_one.to(torch.uint8).argmax(dim=1)


def _require_whole(where: str, labels: Tensor) -> None:
    numbers = labels.double()
    wrong = (~numbers.isfinite() | (numbers != numbers.floor())).nonzero()
    if len(wrong):
        sample = int(wrong[0])
        raise DataError(
            f"{where} hold {numbers[sample].item():.7g} in sample {sample}; a label has to be the number of a "
            "class, a whole number from 0. Other targets (regression, mixed labels) are not learned here."
        )


def _require_in_range(where: str, labels: Tensor, num_classes: int | None) -> None:
    if len(labels) == 0:
        return
    # As doubles: no integer type holds all others.
    low, high = (int(end) for end in labels.double().aminmax())
    if low >= 0 and high < (2**53 if num_classes is None else num_classes):
        return
    allowed = "whole numbers from 0" if num_classes is None else f"from 0 to {num_classes - 1}"
    from_one = low == 1 and high == num_classes
    mend = (
        "Classes are counted from 0: subtract 1." if from_one else "Number the classes from 0, one after another."
    )
    raise DataError(f"{where} run from {low} to {high}; they have to be {allowed}. {mend}")
