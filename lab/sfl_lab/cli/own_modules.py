"""Modules of the user that the command line is told of, by their name or as a file."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


@contextmanager
def imports_from(where: str) -> Iterator[None]:
    """Look modules up in the current directory, too, and beside a file, for as long as a user's code runs."""
    before = list(sys.path)
    beside = [str(Path(where).absolute().parent)] if where.endswith(".py") else []
    sys.path[:0] = [*beside, str(Path.cwd())]
    try:
        yield
    finally:
        sys.path[:] = before


def imported(where: str) -> ModuleType:
    """Return a user's module.

    Parameters
    ----------
    where : str
        Its name, or the path of a file that ends in ``.py``.

    Raises
    ------
    BaseException
        Whatever its code raises.

    Examples
    --------
    >>> imported("json").__name__
    'json'
    """
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where).absolute()
    if not path.is_file():
        raise ImportError(f"No such file: {where}")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{where} is no Python file")
    module = module_from_spec(spec)
    # Data classes look their module up by its name; one that is there already stays.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
