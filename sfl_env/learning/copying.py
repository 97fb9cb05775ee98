"""What can be pickled, said in time and by its name."""

import pickle
from io import BytesIO
from typing import Any

import torch

from sfl_env.errors import TrainingError


def check_pickles(name: str, part: object) -> None:
    """Raise unless a part that a user gave can be pickled.

    Raises
    ------
    TrainingError
        It names the part.

    Examples
    --------
    >>> check_pickles("network", print)
    >>> check_pickles("network", lambda: None)
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: network cannot be pickled, ...
    """
    try:
        pickle.dumps(part)
    # Pickling runs the part's own code, and the pickler itself raises three kinds of error.
    except Exception as error:
        raise TrainingError(
            f"{name} cannot be pickled, and the training with it: {error}. Give a function from a module's top "
            "level (or functools.partial of one), no lambda and no function within a function."
        ) from error


def to_bytes(state: dict[str, Any] | None) -> bytes:
    """Return a stored state as bytes.

    Examples
    --------
    >>> from_bytes(to_bytes({"round": 3}))
    {'round': 3}
    """
    stored = BytesIO()
    torch.save(state, stored)
    return stored.getvalue()


def from_bytes(stored: bytes) -> dict[str, Any] | None:
    """Return the state that :func:`to_bytes` took; no code in it is run."""
    state: dict[str, Any] | None = torch.load(BytesIO(stored), weights_only=True)
    return state
