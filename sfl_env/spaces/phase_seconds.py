"""What every phase takes a device at every cut with an equal share of the band."""

from dataclasses import dataclass

import numpy as np

from sfl_env.arrays import Array
from sfl_env.optimum.link import Toll
from sfl_env.rounds.amounts import DOWNLOADS, UPLOADS, phase_amounts
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.latency import SERVER_COMPUTE
from sfl_env.rounds.workload import Workload


@dataclass(frozen=True)
class PhaseSeconds:
    """Seconds of the phases, messages' own time included.

    Parameters
    ----------
    workload : Workload
        Costs per cut.
    resources : Resources
        What the devices share.
    """

    workload: Workload
    resources: Resources

    def __call__(self, now: Conditions, equal: Toll) -> Array:
        """Return (N, K, 7, C) seconds; 0 throughout for a device that takes no part.

        Parameters
        ----------
        now : Conditions
            Of N rounds of K devices.
        equal : Toll
            Seconds per bit at an equal share.
        """
        seconds = phase_amounts(self.workload, self.resources, now)
        seconds[list(UPLOADS)] *= equal.up[..., None]
        seconds[list(DOWNLOADS)] *= equal.down[..., None]
        seconds += self.workload.message_s[:, None, None]
        seconds[SERVER_COMPUTE] /= seconds.shape[2]  # each job has the whole server in its turn
        if now.takes_part is not None:
            seconds[:, ~now.takes_part] = 0.0
        found: Array = np.moveaxis(seconds, 0, 2)
        return found
