"""Observations that carry over: every device's part of the round's problem, on scales of the round itself."""

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from sfl_env.arrays import Array
from sfl_env.optimum.by_air_time import ByAirTime
from sfl_env.optimum.joint import OwnCuts, first_entries
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.latency import PHASES
from sfl_env.spaces.observation import Batteries, DeviceRows, training_drain_per_s
from sfl_env.spaces.phase_seconds import PhaseSeconds
from sfl_env.spaces.scales import LogScale, LogScales, Rows
from sfl_env.spaces.sensible import SensibleDecisions
from sfl_env.spaces.view import View

ROUND_COLUMNS = 6
"""What there is of a device besides its absolute columns and its cuts."""

DRAIN_COLUMNS = 4
"""What there is of a device's battery besides, where there are batteries."""

CUT_COLUMNS = 4
"""What there is of a device's cut."""

PHASE_COLUMNS = len(PHASES)
"""What there is of a device's cut besides, where devices wait for each other between stages."""

_RATIO = LogScale(1e-6, 1e6)
_SHARE = LogScale(1e-3, 1e3)
_SECONDS = LogScale(1e-3, 1e3)
_ROUND_SCALES = LogScales(_RATIO, _SHARE, _SECONDS)
_ROUNDS = LogScale(1.0, 1e3)
_BUDGETS = LogScale(1e-3, 1e3)
_PHASES = LogScale(1e-6, 1e6)

LENGTHS = _SECONDS
"""Scale of the column of :func:`length_column`."""

_SMALLEST_BUDGET = 1e-12
"""Stands for what is left of an empty battery."""

_SHORTEST_S = 1e-300
"""Stands for the length of a round in which nobody has anything to do."""


def length_column(num_cuts: int) -> int:
    """Return the column, counted from the end, of the sensible decision's round over the nominal round.

    Parameters
    ----------
    num_cuts : int
        C.

    Examples
    --------
    >>> length_column(num_cuts=4)
    -20
    """
    return 2 - ROUND_COLUMNS - CUT_COLUMNS * num_cuts


