"""What each cut of a network costs, as a validated value that is stored as JSON."""

import json
import math
import numbers
import os
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from sfl_env.arrays import Array
from sfl_env.checks import nearest_name, shown
from sfl_env.dnn.contradictions import Contradictions
from sfl_env.errors import ProfileError
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.json_text import read_json

_SCHEMA = "sfl-env/dnn-profile/2"
"""Names the layout of a stored profile; a file of another layout is refused."""

_FIRST_SCHEMA = "sfl-env/dnn-profile/1"
"""The layout before there were the fields that may be left out; read, and no longer written."""

MOST_BYTES = 2**24
"""The largest file that is read as a profile; one of ten thousand cuts has a tenth of it."""

_MOST_INPUT_AXES = 16
"""Axes of a sample; torch itself stops at 64."""

MOST_INPUT_ELEMENTS = 10**9
"""Elements of a sample; far above any that is used, and far below what overflows when a network widens it."""

_LEFT_OUT: Any = None
"""What an array is until the profile is made, where the user gives none."""


@dataclass(frozen=True, eq=False)
class DNNProfile:
    """What training costs at each of a network's C cuts; the last cut keeps the whole network on the device.

    A mini-batch of n samples costs its FLOPs per batch and n times those per sample. One multiply-accumulate
    counts as 2 FLOPs; work other than matrix products and convolutions (activations, normalisation, pooling)
    counts as none.

    Parameters
    ----------
    name : str
        What the network is called.
    input_shape : tuple of int
        Shape of one sample, without the batch.
    cut_names : tuple of str
        For each cut, the last block that stays on the device.
    device_forward_flops, device_backward_flops : (C,) array
        FLOPs per sample on the device; no gradient of the raw input is computed.
    server_forward_flops, server_backward_flops : (C,) array
        FLOPs per sample on the server; the backward pass includes the gradient of the smashed data.
    smashed_elements : (C,) array
        Elements of one sample's activation at the cut; 0 at the last.
    device_parameters, device_buffers : (C,) array
        Scalars that the device side holds: parameters, and others such as running statistics.
    device_activation_elements : (C,) array
        Elements per sample that the device keeps for its backward pass, views and parameters left out.
    device_forward_flops_per_batch, device_backward_flops_per_batch : (C,) array, optional
        FLOPs on the device that a mini-batch costs whatever its size, such as those of a product of two weights;
        by default 0.
    server_forward_flops_per_batch, server_backward_flops_per_batch : (C,) array, optional
        The same on the server.
    smashed_gradient_elements : (C,) array, optional
        Elements of one sample's gradient that comes back at the cut: ``smashed_elements``, as by default, or 0
        where no gradient is wanted since the device side trains nothing.
    device_frozen_parameters : (C,) array, optional
        Those of ``device_parameters`` that do not train; by default 0.
    device_constant_buffers : (C,) array, optional
        Those of ``device_buffers`` that training leaves as they are, such as masks and tables of positions; by
        default 0.

    Raises
    ------
    ProfileError
        If lengths differ, a number is negative or not finite, or the numbers contradict each other (totals
        that change with the cut, a device side that shrinks as the cut gets deeper, a last cut that still
        sends, more frozen parameters than there are).

    Examples
    --------
    A network of two layers, 300 and 100 FLOPs; between them 5 elements are sent.

    >>> profile = DNNProfile(
    ...     name="toy",
    ...     input_shape=(30,),
    ...     cut_names=("first", "second"),
    ...     device_forward_flops=[300, 400],
    ...     device_backward_flops=[300, 500],
    ...     server_forward_flops=[100, 0],
    ...     server_backward_flops=[200, 0],
    ...     smashed_elements=[5, 0],
    ...     device_parameters=[150, 200],
    ...     device_buffers=[0, 0],
    ...     device_activation_elements=[30, 35],
    ... )
    >>> profile.num_cuts
    2

    What is left out has its default.

    >>> profile.smashed_gradient_elements.tolist(), profile.device_frozen_parameters.tolist()
    ([5.0, 0.0], [0.0, 0.0])
    """

    name: str
    input_shape: tuple[int, ...]
    cut_names: tuple[str, ...]  # (C,)
    device_forward_flops: Array  # (C,)
    device_backward_flops: Array  # (C,)
    server_forward_flops: Array  # (C,)
    server_backward_flops: Array  # (C,)
    smashed_elements: Array  # (C,)
    device_parameters: Array  # (C,)
    device_buffers: Array  # (C,)
    device_activation_elements: Array  # (C,)
    _: KW_ONLY
    device_forward_flops_per_batch: Array = _LEFT_OUT  # (C,)
    device_backward_flops_per_batch: Array = _LEFT_OUT  # (C,)
    server_forward_flops_per_batch: Array = _LEFT_OUT  # (C,)
    server_backward_flops_per_batch: Array = _LEFT_OUT  # (C,)
    smashed_gradient_elements: Array = _LEFT_OUT  # (C,)
    device_frozen_parameters: Array = _LEFT_OUT  # (C,)
    device_constant_buffers: Array = _LEFT_OUT  # (C,)

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "input_shape", checked_shape(self.input_shape))
        object.__setattr__(self, "cut_names", _checked_cut_names(self.cut_names))
        for name in _ARRAY_FIELDS:
            given = getattr(self, name)
            if given is _LEFT_OUT and name in _LATER_FIELDS:
                given = self._default(name)
            object.__setattr__(self, name, _checked_array(name, given, self.cut_names))
        Contradictions(self.cut_names, {name: getattr(self, name) for name in _ARRAY_FIELDS}).require_none()

    def _default(self, name: str) -> Array:
        return self.smashed_elements if name == "smashed_gradient_elements" else np.zeros(self.num_cuts)

    @property
    def num_cuts(self) -> int:
        """C, the number of cuts, the whole network on the device included."""
        return len(self.cut_names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DNNProfile) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.input_shape, self.cut_names))

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`to_json` writes, as plain lists and numbers."""
        values: dict[str, Any] = {
            "schema": _SCHEMA,
            "name": self.name,
            "input_shape": list(self.input_shape),
            "cut_names": list(self.cut_names),
        }
        for name in _ARRAY_FIELDS:
            values[name] = [int(x) if x.is_integer() else x for x in getattr(self, name).tolist()]
        return values

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the profile to a file, whole or not at all.

        Parameters
        ----------
        path : str or path
            The file; its folder has to be there. An existing file is replaced.

        Raises
        ------
        ProfileError
            If the file cannot be written.
        """
        target = Path(path)
        rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in self.to_dict().items()]
        text = "{\n" + ",\n".join(rows) + "\n}\n"
        try:
            with atomic_output(target) as partial:
                partial.write_text(text, encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ProfileError(f"The profile cannot be written to {target}: {why}.") from error

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Self:
        """Read a profile that :meth:`to_json` wrote, or that of an earlier release.

        What an earlier release did not know of has its default.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        ProfileError
            If the file cannot be read, is too large, cut short or no JSON, names a key twice, has another schema,
            lacks a key or has one too many, or holds impossible values; the message names the file, the field and
            the mend.
        """
        source = Path(path)
        if "\0" in str(source):
            raise ProfileError(f"The profile {shown(str(source))} cannot be read: no file is called so.")
        try:
            content = read_json(source, ProfileError, most_bytes=MOST_BYTES)
        except ProfileError as error:
            raise ProfileError(f"The profile {error} Name another, or profile the network again.") from error
        try:
            return cls(**_fields_of(content))
        except ProfileError as error:
            raise ProfileError(f"The profile {source} is broken: {error}") from error


_ARRAY_FIELDS = tuple(each.name for each in fields(DNNProfile) if each.type == Array)
"""The fields that hold one number for each cut."""

_LATER_FIELDS = tuple(each.name for each in fields(DNNProfile) if each.kw_only)
"""The fields that may be left out: those that the first schema does not have."""


def _fields_of(content: object) -> dict[str, Any]:
    """Return a stored profile's fields, after checking its schema and keys."""
    if not isinstance(content, dict):
        raise ProfileError("the file holds no JSON object; it has to be one with the fields of a DNNProfile.")
    schema = content.get("schema")
    if schema not in (_SCHEMA, _FIRST_SCHEMA):
        raise ProfileError(
            f"schema is {shown(schema)}; it has to be {_SCHEMA!r}, or {_FIRST_SCHEMA!r} as earlier releases wrote "
            "it. Profile the network again."
        )
    later = () if schema == _SCHEMA else _LATER_FIELDS
    known = [each.name for each in fields(DNNProfile) if each.name not in later]
    for key in known:
        if key not in content:
            raise ProfileError(f"the field {key!r} is missing. Profile the network again.")
        if key in _LATER_FIELDS and content[key] is None:  # which would stand for a field that is left out
            raise ProfileError(f"{key} is null; it has to hold one number for each cut.")
    for key in content:
        if key in later:
            raise ProfileError(f"the schema {schema!r} has no field {key!r}. Profile the network again.")
        if key != "schema" and key not in known:
            raise ProfileError(f"the field {shown(key)} is unknown{nearest_name(key, known)}. Remove it.")
    return {key: content[key] for key in known}


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise ProfileError(f"name is {shown(name)}; it has to be a text that is not empty.")


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return the shape of one sample as plain integers, after checking that it is one.

    Raises
    ------
    ProfileError
        If it is no list of whole numbers of at least 1, has more than :data:`_MOST_INPUT_AXES` of them, or stands
        for more than :data:`MOST_INPUT_ELEMENTS` elements.
    """
    sizes = tuple(shape) if isinstance(shape, list | tuple) else ()
    if not 0 < len(sizes) <= _MOST_INPUT_AXES or not all(_is_size(size) for size in sizes):
        raise ProfileError(
            f"input_shape is {shown(shape)}; it has to be 1 to {_MOST_INPUT_AXES} whole numbers of at least 1, "
            "such as (3, 32, 32)."
        )
    sizes = tuple(int(size) for size in sizes)
    if math.prod(sizes) > MOST_INPUT_ELEMENTS:
        raise ProfileError(
            f"input_shape is {shown(shape)}; a sample has at most {MOST_INPUT_ELEMENTS:,} elements together."
        )
    return sizes


def _is_size(size: object) -> bool:
    return isinstance(size, int | np.integer) and not isinstance(size, bool) and bool(size >= 1)


def _checked_cut_names(names: object) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not names:
        raise ProfileError(f"cut_names is {shown(names)}; it has to list the name of at least one cut.")
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise ProfileError(f"cut_names[{index}] is {shown(name)}; it has to be a text that is not empty.")
        if name in seen:
            raise ProfileError(f"cut_names[{index}] is {shown(name)}, which is there before; give each its own.")
        seen.add(name)
    return tuple(names)


def _checked_array(field: str, given: ArrayLike, cut_names: tuple[str, ...]) -> Array:
    """Return a read-only copy with one finite number of at least 0 for each cut."""
    values = _numbers(field, given)
    if values.shape != (len(cut_names),):
        raise ProfileError(
            f"{field} has shape {values.shape}; beside {len(cut_names)} cut_names it has to be "
            f"({len(cut_names)},)."
        )
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        index = int(np.argmax(bad))
        raise ProfileError(
            f"{field}[{index}] (cut {shown(cut_names[index])}) is {values[index]}; it has to be a finite number "
            "of at least 0."
        )
    values.setflags(write=False)
    return values


def _numbers(field: str, given: ArrayLike) -> Array:
    """Return numbers as an array of its own; texts and truth values are none, though NumPy would read them."""
    if isinstance(given, list | tuple):
        for index, entry in enumerate(given):
            if isinstance(entry, bool) or not isinstance(entry, numbers.Real):
                raise ProfileError(f"{field}[{index}] is {shown(entry)}; it has to be a number.")
    elif np.asarray(given).dtype.kind not in "iuf":
        raise ProfileError(f"{field} holds something other than numbers; give one number a cut.")
    try:
        return np.array(given, dtype=np.float64)
    except OverflowError as error:
        raise ProfileError(f"{field} holds a number that is too large to be one of work or size.") from error
