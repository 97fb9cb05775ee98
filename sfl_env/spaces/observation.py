"""What an agent sees: one row of scaled features for each device, and the way back to physical values."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.errors import DecisionError
from sfl_env.rounds.conditions import Conditions, LargeScale
from sfl_env.rounds.energy import Power, TrainingPower
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.outage import LEAST_RATE_BPS
from sfl_env.spaces.incoming import as_array, floats
from sfl_env.spaces.scales import LogScale, LogScales, Rows
from sfl_env.spaces.view import View


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


_UPLINK_SNR_HZ = LogScale(1.0, 1e15)
_DOWNLINK_FULL_RATE_BPS = LogScale(LEAST_RATE_BPS, 1e13)
_FORWARD_FLOPS_PER_S = LogScale(1e6, 1e15)
_BACKWARD_OVER_FORWARD = LogScale(1e-3, 1e3)
_BYTES_PER_FLOP = LogScale(1e-6, 1e6)
SAMPLES = LogScale(1.0, 1e9)
_DRAIN_PER_S = LogScale(1e-9, 1e3)
_DOWNLINK_SINR = LogScale(1e-9, 1e15)
_LOSS = LogScale(1e-4, 1e4)
_ELAPSED_S = LogScale(1e-3, 1e9)

_LEARNING_SCALES = LogScales(_LOSS, _ELAPSED_S)
_ROUND_SCALES = LogScales(_UPLINK_SNR_HZ, _FORWARD_FLOPS_PER_S, _DOWNLINK_FULL_RATE_BPS)
_EPISODE_SCALES = LogScales(_BACKWARD_OVER_FORWARD, _BYTES_PER_FLOP, _BYTES_PER_FLOP, SAMPLES)
_DRAIN_SCALES = LogScales(*[_DRAIN_PER_S] * 3)
_LARGE_SCALES = LogScales(_UPLINK_SNR_HZ, _DOWNLINK_SINR)


class Batteries(NamedTuple):
    """What an observation tells of the batteries, in shares of what training may use."""

    charge: Array  # (N, K) left, 0 to 1
    drain_per_s: TrainingPower  # of each state of training; 0 for a device that never runs empty
    progress: Array  # (N,) share of the episode's rounds that are over, 0 to 1


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
        with_large_scale : bool
            Whether the columns on links without small-scale fading are there, as where the channel is an old one.
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
    12   computing_drain_per_s     logarithmic, 1e-9 to 1e3: of that battery, what a second of computing takes more
                                   than waiting; at the low end, nothing (with batteries only)
    13   transmitting_drain_per_s  the same of sending
    14   receiving_drain_per_s     the same of receiving
    B    large_scale_snr_hz        column 0 without small-scale fading, on its scale (old channels only); B is 10,
                                   or 15 with batteries
    B+1  large_scale_sinr          logarithmic, 1e-9 to 1e15: ratio of signal to noise in the downlink without
                                   small-scale fading (old channels only)
    S    learnt                    linear, 0 to 2, of what the target typically takes (with a surrogate of learning
                                   only, behind all of these; same in every row)
    -3   accuracy                  linear, 0 to 1, of the global model (accuracy mode only; same in every row)
    -2   loss                      logarithmic, 1e-4 to 1e4 (accuracy mode only; same in every row)
    -1   elapsed_s                 logarithmic, 1e-3 to 1e9 since the start (accuracy mode only, same in all rows)
    ===  ========================  ======================================================================
    """

    num_cuts: int
    with_battery: bool
    with_learning: bool = False
    with_large_scale: bool = False
    with_surrogate: bool = False

    @property
    def num_features(self) -> int:
        """F, the number of columns."""
        return self._learnt_column + self.with_surrogate + 3 * self.with_learning

    @property
    def _learnt_column(self) -> int:
        return self._large_scale_from + 2 * self.with_large_scale

    @property
    def _large_scale_from(self) -> int:
        return 10 + 5 * self.with_battery

    @property
    def _large_scale_columns(self) -> slice:
        return slice(self._large_scale_from, self._large_scale_from + 2)

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
            _DRAIN_SCALES.encode(*training_drain_per_s(view), out=rows[..., 12:15])
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
        if self.with_large_scale and now.large_scale is not None:
            _LARGE_SCALES.encode(*now.large_scale, out=rows[..., self._large_scale_columns])
        if self.with_battery:
            rows[..., 10] = 1.0 if now.takes_part is None else now.takes_part * 2.0 - 1.0
            rows[..., 11] = view.charge * 2.0 - 1.0
        if view.learnt is not None:
            rows[..., self._learnt_column] = scaled_learnt(view.learnt)[:, None]
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
        rows = self._checked(observation)
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
            large_scale=self._large_scale(rows),
        )

    def _large_scale(self, rows: NDArray[np.floating]) -> LargeScale | None:
        if not self.with_large_scale:
            return None
        uplink, downlink = np.moveaxis(rows[..., self._large_scale_columns], -1, 0)
        return LargeScale(_UPLINK_SNR_HZ.decode(uplink), _DOWNLINK_SINR.decode(downlink))

    def decode_batteries(self, observation: Rows) -> Batteries:
        """Return what (N, K, F) rows tell of the batteries.

        Raises
        ------
        DecisionError
            As :meth:`decode`, or if the rows tell nothing of batteries.
        """
        if not self.with_battery:
            raise DecisionError(
                "The observation tells nothing of batteries, as this environment has none: make it with the field "
                "battery_share, or by the id SFL-Battery-v0."
            )
        rows = self._checked(observation).astype(np.float64)
        drains = rows[..., 12:15]
        per_s = np.where(drains <= -1.0, 0.0, _DRAIN_PER_S.decode(drains))
        return Batteries(
            charge=(rows[..., 11] + 1.0) * 0.5,
            drain_per_s=TrainingPower(*np.moveaxis(per_s, -1, 0)),
            progress=(rows[:, 0, 4] + 1.0) * 0.5,
        )

    def _checked(self, observation: Rows) -> NDArray[np.floating]:
        """Return rows of this encoder's, or refuse what are none."""
        rows = as_array(observation, "observation")
        if rows.ndim != 3 or rows.shape[-1] != self.num_features:
            raise DecisionError(
                f"The observation has shape {rows.shape}; it has to be (N, K, {self.num_features})."
            )
        rows = floats(rows, "observation", "a row of scaled features for every device")
        _check_scaled(rows)
        return rows

    def _takes_part(self, rows: Rows) -> NDArray[np.bool_] | None:
        """(N, K): who can be reached and has charge left; None if all."""
        takes_part = rows[..., 2] > -1.0
        if self.with_battery:
            return takes_part & (rows[..., 10] > 0.0)
        return None if takes_part.all() else takes_part


def training_drain_per_s(view: View) -> TrainingPower:
    """Return what a second in each state takes of the batteries more than waiting, (N, K) each."""
    devices = view.devices
    power = Power(devices.idle_w, devices.computing_w, devices.transmitting_w, devices.receiving_w)
    return TrainingPower(*(watts * view.charge_per_j for watts in power.above_idle()))


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
