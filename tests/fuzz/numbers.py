"""What numbers of an environment have to be."""

from typing import Any

import numpy as np

from tests.fuzz.cases import require


def require_finite(name: str, value: Any) -> None:
    """Raise unless all numbers in an array, a number or nested dictionaries of them are finite."""
    if isinstance(value, dict):
        for key, inner in value.items():
            require_finite(f"{name}[{key!r}]", inner)
        return
    array = np.asarray(value)
    if array.dtype.kind == "f":
        require(np.isfinite(array).all(), f"{name} is not finite")
