"""The channels of rounds that are over, as far as delayed channel state information (CSI) tells of them."""

from typing import Any, NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.channel.fading import nothing_fades


class Past(NamedTuple):
    """Channels of as many rounds as the observation is old; every array (N, rounds, K), the oldest first."""

    gain: Array
    scattered: Array  # 1 / (1 + Rician factor of what fades within the round): always finite
    large_scale_gain: Array  # without small-scale fading

    @property
    def oldest_rician_k(self) -> Array:
        """(N, K): Rician factors of the oldest round."""
        return rician_k_from(self.scattered[:, 0])


def empty_past(n: int, rounds: int, num_devices: int) -> Past:
    """Return arrays that :func:`remember` fills."""
    return Past(*np.empty((len(Past._fields), n, rounds, num_devices)))


def remember(past: Past, age: int, channel: Any) -> None:
    """Write a channel's round into a past that is being made."""
    for rounds, now in zip(past, _told(channel), strict=True):
        rounds[:, age] = now


def aged(past: Past, channel: Any) -> Past:
    """Return the past once a channel's round is over, too."""
    pairs = zip(past, _told(channel), strict=True)
    return Past(*(np.concatenate([rounds[:, 1:], now[:, None]], axis=1) for rounds, now in pairs))


def _told(channel: Any) -> tuple[Array, Array, Array]:
    """Return what is kept of a channel, (N, K) each."""
    return channel.gain, scattered_of(channel), large_scale_gain_of(channel)


def large_scale_gain_of(channel: Any) -> Array:
    """Return the gains (N, K) without small-scale fading; the gains themselves where a channel does not say.

    Examples
    --------
    >>> class Trace(NamedTuple):
    ...     gain: Array
    >>> large_scale_gain_of(Trace(np.array([[1e-9]])))
    array([[1.e-09]])
    """
    told = getattr(channel, "large_scale_gain", None)
    return np.asarray(channel.gain if told is None else told, np.float64)


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
