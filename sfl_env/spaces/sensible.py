"""The decision that residual actions and problem rows are relative to."""

from typing import NamedTuple

from sfl_env.optimum.by_air_time import ByAirTime, split_by_air_time
from sfl_env.optimum.joint import OwnCuts
from sfl_env.optimum.seen import own_cuts_under
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.workload import Workload


class Sensible(NamedTuple):
    """A sensible decision, and the devices that it is for."""

    devices: OwnCuts
    decision: ByAirTime


class SensibleDecisions:
    """Own best cuts with the band in proportion to air time, for what is observed.

    What was found for the conditions asked last is kept: a round's observation and the action on it ask for the
    same.

    Parameters
    ----------
    workload : Workload
        Costs per cut.
    resources : Resources
        What the devices share.
    """

    def __init__(self, workload: Workload, resources: Resources) -> None:
        self._workload = workload
        self._resources = resources
        self._last: tuple[Conditions, Sensible] | None = None

    def __call__(self, seen: Conditions) -> Sensible:
        """Return the decision for N times K devices under the conditions."""
        if self._last is None or self._last[0] is not seen:
            devices = own_cuts_under(self._workload, self._resources, seen)
            self._last = (seen, Sensible(devices, split_by_air_time(devices)))
        return self._last[1]
