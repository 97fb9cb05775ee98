"""NumPy's NPZ files that anybody may have written: no pickle, and no more memory than was agreed to."""

import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sfl_env.errors import SFLError

MOST_BYTES = 2**30
"""Of all arrays together, once they are in memory."""


def read_npz(
    path: Path, error: type[SFLError], *, most_bytes: int = MOST_BYTES, wanted: Collection[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the arrays in an NPZ file by their names.

    The headers are looked at before an array is read, so that a file that claims more than there is memory for
    takes none.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    error : type of SFLError
        What to raise.
    most_bytes : int
        The most that the arrays may take together.
    wanted : collection of str, optional
        The names that have to be there, and no others.

    Raises
    ------
    error
        If the file cannot be read, is no whole NPZ file, holds other arrays or more than was agreed to, or
        arrays of Python objects.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.npz"
    >>> np.savez(path, a=np.arange(3))
    >>> read_npz(path, SFLError)
    {'a': array([0, 1, 2])}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if wanted is not None and set(wanted) != set(members):
                raise error(f"{path} holds {', '.join(sorted(members))}; it has to hold {', '.join(wanted)}.")
            if len(members) < len(archive.infolist()):
                raise error(f"{path} holds an array twice.")
            arrays = {}
            for name, info in members.items():
                with archive.open(info) as file:
                    arrays[name] = _array(file, f"{name} in {path}", error, most_bytes)
                most_bytes -= arrays[name].nbytes
            return arrays
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror or reason}.") from reason
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, KeyError) as reason:
        raise error(f"{path} is not a whole NPZ file: {reason}.") from reason


def _array(file: IO[bytes], what: str, error: type[SFLError], most_bytes: int) -> NDArray[Any]:
    """Read one array, once its header says that it is harmless."""
    # The header is a Python literal, which NumPy's reader may fail on in any way that Python's own tokenizer does.
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, in_columns, dtype = read(file)
    except Exception as reason:
        raise error(f"{what} has a header that cannot be read ({type(reason).__name__}).") from reason
    if dtype.hasobject:
        raise error(f"{what} holds Python objects; it has to hold numbers.")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > most_bytes:
        raise error(f"{what} claims the shape {shape}, more than the {most_bytes} bytes that it may have.")
    count = math.prod(shape)
    found = file.read(count * dtype.itemsize + 1)
    if len(found) != count * dtype.itemsize:
        raise error(f"{what} has the shape {shape} and {len(found)} bytes, which do not go together.")
    flat = np.frombuffer(found, dtype=dtype, count=count)
    return flat.reshape(shape[::-1]).T.copy() if in_columns else flat.reshape(shape).copy()
