"""What numbers of an environment have to be."""

from typing import Any

import numpy as np

from tests.fuzz.cases import require


def require_finite(name: str, value: Any) -> None:
    """Raise unless all numbers in an array or a number are finite."""
    array = np.asarray(value)
    if array.dtype.kind == "f":
        require(np.isfinite(array).all(), f"{name} is not finite")


def require_finite_infos(infos: dict[str, Any], name: str = "infos") -> None:
    """Raise unless a round's infos are finite, in a batch those that their masks say are there."""
    for key, value in infos.items():
        if key.startswith(("_", "final_")):
            continue
        mask = infos.get(f"_{key}")
        if isinstance(value, dict):
            require_finite_infos(value, f"{name}[{key!r}]")
        else:
            require_finite(f"{name}[{key!r}]", value if mask is None else np.asarray(value)[mask])
