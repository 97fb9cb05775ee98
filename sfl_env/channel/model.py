"""The channel of a cell: path loss, shadowing, fading and mobility put together."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.channel.fading import Fading
from sfl_env.channel.mobility import Mobility, distance_m
from sfl_env.channel.path_loss import PathLoss
from sfl_env.channel.shadowing import Shadowing, ShadowingState

_NEPER_PER_DB = math.log(10.0) / 10.0

_SMALLEST_GAIN = 1e-200
"""Floor of the large-scale gain, which keeps it positive at any distance."""

State = TypeVar("State", bound=tuple[Any, ...])


class ChannelModel(Protocol[State]):
    """What the environment asks of a channel; write one class with these two methods to bring your own.

    The state is a NamedTuple of arrays (or of such NamedTuples) whose first axis is the environment, so that
    single environments can be started afresh, and has an array ``.gain`` (N, K): the linear power gain of every
    device this round, positive and finite. Both methods take all randomness from ``rng``, and ``step`` leaves
    the state that it is given as it is.

    Examples
    --------
    A channel that plays back a recorded trace, each environment from a random place in it:

    >>> class TraceState(NamedTuple):
    ...     round: np.ndarray  # (N,)
    ...     gain: np.ndarray  # (N, K)
    >>> class TraceChannel:
    ...     def __init__(self, trace):
    ...         self.trace = trace  # (rounds, K)
    ...
    ...     def initial(self, rng, n, num_devices):
    ...         start = rng.integers(len(self.trace), size=n)
    ...         return TraceState(start, self.trace[start, :num_devices])
    ...
    ...     def step(self, state, rng):
    ...         following = (state.round + 1) % len(self.trace)
    ...         return TraceState(following, self.trace[following, : state.gain.shape[1]])
    >>> channel = TraceChannel(np.array([[1e-9, 2e-9], [3e-9, 4e-9]]))
    >>> rng = np.random.default_rng(0)
    >>> state = channel.initial(rng, 1, 2)
    >>> state.gain, channel.step(state, rng).gain
    (array([[3.e-09, 4.e-09]]), array([[1.e-09, 2.e-09]]))
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Channels of n environments at the start of their episodes."""
        ...

    def step(self, state: State, rng: np.random.Generator) -> State:
        """Channels of the next round."""
        ...


class ChannelState(NamedTuple):
    """Everything that the composite channel remembers from one round to the next."""

    mobility: Any  # with position_m (N, K, 2)
    shadowing: ShadowingState
    fading: Any  # with power (N, K)
    visibility: Array  # (N, K), the line of sight is free where P_LOS exceeds this uniform number
    large_scale_gain: Array  # (N, K), path loss and shadowing, linear
    gain: Array  # (N, K), large-scale gain x fading power, linear


@dataclass(frozen=True)
class Channel:
    """Path loss x shadowing x fading of devices that may move.

    Whether a device has a free line of sight is one uniform number per device and episode, compared with the
    probability at its present distance: going out and back in brings the same view back. Devices that stand
    still keep path loss and shadowing; only their fading is drawn anew.

    Parameters
    ----------
    path_loss : PathLoss
        :class:`~sfl_env.channel.path_loss.UrbanMicro`, ``UrbanMacro``, ``ClassicMacro`` or one's own.
    shadowing : Shadowing
        :class:`~sfl_env.channel.shadowing.CorrelatedShadowing` or ``NoShadowing``.
    fading : Fading
        :class:`~sfl_env.channel.fading.Rayleigh`, ``Rician`` or ``NoFading``.
    mobility : Mobility
        :class:`~sfl_env.channel.mobility.Static`, ``RandomWaypoint`` or ``GaussMarkov``.

    Examples
    --------
    >>> from sfl_env.channel import Annulus, CorrelatedShadowing, Rayleigh, Static, UrbanMicro
    >>> channel = Channel(UrbanMicro(), CorrelatedShadowing(), Rayleigh(), Static(Annulus(10.0, 200.0)))
    >>> rng = np.random.default_rng(0)
    >>> state = channel.initial(rng, 2, 5)
    >>> channel.step(state, rng).gain.shape
    (2, 5)
    """

    path_loss: PathLoss
    shadowing: Shadowing
    fading: Fading[Any]
    mobility: Mobility[Any]

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ChannelState:
        """Channels of n environments at the start of their episodes.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of all randomness.
        n, num_devices : int
            Environments N and devices K.

        Returns
        -------
        ChannelState
        """
        mobility = self.mobility.initial(rng, n, num_devices)
        shadowing = self.shadowing.initial(rng, n, num_devices)
        visibility = rng.random((n, num_devices))
        fading = self.fading.initial(rng, n, num_devices)
        large = self._large_scale_gain(mobility.position_m, shadowing, visibility)
        return ChannelState(mobility, shadowing, fading, visibility, large, large * fading.power)

    def step(self, state: ChannelState, rng: np.random.Generator) -> ChannelState:
        """Channels of the next round.

        Parameters
        ----------
        state : ChannelState
            This round's; left as it is.
        rng : numpy.random.Generator
            Source of all randomness.

        Returns
        -------
        ChannelState
            May share arrays that have not changed with ``state``.
        """
        before, shadowing, fading, visibility, large, _ = state
        mobility = self.mobility.step(before, rng)
        if mobility is not before:
            moved_m = distance_m(mobility.position_m - before.position_m)
            shadowing = self.shadowing.step(shadowing, moved_m, rng)
            large = self._large_scale_gain(mobility.position_m, shadowing, visibility)
        fading = self.fading.step(fading, rng)
        return ChannelState(mobility, shadowing, fading, visibility, large, large * fading.power)

    def line_of_sight(self, state: ChannelState) -> NDArray[np.bool_]:
        """(N, K): whether each device sees the base station now."""
        return self._sees(distance_m(state.mobility.position_m), state.visibility)

    def _sees(self, distance: Array, visibility: Array) -> NDArray[np.bool_]:
        sees: NDArray[np.bool_] = visibility < self.path_loss.los_probability(distance)
        return sees

    def _large_scale_gain(self, position_m: Array, shadowing: ShadowingState, visibility: Array) -> Array:
        distance = distance_m(position_m)
        los = self._sees(distance, visibility)
        loss_db = self.path_loss.loss_db(distance, los)
        loss_db += self.path_loss.shadowing_std_db(los) * shadowing.latent
        gain: Array = np.exp(loss_db * -_NEPER_PER_DB)
        return np.maximum(gain, _SMALLEST_GAIN, out=gain)
