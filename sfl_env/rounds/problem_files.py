"""Round problems in files: JSON or NumPy's NPZ, with the fields of :class:`sfl_env.RoundProblem`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sfl_env.checks import require_known, shown
from sfl_env.errors import ProblemError
from sfl_env.rounds.curve_files import curve_from_plain, curve_to_plain
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.problem_values import ARRAYS, FIELDS, MAY_BE_INFINITE
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.json_text import parse_json, read_json
from sfl_env.storage.npz import read_npz

_OPTIONAL = ("rician_k", "uplink_curve", "system")
"""What a file may lack: then links do not fade within the round, carry Shannon's bound, and all work at once."""


def read_problem(path: Path | str) -> RoundProblem:
    """Read a problem from a ``.json`` or ``.npz`` file.

    Arrays are those of :class:`sfl_env.RoundProblem`; for a single round the environment axis may be left out.
    In JSON an infinite entry (a cut that does not fit, a downlink that is neglected) is ``null``.

    Parameters
    ----------
    path : path
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
    path = Path(path)
    values = _read(path)
    for name in values:
        require_known(f"field in {path}:", name, FIELDS, ProblemError)
    missing = [name for name in ARRAYS if name not in (*values, *_OPTIONAL)]
    if missing:
        raise ProblemError(f"{path} lacks {', '.join(missing)}.")
    given = {"system": "parallel"} | dict(values)
    if np.ndim(given["fixed_s"]) == 2:
        given |= {name: np.asarray(given[name])[None] for name in ARRAYS if name in given}
    try:
        if "uplink_curve" in given:
            given["uplink_curve"] = curve_from_plain(given["uplink_curve"])
        return RoundProblem(**given)
    except ProblemError as error:
        raise ProblemError(f"{path} holds no problem: {error}") from error


def write_problem(path: Path, problem: RoundProblem) -> None:
    """Write a problem to a ``.json`` or ``.npz`` file that :func:`read_problem` reads.

    Raises
    ------
    ProblemError
        For another ending, or for no rounds at all in JSON, whose empty lists have no shape.
    """
    arrays = {name: getattr(problem, name) for name in ARRAYS}
    curve = curve_to_plain(problem.uplink_curve)
    if path.suffix == ".npz":
        with atomic_output(path) as partial:
            texts = {"system": np.array(problem.system), "uplink_curve": np.array(json.dumps(curve))}
            np.savez_compressed(partial, **arrays, **texts)  # type: ignore[arg-type]  # no array is called allow_pickle
    elif path.suffix == ".json":
        if not problem.shape[0]:
            raise ProblemError(f"{path} cannot hold a problem of no rounds, whose shape JSON loses; take .npz.")
        plain = {name: _finite_lists(array.tolist()) for name, array in arrays.items()}
        text = json.dumps({**plain, "uplink_curve": curve, "system": problem.system}, allow_nan=False)
        with atomic_output(path) as partial:
            partial.write_text(text + "\n", encoding="utf-8")
    else:
        raise ProblemError(f"{path} has to end in .json or .npz.")


def _read(path: Path) -> Mapping[str, Any]:
    if "\0" in str(path):
        raise ProblemError(f"{shown(str(path))} cannot be read: no file is called so.")
    if path.suffix == ".npz":
        stored: dict[str, Any] = read_npz(path, ProblemError)
        texts = {name: str(values) for name, values in stored.items() if values.dtype.kind == "U"}
        if "uplink_curve" in texts:
            texts["uplink_curve"] = parse_json(texts["uplink_curve"], f"uplink_curve in {path}", ProblemError)
        return stored | texts
    if path.suffix != ".json":
        raise ProblemError(f"{path} has to end in .json or .npz.")
    found = read_json(path, ProblemError)
    if not isinstance(found, Mapping):
        raise ProblemError(f"{path} holds no object; it has to have the fields {', '.join(FIELDS)}.")
    return {name: _array(path, name, value) if name in ARRAYS else value for name, value in found.items()}


def _array(path: Path, name: str, value: Any) -> Any:
    """Return what JSON holds as an array, ``null`` being infinite where that has a meaning."""
    for entry in _entries(value):
        if not (type(entry) in (int, float) or (entry is None and name in MAY_BE_INFINITE)):
            wanted = "numbers or null" if name in MAY_BE_INFINITE else "numbers"
            raise ProblemError(f"{name} in {path} holds {json.dumps(entry)[:40]}; it has to hold {wanted}.")
    try:
        return np.asarray(_infinite_lists(value), dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise ProblemError(f"{name} in {path} is no array of numbers: {error}.") from error


def _entries(value: Any) -> Iterator[Any]:
    """All that is no list, in lists within lists."""
    if isinstance(value, list):
        for entry in value:
            yield from _entries(entry)
    else:
        yield value


def _infinite_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_infinite_lists(entry) for entry in value]
    return np.inf if value is None else value


def _finite_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_lists(entry) for entry in value]
    return value if np.isfinite(value) else None
