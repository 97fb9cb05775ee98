"""What the picture of a round shows, as plain values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.rounds.latency import SERVER_COMPUTE
from sfl_env.rounds.stages import Stages

_TOGETHER = 1e-6  # ends that differ by less than this, relatively, are the same


@dataclass(frozen=True)
class RoundPicture:
    """What the picture of a round shows, as plain values.

    Parameters
    ----------
    heading : str
        What the picture is of, such as ``"Round 7"``.
    latency_s : float
        The round's length, seconds.
    start_s, duration_s : (K, 7) array
        When each device's phases begin and how long they take, seconds; see :func:`schedule`.
    cut : (K,) integer array
        Index of each device's cut; shown counted from 1, as c in the model.
    bandwidth_share : (K,) array
        Share of the band.
    cut_names : tuple of str
        Name of every cut, (C,).
    device_names : tuple of str
        Name of every device, (K,), shown behind its index; may be empty texts.
    optimal_latency_s : float, optional
        The round's optimum, where it is known.
    note : str
        Written across the timeline, for instance why it is empty.
    """

    heading: str
    latency_s: float
    start_s: Array  # (K, 7)
    duration_s: Array  # (K, 7)
    cut: NDArray[np.intp]  # (K,)
    bandwidth_share: Array  # (K,)
    cut_names: tuple[str, ...]  # (C,)
    device_names: tuple[str, ...]  # (K,)
    optimal_latency_s: float | None = None
    note: str = ""

    @property
    def takes_part(self) -> NDArray[np.bool_]:
        """(K,): whether a device does anything in the round."""
        takes_part: NDArray[np.bool_] = self.duration_s.sum(axis=-1) > 0.0
        return takes_part

    @property
    def stragglers(self) -> tuple[int, ...]:
        """Indices of the devices that finish last: several where they do so together, none in an empty round."""
        end_s = (self.start_s + self.duration_s).max(axis=-1)
        last = self.takes_part & (end_s >= end_s.max() * (1.0 - _TOGETHER))
        return tuple(np.flatnonzero(last).tolist())

    @property
    def optimum_is_earlier(self) -> bool:
        """Whether the optimum is known, and would have ended visibly before the round did."""
        return self.optimal_latency_s is not None and self.optimal_latency_s < self.latency_s * (1.0 - _TOGETHER)


def schedule(phase_latency_s: Array, stages: Stages) -> tuple[Array, Array]:
    """Return when each device's phases begin and how long they take.

    Parameters
    ----------
    phase_latency_s : (K, 7) array
        Seconds of each device's phases, as in ``info["phase_latency_s"]``.
    stages : Stages
        Those of :data:`sfl_env.rounds.stages.STAGES` in which devices wait for each other, if any.

    Returns
    -------
    start_s, duration_s : (K, 7) arrays
        Seconds.

    Examples
    --------
    >>> start_s, duration_s = schedule(np.array([[1.0] * 7, [2.0] * 7]), stages=())
    >>> start_s[1]
    array([ 0.,  2.,  4.,  6.,  8., 10., 12.])
    """
    duration = np.array(phase_latency_s, dtype=np.float64)
    if not stages:
        return np.cumsum(duration, axis=-1) - duration, duration
    start, began = np.zeros_like(duration), 0.0
    for stage in stages:
        ended = np.full(len(duration), began)
        for phase in stage:
            turn = np.cumsum(duration[:, phase]) - duration[:, phase] if phase == SERVER_COMPUTE else 0.0
            start[:, phase] = ended + turn
            ended = start[:, phase] + duration[:, phase]
        began = float(ended.max())
    return start, duration
