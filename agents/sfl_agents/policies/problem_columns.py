"""The columns of :class:`~sfl_env.spaces.problem_rows.ProblemRows` that carry over, as named tensors."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sfl_env.errors import TrainingError
from sfl_env.spaces.observation import DeviceRows
from sfl_env.spaces.problem_rows import CUT_COLUMNS, DRAIN_COLUMNS, PHASE_COLUMNS, ROUND_COLUMNS

_LOG_RATIO = math.log(1e6)
_LOG_SECONDS = math.log(1e3)
"""Natural logarithms at the ends of the encoder's scales."""

_LOG_PHASES = math.log(1e6)
_LOG_BUDGETS = _LOG_ROUNDS = math.log(1e3)

_LATE_COLUMNS = 1
"""Where the channel is observed late, there are so many just before those of the round."""

_ROWS = {
    (late, rows.num_features + rows.with_battery * DRAIN_COLUMNS + late * _LATE_COLUMNS): rows
    for late in (False, True)
    for rows in (
        *(DeviceRows(1, battery, learning, late) for battery in (False, True) for learning in (False, True)),
        DeviceRows(1, False, False, late, with_surrogate=True),  # which goes with neither of these
    )
}
"""The kinds of absolute columns, by whether the channel is observed late and the number of columns."""


class BatteryColumns(NamedTuple):
    """What rows tell of the batteries."""

    log_rounds_left: Tensor  # (B,) logarithm of the rounds left, this one included
    log_drain: Tensor  # (B, K, 3) logarithm of the part of a round's budget, the charge left over the rounds left,
    # that the sensible round's length of computing, of sending and of receiving takes
    charge: Tensor  # (B, K) of the battery left, 0 to 1


class ProblemColumns(NamedTuple):
    """What a policy that carries over reads of B observations of K devices with C cuts.

    Seconds are those over the round of the sensible decision, at an equal share of the band where it counts.
    """

    log_fixed: Tensor  # (B, K, C) logarithm of the seconds that no band shortens
    uplink: Tensor  # (B, K, C) seconds of the uplink; 0 where nothing is sent
    downlink: Tensor  # (B, K, C)
    fits: Tensor  # (B, K, C) whether the cut fits into memory
    log_snr: Tensor  # (B, K) logarithm of the signal-to-noise ratio at an equal share
    log_faded: Tensor  # (B, K) logarithm of that ratio without small-scale fading over it; 0 if it is of now
    device: Tensor  # (B, K, 10) other columns in [-1, 1], those that are not there as 0; the last two are 0
    log_length: Tensor  # (B,) logarithm of the sensible round over the nominal one
    progress: Tensor  # (B,) of the episode, -1 before its first round to 1 after its last
    batteries: "BatteryColumns | None"  # where there are batteries
    phases: Tensor | None  # (B, K, 7, C) seconds of the phases, where devices wait for each other between stages

    @property
    def takes_part(self) -> Tensor:
        """(B, K): who has anything to send or receive at a cut that fits."""
        return ((self.uplink + self.downlink > 0.0) & self.fits).any(dim=-1)


DEVICE_FEATURES = 10
"""Width of :attr:`ProblemColumns.device`; agents in files have weights for so many."""

SPREAD = 4
"""Place of the fading's spread among them."""


def num_absolute(columns: int, num_cuts: int, *, late_channel: bool = False) -> int:
    """Return how many columns rows of the problem have before those of the phases and of the round.

    Parameters
    ----------
    columns : int
        F.
    num_cuts : int
        C.
    late_channel : bool
        Whether the channel is observed late.

    Raises
    ------
    TrainingError
        If rows of so many columns are none of the problem with so many cuts.

    Examples
    --------
    >>> num_absolute(10 + 6 + 4 * 8, num_cuts=8)
    10
    >>> num_absolute(13 + 6 + 4 * 8, num_cuts=8, late_channel=True)
    13
    >>> num_absolute(10 + 7 * 8 + 6 + 4 * 8, num_cuts=8)
    10
    >>> num_absolute(10, num_cuts=8)
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: Rows of 10 columns are not those of the problem with 8 cuts: make the environment
    with observation_mode='problem'.
    """
    without = columns - ROUND_COLUMNS - CUT_COLUMNS * num_cuts
    for absolute in (without, without - PHASE_COLUMNS * num_cuts):
        if (late_channel, absolute) in _ROWS:
            return absolute
    raise TrainingError(
        f"Rows of {columns} columns are not those of the problem with {num_cuts} cuts"
        f"{' and a channel that is observed late' if late_channel else ''}: make the environment with "
        "observation_mode='problem'."
    )


