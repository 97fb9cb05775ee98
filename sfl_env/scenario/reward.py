"""Fields of the reward."""

from dataclasses import dataclass

from sfl_env.scenario.declaring import number


@dataclass(frozen=True)
class RewardFields:
    """What a step's reward is made of."""

    reference_latency_s: float | None = number(
        None, 1e-12, 1e12, "s", "a round this long costs a reward of 1; None: a nominal round of the scenario"
    )
    reference_energy_j: float = number(100.0, 1e-12, 1e12, "J", "a device's energy that weighs 1 in the reward")
    latency_weight: float = number(1.0, 0.0, 1e6, "", "weight of the round's latency")
    energy_weight: float = number(0.0, 0.0, 1e6, "", "weight of the devices' mean energy")
    dropout_weight: float | None = number(
        None,
        0.0,
        1e6,
        "",
        "weight of the fraction of devices with empty batteries; None: with battery_share, so much that one that "
        "has left costs as much in a round as four reference_latency_s; 0 makes it pay to lose whoever is slow",
    )
    missed_weight: float = number(
        0.0,
        0.0,
        1e6,
        "",
        "weight of the part of a round's samples that is not in its average: of devices late for deadline_s, out "
        "of reach or with empty batteries",
    )
