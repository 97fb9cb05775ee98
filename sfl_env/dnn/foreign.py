"""Users' own code, which may raise anything at all, and how its errors are told."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sfl_env.errors import ProfileError


@contextmanager
def foreign_code(what: str, mend: str = "") -> Iterator[None]:
    """Run a user's own code, which may raise anything at all, and tell it as what did not work.

    ``sys.exit`` counts: a module that ends the process on import, or a forward pass that does, would otherwise end
    a measurement without a word. Only an interruption stays one.

    Raises
    ------
    ProfileError
        ``what``, the reason and the mend.

    Examples
    --------
    >>> with foreign_code("make_net() failed"):
    ...     raise SystemExit(0)
    Traceback (most recent call last):
        ...
    sfl_env.errors.ProfileError: make_net() failed (SystemExit: 0).
    """
    try:
        yield
    except (KeyboardInterrupt, ProfileError):
        raise
    except BaseException as error:
        raise ProfileError(f"{what} ({reason(error)}).{mend}") from error


_OF_TYPES = re.compile(
    r"dtype|scalar type|(input|bias|weight|result) type|'indices'|used as indices"
    r"|\b(Bool|Byte|Char|Short|Int|Long|Half|BFloat16|Float|Double)(Tensor)?\b"
)
"""What torch's errors about the types of numbers speak of."""


def tells_of_types(error: BaseException) -> bool:
    """Whether an error of foreign code is about the type of its input's numbers.

    Examples
    --------
    >>> tells_of_types(RuntimeError("mat1 and mat2 must have the same dtype, but got Long and Float"))
    True
    >>> tells_of_types(RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x64 and 256x32)"))
    False
    """
    return _OF_TYPES.search(reason(error)) is not None


def reason(error: BaseException) -> str:
    """Return what an error of foreign code says, on one line and without its full stop."""
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # not even that can be relied on
        return kind
    return f"{kind}: {lines[0].rstrip('.')}" if lines else kind
