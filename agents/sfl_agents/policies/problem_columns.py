"""The columns of :class:`~sfl_env.spaces.problem_rows.ProblemRows` that carry over, as named tensors."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sfl_env.errors import TrainingError
from sfl_env.spaces.problem_rows import CUT_COLUMNS, ROUND_COLUMNS

_LOG_RATIO = math.log(1e6)
_LOG_SECONDS = math.log(1e3)
"""Natural logarithms at the ends of the encoder's scales."""

_WITHOUT_BATTERIES = frozenset({10, 11, 13, 14, 16})
_WITH_BATTERIES = frozenset({15, 18, 21})
"""How many columns rows may begin with: 10, then 5 on batteries or 1 of a surrogate of learning, which exclude
each other, 3 on old channels (with their ratio's), and 3 on a network's progress. Their number tells of batteries,
but not of which of the last two there are."""


class ProblemColumns(NamedTuple):
    """What a policy that carries over reads of B observations of K devices with C cuts.

    Seconds are those over the round of the sensible decision, at an equal share of the band where it counts.
    """

    log_fixed: Tensor  # (B, K, C) logarithm of the seconds that no band shortens
    uplink: Tensor  # (B, K, C) seconds of the uplink; 0 where nothing is sent
    downlink: Tensor  # (B, K, C)
    fits: Tensor  # (B, K, C) whether the cut fits into memory
    log_snr: Tensor  # (B, K) logarithm of the signal-to-noise ratio at an equal share
    device: Tensor  # (B, K, 10) other columns in [-1, 1]; those that are not there, and the last two, as 0
    log_length: Tensor  # (B,) logarithm of the sensible round over the nominal one

    @property
    def takes_part(self) -> Tensor:
        """(B, K): who has anything to send or receive at a cut that fits."""
        return ((self.uplink + self.downlink > 0.0) & self.fits).any(dim=-1)


DEVICE_FEATURES = 10
"""Width of :attr:`ProblemColumns.device`; agents in files have weights for so many."""

SPREAD = 4
"""Place of the fading's spread among them."""


def num_leading(columns: int, num_cuts: int) -> int:
    """Return how many columns rows of the problem begin with, before those that are relative to the round.

    Parameters
    ----------
    columns : int
        F.
    num_cuts : int
        C.

    Raises
    ------
    TrainingError
        If rows of so many columns are none of the problem with so many cuts.

    Examples
    --------
    >>> num_leading(10 + 6 + 4 * 8, num_cuts=8)
    10
    >>> num_leading(10, num_cuts=8)
    Traceback (most recent call last):
        ...
    sfl_env.errors.TrainingError: Rows of 10 columns are not those of the problem with 8 cuts: make the environment
    with observation_mode='problem'.
    """
    leading = columns - ROUND_COLUMNS - CUT_COLUMNS * num_cuts
    if leading not in _WITHOUT_BATTERIES | _WITH_BATTERIES:
        raise TrainingError(
            f"Rows of {columns} columns are not those of the problem with {num_cuts} cuts: make the environment "
            "with observation_mode='problem'."
        )
    return leading


def read(rows: Tensor, num_cuts: int) -> ProblemColumns:
    """Take rows (B, K, F) of the problem with C cuts apart.

    Raises
    ------
    TrainingError
        As :func:`num_leading`.
    """
    leading = num_leading(rows.shape[-1], num_cuts)
    per_round, per_cut = rows[..., leading : leading + ROUND_COLUMNS], rows[..., leading + ROUND_COLUMNS :]
    fixed, uplink, downlink, fits = per_cut.split(num_cuts, dim=-1)
    return ProblemColumns(
        log_fixed=fixed * _LOG_SECONDS,
        uplink=_seconds(uplink),
        downlink=_seconds(downlink),
        fits=fits > 0.0,
        log_snr=per_round[..., 0] * _LOG_RATIO,
        device=torch.stack(_device_features(rows, per_round, leading in _WITH_BATTERIES), dim=-1),
        log_length=per_round[..., 0, 2] * _LOG_SECONDS,
    )


def _seconds(column: Tensor) -> Tensor:
    """Undo the logarithm; the scale's low end stands for nothing at all."""
    return torch.where(column > -1.0, (column * _LOG_SECONDS).exp(), 0.0)


def _device_features(rows: Tensor, per_round: Tensor, with_battery: bool) -> list[Tensor]:
    absent = torch.zeros_like(rows[..., 0])
    battery = [rows[..., 10], rows[..., 11]] if with_battery else [absent, absent]
    return [
        per_round[..., 0],  # signal-to-noise ratio at an equal share
        per_round[..., 1],  # the sensible share
        per_round[..., 3],  # the device's part of the sensible round
        per_round[..., 4],  # and what no band shortens of it
        rows[..., 3],  # spread of the fading
        rows[..., 4],  # progress of the episode
        *battery,  # takes part, charge
        # A network's progress has its place here, but rows of as many columns may tell of old channels instead.
        absent,
        absent,
    ]
