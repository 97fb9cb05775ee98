"""What an agent sees: one row of scaled features for each device, and the way back to physical values."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import DecisionError
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.outage import LEAST_RATE_BPS
from sfl_env.spaces.incoming import as_array, floats
from sfl_env.spaces.view import View

Rows = NDArray[np.float32]


class ObservationEncoder(Protocol):
    """Turns a view into an observation; write one to give agents other features.

    Features that stay the same through an episode are computed once, in :meth:`per_episode`.
    """

    def space(self, num_devices: int) -> spaces.Box:
        """Return the space of one environment's observation, (K, F) float32."""

    def per_episode(self, view: View) -> Rows:
        """Return (N, K, F) rows with the features of the episode filled in."""

    def per_round(self, view: View, episode_rows: Rows) -> Rows:
        """Return new (N, K, F) rows: the episode's with the features of the round filled in."""

    def decode(self, observation: Rows) -> Conditions:
        """Return the conditions that (N, K, F) rows tell of, so that solvers can act on what agents see.

        Where the features do not tell them, raise ``NotImplementedError``: agents train all the same, and a
        solver policy says that this encoder keeps it out.
        """


@dataclass(frozen=True)
class LogScale:
    """A positive quantity on a logarithmic scale from -1 (``low``) to 1 (``high``), clipped there.

    The logarithm is taken in single precision of the quantity over the middle of its scale: rounding is least
    there, and a value comes back to about 1e-6.
    """

    low: float
    high: float

    @cached_property
    def unit(self) -> np.float32:
        """One over the quantity in the middle, at 0."""
        return np.float32(1.0 / math.sqrt(self.low * self.high))

    @cached_property
    def highest(self) -> np.float32:
        """The quantity at 1, over that in the middle."""
        return np.float32(math.sqrt(self.high / self.low))

    @cached_property
    def half_length(self) -> np.float32:
        """Natural logarithm of :attr:`highest`: how far the scale goes up, and down, from its middle."""
        return np.float32(np.log(self.highest))

    @cached_property
    def lowest(self) -> np.float32:
        """The quantity at -1, over that in the middle: the smallest number that rounding takes no further."""
        lowest = 1.0 / self.highest
        while np.log(lowest) < -self.half_length:
            lowest = np.nextafter(lowest, np.float32(1.0))
        return lowest

    def decode(self, scaled: NDArray[np.floating]) -> Array:
        """Undo the scaling.

        Examples
        --------
        >>> float(LogScale(1e3, 1e9).decode(np.array(0.0)).round())
        1000000.0
        """
        return np.exp(scaled * np.float64(self.half_length)) / np.float64(self.unit)


_UPLINK_SNR_HZ = LogScale(1.0, 1e15)
_DOWNLINK_FULL_RATE_BPS = LogScale(LEAST_RATE_BPS, 1e13)
_FORWARD_FLOPS_PER_S = LogScale(1e6, 1e15)
_BACKWARD_OVER_FORWARD = LogScale(1e-3, 1e3)
_BYTES_PER_FLOP = LogScale(1e-6, 1e6)
SAMPLES = LogScale(1.0, 1e9)
_DRAIN_PER_S = LogScale(1e-9, 1e3)
_LOSS = LogScale(1e-4, 1e4)
_ELAPSED_S = LogScale(1e-3, 1e9)


class LogScales:
    """Several quantities scaled in one pass, each to a column of its own.

    Examples
    --------
    >>> rows = np.empty((1, 2, 2), np.float32)
    >>> scales = LogScales(LogScale(1e3, 1e9), LogScale(1.0, 100.0))
    >>> scales.encode(np.array([[1e6, 1e12]]), np.array([[10.0, 1.0]]), out=rows)
    >>> rows.round(6) + 0.0
    array([[[ 0.,  0.],
            [ 1., -1.]]], dtype=float32)
    """

    def __init__(self, *scales: LogScale) -> None:
        self._scales = scales
        self._constants = lru_cache(maxsize=32)(self._repeated)

    def encode(self, *quantities: Array, out: Rows) -> None:
        """Write the scaled (N, K) quantities, within [-1, 1], along the last axis of ``out``."""
        scaled = np.array(quantities, np.float32)
        unit, lowest, highest, half_length = self._constants(scaled.shape)
        scaled *= unit
        np.maximum(scaled, lowest, out=scaled)
        np.minimum(scaled, highest, out=scaled)
        np.log(scaled, out=scaled)
        # Seen this way round, NumPy walks along whole columns of `out` and not through three numbers at a time.
        np.divide(scaled, half_length, out=out.transpose(2, 0, 1))

    def _repeated(self, shape: tuple[int, ...]) -> list[Rows]:
        """Repeat each scale's constants over (N, K): NumPy takes longer to broadcast than to read them."""
        return [
            np.stack([np.full(shape[1:], getattr(scale, name)) for scale in self._scales])
            for name in ("unit", "lowest", "highest", "half_length")
        ]


