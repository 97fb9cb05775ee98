"""What a round came to, as a plain value."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array


class Outcome(NamedTuple):
    """What a round came to."""

    phase_latency_s: Array  # (7, N, K)
    device_latency_s: Array  # (N, K)
    latency_s: Array  # (N,)
    energy_j: Array  # (N, K)
    charge: Array  # (N, K) of the battery left after the round, 0 to 1
    takes_part: NDArray[np.bool_] | None  # (N, K) to the round's end, so is in its average; None: all do
    samples: Array  # (N, K) that the devices have for a round, whether they take part or not

    def missed(self) -> Array:
        """(N,): the part of the round's samples that is not in its average."""
        if self.takes_part is None:
            return np.zeros(len(self.samples))
        left_out: Array = (self.samples * ~self.takes_part).sum(axis=-1) / self.samples.sum(axis=-1)
        return left_out

    learnt: Array | None = None  # (N,) of what the target accuracy typically takes; None without a surrogate
