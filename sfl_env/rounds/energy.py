"""What a round costs the devices' batteries."""

from typing import NamedTuple

import numpy as np

from sfl_env.arrays import Array
from sfl_env.rounds.latency import (
    DEVICE_BACKWARD,
    DEVICE_FORWARD,
    GRADIENT_DOWNLOAD,
    MODEL_DOWNLOAD,
    MODEL_UPLOAD,
    SMASHED_UPLOAD,
)


class Power(NamedTuple):
    """What a whole device draws in each state, W."""

    idle_w: Array  # (N, K) while it waits
    computing_w: Array  # (N, K)
    transmitting_w: Array  # (N, K)
    receiving_w: Array  # (N, K)

    def above_idle(self) -> "TrainingPower":
        """Return by how much each state of training draws more than waiting; never less than nothing."""
        return TrainingPower(*(np.maximum(watts - self.idle_w, 0.0) for watts in self[1:]))


class TrainingPower(NamedTuple):
    """What training adds to a device's draw in each of its states, W."""

    computing_w: Array  # (N, K)
    transmitting_w: Array  # (N, K)
    receiving_w: Array  # (N, K)


class Busy(NamedTuple):
    """How long a device is in each state of training in a round, s."""

    computing_s: Array
    sending_s: Array
    receiving_s: Array


def busy_s(phases: Array) -> Busy:
    """Add up a round's phases (7, ...) by the state that the device is in."""
    return Busy(
        computing_s=phases[DEVICE_FORWARD] + phases[DEVICE_BACKWARD],
        sending_s=phases[SMASHED_UPLOAD] + phases[MODEL_UPLOAD],
        receiving_s=phases[MODEL_DOWNLOAD] + phases[GRADIENT_DOWNLOAD],
    )


def training_j(power: TrainingPower, phases: Array) -> Array:
    """Energy (N, K) that a round's training adds to what its devices would draw in waiting.

    Unlike the whole energy, it does not depend on how long the device waits for others.

    Parameters
    ----------
    power : TrainingPower
        From :meth:`Power.above_idle`.
    phases : (7, N, K) array
        Seconds of the phases, from :func:`sfl_env.rounds.latency.phase_latency_s`.

    Examples
    --------
    >>> power = Power(*(np.array([[watts]]) for watts in (1.0, 6.0, 3.0, 2.0)))
    >>> training_j(power.above_idle(), np.full((7, 1, 1), 2.0))
    array([[32.]])
    """
    busy = busy_s(phases)
    total: Array = power.computing_w * busy.computing_s
    total += power.transmitting_w * busy.sending_s
    total += power.receiving_w * busy.receiving_s
    return total


def energy_j(power: Power, phases: Array, end_s: Array) -> Array:
    """Energy of one round, (N, K): the time in each state times the power drawn in it.

    A device computes, sends and receives in its phases, and waits for the rest of the round, the server's work
    included. Every device is taken to take part.

    Parameters
    ----------
    power : Power
        Draw of each device.
    phases : (7, N, K) array
        Seconds of the phases, from :func:`sfl_env.rounds.latency.phase_latency_s`.
    end_s : array
        Seconds until the device is done with the round, waiting for others included; broadcast against (N, K).

    Examples
    --------
    Two seconds of each phase, so 4 of computing, sending and receiving each, and a round that ends after 20:

    >>> power = Power(*(np.array([[watts]]) for watts in (1.0, 6.0, 3.0, 2.0)))
    >>> energy_j(power, np.full((7, 1, 1), 2.0), np.array([[20.0]]))
    array([[52.]])
    """
    computing, sending, receiving = busy_s(phases)
    waiting: Array = end_s - computing - sending - receiving
    np.maximum(waiting, 0.0, out=waiting)  # the slowest device's own may be below 0 by rounding
    waiting *= power.idle_w
    computing *= power.computing_w
    sending *= power.transmitting_w
    receiving *= power.receiving_w
    waiting += computing
    waiting += sending
    waiting += receiving
    return waiting


def broken_off(phases: Array, deadline_s: float) -> Array:
    """Seconds of the phases until a deadline at which devices stop, (7, N, K): what a late device pays for.

    Parameters
    ----------
    phases : (7, N, K) array
        Seconds that the phases would take, one after another.
    deadline_s : float
        Seconds after a device's start at which it stops.

    Examples
    --------
    >>> broken_off(np.full((7, 1, 1), 2.0), 5.0).ravel()
    array([2., 2., 1., 0., 0., 0., 0.])
    """
    left_s = np.maximum(np.cumsum(phases, axis=0) - deadline_s, 0.0)
    worked: Array = np.maximum(phases - left_s, 0.0)
    return worked
