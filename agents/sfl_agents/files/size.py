"""How large the networks are that settings ask for, known before any is built."""

import itertools
from collections.abc import Mapping
from typing import Any

from sfl_agents.files.state import Arrays
from sfl_env.errors import PolicyError


def require_room(policy_kwargs: Mapping[str, Any], arrays: Arrays) -> None:
    """Raise if settings ask for larger networks than a file has numbers for.

    Building networks takes memory and time by the settings, which a file of a few bytes may name as it likes.
    Every matrix between two layers that settings name is in the file of an agent that was trained with them.

    Parameters
    ----------
    policy_kwargs : mapping
        Of checked settings.
    arrays : mapping of str to array
        What the file holds.

    Raises
    ------
    PolicyError
        If the file holds fewer numbers than the matrices have.

    Examples
    --------
    >>> require_room({"net_arch": [4096] * 8}, {})
    Traceback (most recent call last):
        ...
    sfl_env.errors.PolicyError: its settings ask for networks of 117444608 numbers or more, and it holds 0
    """
    least = least_numbers(policy_kwargs)
    there = sum(array.size for array in arrays.values())
    if least > there:
        raise PolicyError(f"its settings ask for networks of {least} numbers or more, and it holds {there}")


def least_numbers(policy_kwargs: Mapping[str, Any]) -> int:
    """Return how many weights there are at least between the layers that a policy's arguments name.

    Examples
    --------
    >>> least_numbers({"net_arch": {"pi": [8, 8], "qf": [16, 4]}, "n_critics": 3})
    312
    >>> least_numbers({"lstm_hidden_size": 8, "n_lstm_layers": 2, "net_arch": [4]})
    516
    """
    named = policy_kwargs.get("net_arch", [])
    critics = policy_kwargs.get("n_critics", 0)
    networks = named if isinstance(named, Mapping) else {"pi": named, "qf": named}
    total = 0
    for part, widths in networks.items():
        copies = critics if part == "qf" else 1
        total += copies * (sum(widths[:1]) + sum(a * b for a, b in itertools.pairwise(widths)))
    if "lstm_hidden_size" in policy_kwargs or "n_lstm_layers" in policy_kwargs:
        hidden = policy_kwargs.get("lstm_hidden_size", 1)
        total += 4 * hidden * hidden * policy_kwargs.get("n_lstm_layers", 1)
    return int(total)
