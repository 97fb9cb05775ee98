"""What is kept of a contestant, and the proof that all contestants were treated alike."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sfl_env import Scenario
from sfl_env.rounds.conditions import Conditions
from sfl_lab.compare.writing import StoredArrays


class ImpossibleResultError(RuntimeError):
    """A comparison shows what cannot be: a bug in the comparison or in the environment."""


class Record(StoredArrays, ABC):
    """What is kept of one contestant in one heat: a frozen dataclass of arrays."""

    conditions: NDArray[np.int64]
    """(R,) checksum of channels and devices at the start of each round."""

    @abstractmethod
    def fits(self, scenario: Scenario, episodes: int) -> bool:
        """Whether the arrays can be those of so many episodes; others come from a damaged file."""

    def unlike(self, other: "Record") -> str | None:
        """Say in which way two contestants were not treated alike, if they were not."""
        # From then on channels move by as long as each contestant's own rounds last.
        if np.array_equal(self.conditions[:1], other.conditions[:1]):
            return None
        return "started from different channels or devices"


def checksum(now: Conditions) -> int:
    """Return a number that tells channels and devices from others."""
    return zlib.crc32(np.stack([now.uplink_snr_hz, now.forward_flops_per_s, now.samples]).tobytes())


def check_paired(records: Mapping[str, Record]) -> None:
    """Raise unless all contestants of a heat started alike, from the same channels and devices.

    Raises
    ------
    ImpossibleResultError
        If they did not.
    """
    first, *others = records
    for other in others:
        unlike = records[first].unlike(records[other])
        if unlike:
            raise ImpossibleResultError(
                f"{first!r} and {other!r} {unlike} with the same seed: the comparison would not be paired."
            )
