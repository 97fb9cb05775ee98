"""What can be pickled, said in time and by its name."""

import pickle
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Protocol, TypeVar

import torch

from sfl_env.errors import TrainingError


class _Training(Protocol):
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


T = TypeVar("T", bound=_Training)


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


def going_on(make: Callable[[], T], state: dict[str, Any] | None) -> T:
    """Return what is made, going on from a state: how copies of a training are made."""
    training = make()
    if state is not None:
        training.load_state_dict(state)
    return training


def going_on_from_bytes(make: Callable[[], T], stored: bytes) -> T:
    """Return what is made, going on from the state that :func:`to_bytes` took."""
    return going_on(make, from_bytes(stored))
