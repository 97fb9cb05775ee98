"""Fields of the tiers, and of what the length of a round is made of."""

from dataclasses import dataclass
from typing import Literal

from sfl_env.scenario.declaring import number, plain

Schedule = Literal["parallel", "sequence"]

System = Literal["parallel", "sequence", "synchronised", "deadline"]
"""What the length of a round is made of: the slowest of devices that work at once, all devices in turn, the
slowest of each phase, or whoever is in time."""


@dataclass(frozen=True)
class TierFields:
    """What is known, what runs out and what waits for what."""

    csi_delay_rounds: int = number(0, 0, 1000, "rounds", "how old the observed channel is")
    battery_j: float | None = number(
        None, 1e-9, 1e12, "J", "battery at the start; an empty device leaves; None: mains-powered"
    )
    synchronised_phases: bool = plain(
        False, "each phase waits for all devices and the server takes their jobs in turn"
    )
    schedule: Schedule = plain(
        "parallel",
        "parallel: all devices at once; sequence: one after another with the whole band and server, as in split "
        "learning",
    )
    deadline_s: float | None = number(
        None, 1e-9, 1e12, "s", "a device that takes longer is left out of the round; None: the round waits for all"
    )
