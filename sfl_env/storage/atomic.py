"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sfl_env.errors import RunError

PARTIAL = ".partial"
"""Part of the name of every file that is still being written."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell of a file or folder that cannot be written, be the disk full or something else in its place.

    Raises
    ------
    RunError
        If the block ends in an error of the file system.

    Examples
    --------
    >>> with writing(Path("/proc/results")):
    ...     Path("/proc/results").mkdir()
    Traceback (most recent call last):
        ...
    sfl_env.errors.RunError: /proc/results cannot be written: No such file or directory (/proc/results).
    """
    try:
        yield
    except OSError as error:
        what = "" if error.filename is None else f" ({error.filename})"
        raise RunError(f"{path} cannot be written: {error.strerror or error}{what}.") from error


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes ``path`` if the block ends without an error.

    The temporary file lies in the same folder and keeps the suffix, since many writers choose the format by
    it.

    Raises
    ------
    RunError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with atomic_output(path) as partial:
    ...     _ = partial.write_text("1 2 3")
    ...     path.exists()
    False
    >>> path.read_text()
    '1 2 3'
    """
    partial = path.with_name(f".{path.stem}{PARTIAL}{path.suffix}")
    try:
        with writing(path):
            yield partial
            with partial.open("rb+") as written:
                os.fsync(written.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
