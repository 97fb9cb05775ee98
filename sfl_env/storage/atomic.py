"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"
"""Part of the name of every file that is still being written."""


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes ``path`` if the block ends without an error.

    The temporary file lies in the same folder and keeps the suffix, since many writers choose the format by
    it.

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
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
