"""Named arrays and a header of JSON values in one file, which holds nothing that could run.

It is an NPZ file whose members are stored as they are, so that its arrays together are never larger than the file:
what claims to be larger is refused before it is read.
"""

import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfl_env.checks import shown
from sfl_env.errors import PolicyError, SFLError
from sfl_env.storage.json_text import parse_json
from sfl_env.storage.npz import read_npz

_HEADER = "header"
"""Name of the array whose bytes are the header's text."""

_LONGEST_HEADER = 1_000_000
"""Bytes."""

_LARGEST_FILE = 8 * 2**30
"""Bytes; the replay buffer of a million transitions of 30 devices has two thirds of it."""


@dataclass(frozen=True)
class Archive:
    """What a file holds.

    Parameters
    ----------
    header : dict
        JSON values.
    arrays : mapping of str to array
        Of numbers or truth values.
    """

    header: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a header and arrays; the same ones give the same bytes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.zip"
    >>> write(path, {"format": 2}, {"weights": np.ones(2)})
    >>> read(path)
    Archive(header={'format': 2}, arrays={'weights': array([1., 1.])})
    """
    text = json.dumps(header, indent=1, allow_nan=False).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {_HEADER: np.frombuffer(text, np.uint8), **arrays}.items():
            # A member without a time of its own is said to be of 1980.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def members(path: Path) -> frozenset[str]:
    """Return the names of what a zip file holds; nothing, if the file is none.

    Examples
    --------
    >>> members(Path("nowhere.zip"))
    frozenset()
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, struct.error, NotImplementedError):
        return frozenset()


def read(path: Path) -> Archive:
    """Read a file that :func:`write` has written, or that claims so.

    Raises
    ------
    PolicyError
        If it is not there, is damaged, or holds what no file of this format does.
    """
    if not path.is_file():
        raise PolicyError(f"{path} is no file; name an agent's.")
    try:
        arrays = read_npz(path, PolicyError, most_bytes=min(path.stat().st_size, _LARGEST_FILE))
        text = arrays.pop(_HEADER)
    except SFLError as error:
        raise damaged(path, error) from error
    except (KeyError, ValueError, OverflowError, struct.error) as error:  # of names and offsets in the zip file
        raise damaged(path, error) from error
    if text.dtype != np.uint8 or text.ndim != 1 or text.size > _LONGEST_HEADER:
        raise damaged(path, f"its header has {text.size} entries of {text.dtype}")
    for name, array in arrays.items():
        if array.dtype.kind not in "bfiu" or not array.dtype.isnative:
            raise damaged(path, f"{shown(name)} holds {array.dtype} instead of numbers")
    return Archive(_header(text, path), arrays)


def _header(text: NDArray[np.uint8], path: Path) -> dict[str, Any]:
    try:
        header = parse_json(text.tobytes().decode(), "its header", PolicyError)
    except (SFLError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    if not isinstance(header, dict):
        raise damaged(path, f"its header is {shown(header)}")
    return header


def damaged(path: Path, reason: object) -> PolicyError:
    """Return the error for a file that is not as it was written."""
    return PolicyError(
        f"{path} is not a whole agent file: {str(reason).rstrip('.')}. Copy it again or train again."
    )
