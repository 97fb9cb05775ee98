"""The channel of a cell: path loss, shadowing, fading and mobility put together."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.channel.area import distance_m
from sfl_env.channel.blockage import Blockage, NoBlockage
from sfl_env.channel.fading import Fading
from sfl_env.channel.latent import rician_k, sees, walked_on
from sfl_env.channel.mobility import Mobility
from sfl_env.channel.path_loss import PathLoss
from sfl_env.channel.statistics import LinkStatistics
from sfl_env.checks import shown
from sfl_env.errors import ScenarioError

_NEPER_PER_DB = math.log(10.0) / 10.0

_SMALLEST_GAIN = 1e-200
"""Floor of the large-scale gain, which keeps it positive at any distance."""

_SHADOWING, _VIEW, _RICIAN = range(3)
"""Which of a link's standard normal numbers is whose."""

_FORGOTTEN_S = 1e9
"""After so long, three decades, a channel remembers nothing."""

State = TypeVar("State", bound=tuple[Any, ...])


class ChannelModel(Protocol[State]):
    """What the environment asks of a channel; write one class with these two methods to bring your own.

    The state is a NamedTuple of arrays (or of such NamedTuples) whose first axis is the environment, so that
    single environments can be started afresh, and has an array ``.gain`` (N, K): the linear power gain of every
    device this round, positive and finite, the mean over whatever fades within the round. It may have an array
    ``.rician_k`` (N, K): the Rician factor of that fading, linear, at least 0, infinite where nothing fades within
    the round, as is taken for a channel without it; it may be a property, since stored states hold finite numbers.
    It may have an array ``.large_scale_gain`` (N, K): the gain without small-scale fading, which observations of
    old channels tell of as well; a channel without it has none but ``.gain``.
    Both methods take all randomness from ``rng``, and ``step`` leaves the state that it is given as it is.

    Examples
    --------
    A channel that plays back a recorded trace, a row a second, each environment from a random place in it:

    >>> class TraceState(NamedTuple):
    ...     second: np.ndarray  # (N,)
    ...     gain: np.ndarray  # (N, K)
    >>> class TraceChannel:
    ...     def __init__(self, trace):
    ...         self.trace = trace  # (seconds, K)
    ...
    ...     def initial(self, rng, n, num_devices):
    ...         return self.at(rng.integers(len(self.trace), size=n), num_devices)
    ...
    ...     def step(self, state, elapsed_s, rng):
    ...         return self.at(state.second + np.rint(elapsed_s).astype(int), state.gain.shape[1])
    ...
    ...     def at(self, second, num_devices):
    ...         second = second % len(self.trace)
    ...         return TraceState(second, self.trace[second, :num_devices])
    >>> channel = TraceChannel(np.array([[1e-9, 2e-9], [3e-9, 4e-9], [5e-9, 6e-9]]))
    >>> rng = np.random.default_rng(0)
    >>> state = channel.initial(rng, 1, 2)
    >>> state.gain, channel.step(state, np.array([2.0]), rng).gain
    (array([[5.e-09, 6.e-09]]), array([[3.e-09, 4.e-09]]))
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Channels of n environments at the start of their episodes."""
        ...

    def step(self, state: State, elapsed_s: Array, rng: np.random.Generator) -> State:
        """Channels of the next round, after one that took so many seconds, (N,)."""
        ...


class Place(NamedTuple):
    """What a link owes to where its device is; it changes only where devices walk.

    The standard normal numbers, R of each link, are those of its shadowing and, unless a line of sight is never
    free, of its view, which is free where the number's quantile is below P_LOS, and of its Rician factor.
    """

    latent: Array  # (N, R, K)
    los: NDArray[np.bool_]  # (N, K), whether the line of sight is free
    large_scale_gain: Array  # (N, K), path loss and shadowing, linear
    k_factor: Array  # (N, K), Rician factor, linear; 0 without line of sight


class ChannelState(NamedTuple):
    """Everything that the composite channel remembers from one round to the next."""

    mobility: Any  # with position_m (N, K, 2)
    place: Place
    blockage: Any
    fading: Any
    gain: Array  # (N, K), linear, the mean over what fades within the coming round
    large_scale_gain: Array  # (N, K), the same without small-scale fading: path loss, shadowing and blockage

    @property
    def rician_k(self) -> Array:
        """(N, K), linear, of what fades within the coming round; infinite where nothing does."""
        factors: Array = self.fading.within_round(self.place.k_factor)
        return factors


