"""Fields of the tiers, and of what the length of a round is made of."""

from dataclasses import dataclass
from typing import Literal

from sfl_env.scenario.declaring import number, plain

Schedule = Literal["parallel", "sequence"]

Barriers = Literal["none", "adaptsfl", "every-phase"]

System = Literal["parallel", "sequence", "staged", "queued", "deadline"]
"""What the length of a round is made of: the slowest of devices that work at once, all devices in turn, the
slowest of each stage, the slowest of devices that queue for the server, or whoever is in time."""


@dataclass(frozen=True)
class TierFields:
    """What is known, what runs out and what waits for what."""

    csi_delay_rounds: int = number(0, 0, 1000, "rounds", "how old the observed channel is")
    battery_share: float | None = number(
        None,
        1e-12,
        1.0,
        "",
        "share of each device's battery that this training may use; a device that has used it leaves; None: "
        "batteries do not matter",
    )
    barriers: Barriers = plain(
        "none",
        "where devices wait for each other within a round, while the server takes their jobs in turn: nowhere, "
        "between AdaptSFL's five stages (model down; forward and upload; server; download and backward; model "
        "up), or after every phase",
    )
    schedule: Schedule = plain(
        "parallel",
        "parallel: all devices at once; sequence: one after another with the whole band and server, as in split "
        "learning",
    )
    deadline_s: float | None = number(
        None,
        1e-9,
        1e12,
        "s",
        "a device that takes longer is left out of the round, which ends when all have finished, and at the "
        "deadline at the latest; None: the round waits for all",
    )
