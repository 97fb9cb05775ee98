"""Round problems in files: JSON or NumPy's NPZ, with the fields of :class:`sfl_env.RoundProblem`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sfl_env.checks import nearest_name
from sfl_env.errors import ProblemError
from sfl_env.rounds.given import as_numbers
from sfl_env.rounds.problem import ARRAYS, RoundProblem
from sfl_env.rounds.system import System
from sfl_env.storage.atomic import atomic_output
from sfl_env.storage.json_text import read_json
from sfl_env.storage.npz import read_npz

FIELDS = tuple(item.name for item in dataclasses.fields(RoundProblem))


def read_problem(path: Path) -> RoundProblem:
    """Read a problem from a ``.json`` or ``.npz`` file.

    Arrays are those of :class:`sfl_env.RoundProblem`; for a single round the environment axis may be left out.
    In JSON an infinite entry (a cut that does not fit, a downlink that is neglected) is ``null``. ``system`` may
    be left out where devices work side by side.

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Raises
    ------
    ProblemError
        If the file is not there, broken, larger than a problem's files may be, lacks fields or has others, or if
        its arrays are no problem.

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
    if path.suffix == ".npz":
        values: Any = read_npz(path, ProblemError)
    elif path.suffix == ".json":
        values = read_json(path, ProblemError)
    else:
        raise ProblemError(f"{path} has to end in .json or .npz.")
    if not isinstance(values, Mapping):
        raise ProblemError(f"{path} holds no object; it has to have the fields {', '.join(FIELDS)}.")
    for name in values:
        if name not in FIELDS:
            raise ProblemError(f"{path} has an unknown field {name!r}{nearest_name(name, FIELDS)}.")
    missing = [name for name in ARRAYS if name not in values]
    if missing:
        raise ProblemError(f"{path} lacks {', '.join(missing)}.")
    arrays = {name: _array(path, name, values[name]) for name in ARRAYS}
    if arrays["fixed_s"].ndim == 2:
        arrays = {name: array[None] for name, array in arrays.items()}
    return RoundProblem(**arrays, system=_system(path, values.get("system", "parallel")))


def write_problem(path: Path, problem: RoundProblem) -> None:
    """Write a problem to a ``.json`` or ``.npz`` file that :func:`read_problem` reads.

    Raises
    ------
    ProblemError
        For another ending, or for no rounds at all in JSON, whose empty lists have no shape.
    """
    path = Path(path)
    arrays = {name: getattr(problem, name) for name in ARRAYS}
    if path.suffix == ".npz":
        with atomic_output(path) as partial:
            np.savez_compressed(partial, **arrays, system=np.array(problem.system))
    elif path.suffix == ".json":
        if not problem.shape[0]:
            raise ProblemError(f"{path} cannot hold a problem of no rounds, whose shape JSON loses; take .npz.")
        lists = {name: _finite_lists(array.tolist()) for name, array in arrays.items()}
        with atomic_output(path) as partial:
            text = json.dumps({**lists, "system": problem.system}, allow_nan=False)
            partial.write_text(text + "\n", encoding="utf-8")
    else:
        raise ProblemError(f"{path} has to end in .json or .npz.")


def _array(path: Path, name: str, value: Any) -> NDArray[np.float64]:
    what = f"{name} in {path}"
    if isinstance(value, np.ndarray):
        return as_numbers(value, what, ProblemError)
    return as_numbers(_infinite_lists(value, what), what, ProblemError)


def _infinite_lists(value: Any, what: str) -> Any:
    """Return JSON's numbers as floats, and its null as infinity."""
    if isinstance(value, list):
        return [_infinite_lists(entry, what) for entry in value]
    if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
        raise ProblemError(f"{what} is no array of numbers: it holds {json.dumps(value)[:60]}.")
    return np.inf if value is None else float(value)


def _system(path: Path, value: Any) -> System:
    """Return the name of a system as a string, from NumPy's array of one string too."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind == "U":
        value = str(value)
    if not isinstance(value, str):
        raise ProblemError(f"system in {path} is {str(value)[:60]!r}; it has to be one name.")
    return cast(System, value)  # which the problem looks up


def _finite_lists(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_lists(entry) for entry in value]
    return value if np.isfinite(value) else None