@dataclass(frozen=True)
class Channel:
    """Path loss x shadowing x blockage, and small-scale fading, of devices that may move.

    Time is that of the rounds: what a step changes depends on how long the round took. Walking changes path loss,
    line of sight, shadowing and the Rician factor (3GPP TR 38.901, clause 7.6.3 and Table 7.5-6), each with its
    own correlation distance; the standard's correlations between these are left out. Blockage comes and goes by
    the seconds, for devices that stand still, too. Fading is averaged over within the round, constant within it,
    or none.

    Parameters
    ----------
    path_loss : PathLoss
        :class:`~sfl_env.channel.path_loss.UrbanMicro`, ``UrbanMacro``, ``ClassicMacro`` or one's own.
    fading : Fading
        :class:`~sfl_env.channel.fading.AveragedFading`, ``BlockFading`` or ``NoFading``.
    mobility : Mobility
        :class:`~sfl_env.channel.mobility.Static`, ``RandomWaypoint`` or ``GaussMarkov``.
    blockage : Blockage
        :class:`~sfl_env.channel.blockage.TwoStateBlockage` or ``NoBlockage``.
    statistics : LinkStatistics, optional
        Shadowing, views and Rician factors; the path-loss model's own if left out.

    Examples
    --------
    >>> from sfl_env.channel import Annulus, AveragedFading, RandomWaypoint, UrbanMicro
    >>> walk = RandomWaypoint(Annulus(10.0, 200.0))
    >>> channel = Channel(UrbanMicro(), AveragedFading(), walk)
    >>> rng = np.random.default_rng(0)
    >>> state = channel.initial(rng, 2, 5)
    >>> channel.step(state, np.array([17.0, 20.0]), rng).gain.shape
    (2, 5)
    """

    path_loss: PathLoss
    fading: Fading[Any]
    mobility: Mobility[Any]
    blockage: Blockage[Any] = field(default_factory=NoBlockage)
    statistics: LinkStatistics | None = None

    @cached_property
    def links(self) -> LinkStatistics:
        """The statistics in use."""
        return self.path_loss.statistics if self.statistics is None else self.statistics

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
        shape = (n, num_devices)
        mobility = self.mobility.initial(rng, *shape)
        latent = rng.standard_normal((n, 3 if self.links.has_line_of_sight else 1, num_devices))
        place = self._at(distance_m(mobility.position_m), latent)
        blockage = self.blockage.initial(rng, *shape)
        return self._together(mobility, place, blockage, self.fading.initial(rng, *shape))

    def step(self, state: ChannelState, elapsed_s: Array, rng: np.random.Generator) -> ChannelState:
        """Channels of the next round.

        Parameters
        ----------
        state : ChannelState
            This round's; left as it is.
        elapsed_s : (N,) array
            How long the round took, s, at least 0; what is more than 1e9 s counts as that.
        rng : numpy.random.Generator
            Source of all randomness.

        Returns
        -------
        ChannelState
            May share arrays that have not changed with ``state``.

        Raises
        ------
        ScenarioError
            If the elapsed time is misshapen, negative or not a number.
        """
        elapsed_s = _times(elapsed_s, len(state.gain))
        mobility, walked_m = self.mobility.step(state.mobility, elapsed_s, rng)
        place = state.place if walked_m is None else self._walked(state.place, mobility, walked_m, rng)
        blockage = self.blockage.step(state.blockage, elapsed_s, rng)
        return self._together(mobility, place, blockage, self.fading.step(state.fading, rng))

    def _walked(self, place: Place, mobility: Any, walked_m: Array, rng: np.random.Generator) -> Place:
        """Return what links owe to where their devices have walked to."""
        links = self.links
        lengths = np.empty_like(place.latent)
        np.divide(walked_m, links.shadowing_correlation_m.of(place.los), out=lengths[:, _SHADOWING])
        if links.has_line_of_sight:
            np.divide(walked_m, links.los_correlation_m, out=lengths[:, _VIEW])
            np.divide(walked_m, links.k_correlation_m, out=lengths[:, _RICIAN])
        return self._at(distance_m(mobility.position_m), walked_on(place.latent, lengths, rng))

    def _at(self, distance: Array, latent: Array) -> Place:
        """Return what links owe to where their devices are."""
        links = self.links
        if links.has_line_of_sight:
            view = np.ascontiguousarray(latent[:, _VIEW])
            los = sees(view, self.path_loss.los_probability(distance))
            k_factor = rician_k(latent[:, _RICIAN], los, links)
        else:
            los, k_factor = np.zeros(distance.shape, dtype=np.bool_), np.zeros(distance.shape)
        loss_db = self.path_loss.loss_db(distance, los)
        loss_db += links.shadowing_std_db.of(los) * latent[:, _SHADOWING]
        loss_db *= -_NEPER_PER_DB
        gain: Array = np.exp(loss_db, out=loss_db)
        return Place(latent, los, np.maximum(gain, _SMALLEST_GAIN, out=gain), k_factor)

    def _together(self, mobility: Any, place: Place, blockage: Any, fading: Any) -> ChannelState:
        """Return the state of which these are the parts."""
        large_scale_gain = place.large_scale_gain
        factor, power = self.blockage.factor(blockage), self.fading.power(fading, place.k_factor)
        if factor is not None:
            large_scale_gain = large_scale_gain * factor
        gain = large_scale_gain if power is None else large_scale_gain * power
        return ChannelState(mobility, place, blockage, fading, gain, large_scale_gain)


def _times(elapsed_s: Array, n: int) -> Array:
    """Return how long rounds took, (n,), at most what makes everything forgotten."""
    if np.shape(elapsed_s) != (n,):
        raise ScenarioError(
            f"elapsed_s has shape {np.shape(elapsed_s)}; it has to be ({n},), how long each round took."
        )
    elapsed_s = np.asarray(elapsed_s)
    if elapsed_s.dtype.kind not in "fiu":
        raise ScenarioError(f"elapsed_s is of type {elapsed_s.dtype}; each entry has to be a time in seconds.")
    if np.count_nonzero(elapsed_s >= 0.0) != n:  # negative, or not a number
        wrong = next(value for value in elapsed_s.tolist() if not value >= 0.0)
        raise ScenarioError(f"elapsed_s holds {shown(wrong)}; each entry has to be a time in seconds, at least 0.")
    shorter: Array = np.minimum(elapsed_s, _FORGOTTEN_S)
    return shorter