@dataclass(frozen=True)
class ProblemRows:
    """Every device's part of the round's joint problem, relative to the round of a sensible decision.

    A policy that reads these columns alone need not be trained anew for another band, network, mini-batch, cell or
    number of devices: seconds are those over the round of the decision of
    :class:`~sfl_env.spaces.sensible.SensibleDecisions`, bits are the seconds that they take at an equal share.

    Parameters
    ----------
    absolute : DeviceRows
        The default encoder. Its columns come first, so that solvers have their way back to physical values.
    sensible : SensibleDecisions
        The decision that seconds and shares are relative to.
    reference_s : float
        Seconds of a nominal round.
    max_rounds : int
        Rounds of an episode.
    phases : PhaseSeconds, optional
        Seconds of the phases, where devices wait for each other between stages.

    Notes
    -----
    With A columns of ``absolute`` and C cuts a device's row has A + 6 + 4 C columns, each in [-1, 1]. Where the
    channel is observed late there is one more before these six: the ratio of A without small-scale fading. With
    batteries there are four more just behind those of ``absolute``: the rounds left, logarithmic, 1 to 1e3, and
    the part of a round's budget, which is the charge left over the rounds left, that as many seconds of computing,
    of sending and of receiving take as the sensible decision's round lasts, logarithmic, 1e-3 to 1e3. Where
    devices wait for each other between stages there are 7 C more behind these: for each phase and each cut the
    seconds at an equal share of the band, the server's for a job that has it alone, over that round's,
    logarithmic, 1e-6 to 1e6.

    ======================  =================================================================================
    0 to A - 1              those of :class:`~sfl_env.spaces.observation.DeviceRows`
    A                       uplink signal-to-noise ratio at an equal share of the band, logarithmic, 1e-6 to 1e6
    A + 1                   share in the sensible decision times K, logarithmic, 1e-3 to 1e3
    A + 2                   length of that decision's round over the nominal round, logarithmic, 1e-3 to 1e3
    A + 3                   the device's seconds in that round over the round's, linear, 0 to 1
    A + 4                   of these, what no band shortens, linear, 0 to 1
    A + 5                   its cut there, linear, index 0 to C - 1
    the next C              for each cut: seconds that no band shortens over that round's, logarithmic, 1e-3 to 1e3
    the next C              for each cut: seconds of the uplink at an equal share, likewise
    the next C              for each cut: seconds of the downlink at an equal share, likewise
    the last C              for each cut: 1 if it fits into the device's memory, else -1
    ======================  =================================================================================
    """

    absolute: DeviceRows
    sensible: SensibleDecisions
    reference_s: float
    max_rounds: int
    phases: PhaseSeconds | None = None

    @property
    def num_features(self) -> int:
        """F, the number of columns."""
        return self._first + ROUND_COLUMNS + CUT_COLUMNS * self.absolute.num_cuts

    @property
    def _first(self) -> int:
        """The first column that is relative to the round."""
        first: int = self._phase_columns.stop + self.absolute.with_large_scale
        return first

    @property
    def _phase_columns(self) -> slice:
        absolute = self.absolute
        first = absolute.num_features + DRAIN_COLUMNS * absolute.with_battery
        there = 0 if self.phases is None else PHASE_COLUMNS * absolute.num_cuts
        return slice(first, first + there)

    def space(self, num_devices: int) -> spaces.Box:
        """Return ``Box(-1, 1, (K, F), float32)``."""
        return spaces.Box(-1.0, 1.0, (num_devices, self.num_features), np.float32)

    def per_episode(self, view: View) -> Rows:
        """Fill in what stays the same: the absolute columns of the episode, and which cuts fit."""
        absolute = self.absolute.per_episode(view)
        rows = np.zeros((*absolute.shape[:2], self.num_features), np.float32)
        rows[..., : absolute.shape[-1]] = absolute
        fits = np.arange(self.absolute.num_cuts) <= view.conditions.deepest_cut[..., None]
        rows[..., -self.absolute.num_cuts :] = fits * 2.0 - 1.0
        return rows

    def per_round(self, view: View, episode_rows: Rows) -> Rows:
        """Fill in the absolute columns of the round, and what is relative to its sensible decision."""
        rows = episode_rows.copy()
        columns = self.absolute.num_features
        rows[..., :columns] = self.absolute.per_round(view, episode_rows[..., :columns])
        found = self.sensible(view.conditions)
        round_s = self._fill(rows, view.conditions, found.devices, found.decision)
        if self.phases is not None:
            seconds = self.phases(view.conditions, found.decision.equal)
            seconds /= round_s[..., None, None]
            rows[..., self._phase_columns] = _PHASES.encode(seconds).reshape(*rows.shape[:2], -1)
        if self.absolute.with_battery:
            self._fill_drains(rows[..., columns : columns + DRAIN_COLUMNS], view, round_s)
        return rows

    def _fill_drains(self, columns: Rows, view: View, round_s: Array) -> None:
        """Fill in (N, K, 4) the rounds left and what the sensible round's length (N, 1) takes of their budget."""
        rounds_left = np.maximum(np.rint(self.max_rounds * (1.0 - view.progress) / 2.0), 1.0)
        budget = np.maximum(view.charge / rounds_left[:, None], _SMALLEST_BUDGET)
        parts = [per_s * round_s / budget for per_s in training_drain_per_s(view)]
        columns[..., 0] = _ROUNDS.encode(rounds_left)[:, None]
        columns[..., 1:] = _BUDGETS.encode(np.stack(parts, axis=-1))

    def _fill(self, rows: Rows, now: Conditions, devices: OwnCuts, base: ByAirTime) -> Array:
        """Fill in what is relative to the sensible round, and return its length (N, 1)."""
        first, num_cuts, k = self._first, self.absolute.num_cuts, rows.shape[1]
        toll = devices.link.toll(base.share)
        entry = first_entries(devices.fixed_s.shape) + base.cut
        fixed_s = devices.fixed_s.take(entry)
        device_s = (
            fixed_s + devices.uplink_bits.take(entry) * toll.up + devices.downlink_bits.take(entry) * toll.down
        )
        round_s: Array = np.maximum(device_s.max(axis=-1, keepdims=True), _SHORTEST_S)
        ratio = now.uplink_snr_hz * k / devices.link.bandwidth_hz
        if now.large_scale is not None:
            rows[..., first - 1] = _RATIO.encode(now.large_scale.uplink_snr_hz * k / devices.link.bandwidth_hz)
        length = np.broadcast_to(round_s / self.reference_s, device_s.shape)
        _ROUND_SCALES.encode(ratio, base.share * k, length, out=rows[..., first : first + 3])
        rows[..., first + 3] = device_s / round_s * 2.0 - 1.0
        rows[..., first + 4] = fixed_s / round_s * 2.0 - 1.0
        rows[..., first + 5] = base.cut * (2.0 / max(num_cuts - 1, 1)) - 1.0
        seconds = np.stack(
            [
                devices.fixed_s,
                devices.uplink_bits * base.equal.up[..., None],
                devices.downlink_bits * base.equal.down[..., None],
            ],
            axis=2,
        )
        seconds /= round_s[..., None, None]
        first += ROUND_COLUMNS
        rows[..., first : first + 3 * num_cuts] = _SECONDS.encode(seconds).reshape(*device_s.shape, -1)
        return round_s

    def decode(self, observation: Rows) -> Conditions:
        """Return the conditions that the absolute columns tell of.

        Raises
        ------
        DecisionError
            As :meth:`~sfl_env.spaces.observation.DeviceRows.decode`.
        """
        return self.absolute.decode(observation[..., : self.absolute.num_features])

    def decode_batteries(self, observation: Rows) -> Batteries:
        """Return what the absolute columns tell of the batteries.

        Raises
        ------
        DecisionError
            As :meth:`~sfl_env.spaces.observation.DeviceRows.decode_batteries`.
        """
        return self.absolute.decode_batteries(observation[..., : self.absolute.num_features])