def has_phases(columns: int, num_cuts: int, absolute: int) -> bool:
    """Whether rows of so many columns, so many of them absolute, tell the seconds of the phases.

    Examples
    --------
    >>> has_phases(10 + 7 * 8 + 6 + 4 * 8, 8, absolute=10), has_phases(10 + 6 + 4 * 8, 8, absolute=10)
    (True, False)
    """
    return columns - absolute == PHASE_COLUMNS * num_cuts + ROUND_COLUMNS + CUT_COLUMNS * num_cuts


def read(rows: Tensor, num_cuts: int, *, late_channel: bool = False) -> ProblemColumns:
    """Take rows (B, K, F) of the problem with C cuts apart.

    Raises
    ------
    TrainingError
        As :func:`num_absolute`.
    """
    absolute = num_absolute(rows.shape[-1], num_cuts, late_channel=late_channel)
    first = rows.shape[-1] - ROUND_COLUMNS - CUT_COLUMNS * num_cuts
    per_round, per_cut = rows[..., first : first + ROUND_COLUMNS], rows[..., first + ROUND_COLUMNS :]
    fixed, uplink, downlink, fits = per_cut.split(num_cuts, dim=-1)
    kind = _ROWS[late_channel, absolute]
    log_snr = per_round[..., 0] * _LOG_RATIO
    without_fading = rows[..., first - 1] * _LOG_RATIO if late_channel else log_snr
    return ProblemColumns(
        log_fixed=fixed * _LOG_SECONDS,
        uplink=_seconds(uplink, _LOG_SECONDS),
        downlink=_seconds(downlink, _LOG_SECONDS),
        fits=fits > 0.0,
        log_snr=log_snr,
        log_faded=without_fading - log_snr,
        device=torch.stack(_device_features(rows, per_round, kind), dim=-1),
        log_length=per_round[..., 0, 2] * _LOG_SECONDS,
        progress=rows[..., 0, 4],
        batteries=_batteries(rows, kind) if kind.with_battery else None,
        phases=_phases(rows[..., :first], num_cuts, late_channel) if first > absolute else None,
    )


def _seconds(column: Tensor, log_end: float) -> Tensor:
    """Undo the logarithm; the scale's low end stands for nothing at all."""
    return torch.where(column > -1.0, (column * log_end).exp(), 0.0)


def _phases(before: Tensor, num_cuts: int, late_channel: bool) -> Tensor:
    """(B, K, 7, C): seconds of the phases, the last of the columns before those of the round."""
    end = before.shape[-1] - late_channel * _LATE_COLUMNS
    columns = before[..., end - PHASE_COLUMNS * num_cuts : end]
    return _seconds(columns.unflatten(-1, (PHASE_COLUMNS, num_cuts)), _LOG_PHASES)


def _batteries(rows: Tensor, kind: DeviceRows) -> BatteryColumns:
    left, drains = rows[..., kind.num_features :][..., :DRAIN_COLUMNS].tensor_split([1], dim=-1)
    return BatteryColumns(
        log_rounds_left=(left[:, 0, 0] + 1.0) * (_LOG_ROUNDS / 2.0),
        log_drain=drains * _LOG_BUDGETS,
        charge=(rows[..., 11] + 1.0) * 0.5,
    )


def _device_features(rows: Tensor, per_round: Tensor, kind: DeviceRows) -> list[Tensor]:
    absent = torch.zeros_like(rows[..., 0])
    battery = [rows[..., 10], rows[..., 11]] if kind.with_battery else [absent, absent]
    return [
        per_round[..., 0],  # signal-to-noise ratio at an equal share
        per_round[..., 1],  # the sensible share
        per_round[..., 3],  # the device's part of the sensible round
        per_round[..., 4],  # and what no band shortens of it
        rows[..., 3],  # spread of the fading
        rows[..., 4],  # progress of the episode
        *battery,  # takes part, charge
        absent,  # nothing of the learning: agents are trained on the lengths of rounds
        absent,
    ]
