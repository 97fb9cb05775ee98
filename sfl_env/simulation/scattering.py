"""How much of a channel's power is scattered, by what its states tell of it."""

from typing import Any

import numpy as np

from sfl_env.arrays import Array
from sfl_env.channel.fading import nothing_fades


def rician_k_of(channel: Any) -> Array:
    """Return the Rician factors (N, K) of what fades within a channel's round; infinite where it does not say."""
    told = getattr(channel, "rician_k", None)
    return nothing_fades(channel.gain.shape) if told is None else np.asarray(told, np.float64)


def scattered_of(channel: Any) -> Array:
    """Return the share (N, K) of the power that fades within a channel's round, 1 / (1 + Rician factor)."""
    shares: Array = 1.0 / (1.0 + rician_k_of(channel))
    return shares


def rician_k_from(scattered: Array) -> Array:
    """Return the Rician factors that shares of scattered power come from.

    Examples
    --------
    >>> rician_k_from(np.array([1.0, 0.5, 0.0]))
    array([ 0.,  1., inf])
    """
    inverse = np.divide(1.0, scattered, out=np.full_like(scattered, np.inf), where=scattered > 0.0)
    return inverse - 1.0