_LEARNING_SCALES = LogScales(_LOSS, _ELAPSED_S)
_ROUND_SCALES = LogScales(_UPLINK_SNR_HZ, _FORWARD_FLOPS_PER_S, _DOWNLINK_FULL_RATE_BPS)
_EPISODE_SCALES = LogScales(_BACKWARD_OVER_FORWARD, _BYTES_PER_FLOP, _BYTES_PER_FLOP, SAMPLES)
_DRAIN_SCALES = LogScales(*[_DRAIN_PER_S] * 4)


def scaled_learnt(learnt: Array) -> Array:
    """Return what a surrogate has learnt, from 0, as the column of an observation has it: -1 to 1 for 0 to 2.

    Examples
    --------
    >>> scaled_learnt(np.array([0.0, 0.5, 2.5]))
    array([-1. , -0.5,  1. ])
    """
    return np.minimum(learnt - 1.0, 1.0)


@dataclass(frozen=True)
class DeviceRows:
    """The default encoder: physical quantities on logarithmic scales.

    Parameters
    ----------
        num_cuts : int
            C.
        with_battery : bool
            Whether the energy columns are there.
        with_learning : bool
            Whether the columns on the training are there; they are the last three.
        with_surrogate : bool
            Whether the column of the surrogate of learning is there; it comes before these.

    Notes
    -----
        Columns of a device's row, each in [-1, 1]:

    ===  ========================  ======================================================================
    0    uplink_snr_hz             logarithmic, 1 to 1e15 Hz: received power over noise density
    1    forward_flops_per_s       logarithmic, 1e6 to 1e15: the forward pass's speed that it has free now
    2    downlink_full_rate_bps    logarithmic, 1e2 to 1e13: downlink rate with the whole band; -1: an outage
    3    fading_spread             linear, 1 / sqrt(1 + K) of the Rician factor K: 0 (steady) to 1 (Rayleigh)
    4    round                     linear, -1 at the episode's start, 1 at its end (same in every row)
    5    backward_over_forward     logarithmic, 1e-3 to 1e3: the backward pass's FLOP/s over the forward pass's
    6    forward_bytes_per_flop    logarithmic, 1e-6 to 1e6: memory traffic over FLOP/s; at the end, infinite
    7    backward_bytes_per_flop   the same of the backward pass
    8    samples                   logarithmic, 1 to 1e9: samples a round
    9    deepest_cut               linear, index 0 to C - 1: deepest cut that fits the memory
    10   takes_part                1 if the device takes part, else -1 (with batteries only)
    11   battery_fraction          linear, empty to full, of what training may use (with batteries only)
    12   idle_drain_per_s          logarithmic, 1e-9 to 1e3: of that battery in a second of waiting; at the low
                                   end, a device that never runs empty (with batteries only)
    13   computing_drain_per_s     the same of computing
    14   transmitting_drain_per_s  the same of sending
    15   receiving_drain_per_s     the same of receiving
    10   learnt                    linear, 0 to 2, of what the target typically takes (with a surrogate of learning
                                   only, which goes with no batteries; same in every row)
    -3   accuracy                  linear, 0 to 1, of the global model (accuracy mode only; same in every row)
    -2   loss                      logarithmic, 1e-4 to 1e4 (accuracy mode only; same in every row)
    -1   elapsed_s                 logarithmic, 1e-3 to 1e9 since the start (accuracy mode only, same in all rows)
    ===  ========================  ======================================================================
    """

    num_cuts: int
    with_battery: bool
    with_learning: bool = False
    with_surrogate: bool = False

    @property
    def num_features(self) -> int:
        """F, the number of columns."""
        return 10 + 6 * self.with_battery + self.with_surrogate + 3 * self.with_learning

    def space(self, num_devices: int) -> spaces.Box:
        """Return ``Box(-1, 1, (K, F), float32)``."""
        return spaces.Box(-1.0, 1.0, (num_devices, self.num_features), np.float32)

    def per_episode(self, view: View) -> Rows:
        """Fill in what stays the same: what speeds are to each other, samples, deepest cut and drains."""
        now = view.conditions
        rows = np.zeros((*now.samples.shape, self.num_features), dtype=np.float32)
        _EPISODE_SCALES.encode(
            now.backward_flops_per_s / now.forward_flops_per_s,
            now.forward_bytes_per_s / now.forward_flops_per_s,
            now.backward_bytes_per_s / now.backward_flops_per_s,
            now.samples,
            out=rows[..., 5:9],
        )
        rows[..., 9] = now.deepest_cut * (2.0 / max(self.num_cuts - 1, 1)) - 1.0
        if self.with_battery:
            devices, per_j = view.devices, view.charge_per_j
            powers = (devices.idle_w, devices.computing_w, devices.transmitting_w, devices.receiving_w)
            _DRAIN_SCALES.encode(*(power * per_j for power in powers), out=rows[..., 12:16])
        return rows

    def per_round(self, view: View, episode_rows: Rows) -> Rows:
        """Fill in channel, free speed, progress and battery."""
        now = view.conditions
        rows = episode_rows.copy()
        _ROUND_SCALES.encode(
            now.uplink_snr_hz, now.forward_flops_per_s, now.downlink_full_rate_bps, out=rows[..., :3]
        )
        rows[..., 3] = now.fading.spread * 2.0 - 1.0
        rows.T[4] = view.progress
        if self.with_battery:
            rows[..., 10] = 1.0 if now.takes_part is None else now.takes_part * 2.0 - 1.0
            rows[..., 11] = view.charge * 2.0 - 1.0
        if view.learnt is not None:
            rows[..., 10 + 6 * self.with_battery] = scaled_learnt(view.learnt)[:, None]
        if view.learning is not None:
            accuracy, loss, elapsed_s = (values[:, None] for values in view.learning)
            rows[..., -3] = accuracy * 2.0 - 1.0
            with np.errstate(over="ignore"):  # a loss beyond single precision is at its scale's end
                _LEARNING_SCALES.encode(loss, elapsed_s, out=rows[..., -2:])
        return rows

    def decode(self, observation: Rows) -> Conditions:
        """Return the conditions behind (N, K, F) rows.

        Raises
        ------
        DecisionError
            If the rows do not have this encoder's number of columns, or hold what is no number from -1 to 1.
        """
        rows = as_array(observation, "observation")
        if rows.ndim != 3 or rows.shape[-1] != self.num_features:
            raise DecisionError(
                f"The observation has shape {rows.shape}; it has to be (N, K, {self.num_features})."
            )
        rows = floats(rows, "observation", "a row of scaled features for every device")
        _check_scaled(rows)
        forward = _FORWARD_FLOPS_PER_S.decode(rows[..., 1])
        backward = forward * _BACKWARD_OVER_FORWARD.decode(rows[..., 5])
        deepest = np.rint((rows[..., 9].astype(np.float64) + 1.0) * (max(self.num_cuts - 1, 1) / 2.0))
        return Conditions(
            uplink_snr_hz=_UPLINK_SNR_HZ.decode(rows[..., 0]),
            downlink_full_rate_bps=_DOWNLINK_FULL_RATE_BPS.decode(rows[..., 2]),
            forward_flops_per_s=forward,
            forward_bytes_per_s=forward * _bytes_per_flop(rows[..., 6]),
            backward_flops_per_s=backward,
            backward_bytes_per_s=backward * _bytes_per_flop(rows[..., 7]),
            samples=SAMPLES.decode(rows[..., 8]),
            deepest_cut=np.minimum(deepest, self.num_cuts - 1).astype(np.intp),
            takes_part=self._takes_part(rows),
            fading=SmallScaleFading.from_spread((rows[..., 3].astype(np.float64) + 1.0) * 0.5),
        )

    def _takes_part(self, rows: Rows) -> NDArray[np.bool_] | None:
        """(N, K): who can be reached and has charge left; None if all."""
        takes_part = rows[..., 2] > -1.0
        if self.with_battery:
            return takes_part & (rows[..., 10] > 0.0)
        return None if takes_part.all() else takes_part


def _bytes_per_flop(scaled: NDArray[np.floating]) -> Array:
    """Undo the scaling, at whose end no traffic takes any time."""
    return np.where(scaled >= 1.0, np.inf, _BYTES_PER_FLOP.decode(scaled))


def _check_scaled(rows: NDArray[np.floating]) -> None:
    """Refuse features that no encoder has scaled: decoded, they would be quantities that nothing has."""
    bad = ~(np.abs(rows) <= 1.0)
    if bad.any():
        env, device, column = (int(i) for i in np.argwhere(bad)[0])
        raise DecisionError(
            f"Column {column} of device {device} (environment {env}) is {rows[env, device, column]} in the "
            "observation; every feature has to be finite and from -1 to 1, as the environment gives it."
        )
