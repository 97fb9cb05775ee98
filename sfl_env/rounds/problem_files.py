"""Round problems in files: JSON or NumPy's NPZ, with the fields of :class:`sfl_env.RoundProblem`."""

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfl_env import RoundProblem
from sfl_env.arrays import Array
from sfl_env.checks import nearest_name
from sfl_env.errors import ProblemError
from sfl_env.storage.atomic import atomic_output

FIELDS = tuple(item.name for item in dataclasses.fields(RoundProblem))


def read_problem(path: Path) -> RoundProblem:
    """Read a problem from a ``.json`` or ``.npz`` file.

    Arrays are those of :class:`sfl_env.RoundProblem`; for a single round the environment axis may be left out.
    In JSON an infinite entry (a cut that does not fit, a downlink that is neglected) is ``null``.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    ProblemError
        If the file is not there, broken, lacks fields or has others, or its arrays are no problem.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "problem.json"
    >>> _ = path.write_text(
    ...     '{"fixed_s": [[1.0, null]], "uplink_bits": [[1e6, 0]], "downlink_bits": [[0, 0]],'
    ...     ' "uplink_snr_hz": [3e6], "downlink_full_rate_bps": [null], "uplink_bandwidth_hz": 1e6}'
    ... )
    >>> read_problem(path).shape
    (1, 1, 2)
    """
    try:
        values = _read(path)
    except OSError as error:
        raise ProblemError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ProblemError):
            raise
        raise ProblemError(f"{path} is not a whole JSON or NPZ file: {error}.") from error
    if not isinstance(values, Mapping):
        raise ProblemError(f"{path} holds no object; it has to have the fields {', '.join(FIELDS)}.")
    for name in values:
        if name not in FIELDS:
            raise ProblemError(f"{path} has an unknown field {name!r}{nearest_name(name, FIELDS)}.")
    missing = [name for name in FIELDS if name not in values]
    if missing:
        raise ProblemError(f"{path} lacks {', '.join(missing)}.")
    arrays = {name: _array(path, name, values[name]) for name in FIELDS}
    if arrays["fixed_s"].ndim == 2:
        arrays = {name: array[None] for name, array in arrays.items()}
    return RoundProblem(**arrays)


def write_problem(path: Path, problem: RoundProblem) -> None:
    """Write a problem to a ``.json`` or ``.npz`` file that :func:`read_problem` reads.

    Raises
    ------
    ProblemError
        For another ending.
    """
    arrays = {name: getattr(problem, name) for name in FIELDS}
    if path.suffix == ".npz":
        with atomic_output(path) as partial:
            np.savez_compressed(partial, **arrays)
    elif path.suffix == ".json":
        text = json.dumps({name: _finite_lists(array.tolist()) for name, array in arrays.items()}, allow_nan=False)
        with atomic_output(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    else:
        raise ProblemError(f"{path} has to end in .json or .npz.")


def _read(path: Path) -> Any:
    if path.suffix == ".npz":
        with path.open("rb") as file, np.load(file) as stored:
            return dict(stored)
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    raise ProblemError(f"{path} has to end in .json or .npz.")


def _array(path: Path, name: str, value: Any) -> Array:
    try:
        return np.asarray(_infinite_lists(value), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"{name} in {path} is no array of numbers: {error}.") from error


def _infinite_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_infinite_lists(entry) for entry in value]
    return np.inf if value is None else value


def _finite_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_lists(entry) for entry in value]
    return value if np.isfinite(value) else None
