"""A scenario: everything that defines the simulated system, as one frozen and validated value."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any

from sfl_env.checks import as_declared, choices_of, require_known
from sfl_env.errors import ScenarioError
from sfl_env.scenario.accuracy import (
    USUAL_NETWORK,
    AccuracyFields,
    DatasetName,
    Mode,
    OptimizerName,
    PartitionName,
    Server,
)
from sfl_env.scenario.devices import DeviceFields
from sfl_env.scenario.network import NetworkFields
from sfl_env.scenario.radio import FadingName, MobilityName, PathLossName, RadioFields, RateCurveName
from sfl_env.scenario.reward import RewardFields
from sfl_env.scenario.tiers import Barriers, Schedule, System, TierFields

__all__ = [
    "Barriers",
    "DatasetName",
    "FadingName",
    "MobilityName",
    "Mode",
    "OptimizerName",
    "PartitionName",
    "PathLossName",
    "RateCurveName",
    "Scenario",
    "Schedule",
    "Server",
    "System",
    "describe_fields",
]

ABSENT_ROUNDS = 4.0
"""What a device that has left costs in a round, in reference rounds, unless ``dropout_weight`` says otherwise."""


@dataclass(frozen=True)
class Scenario(RewardFields, AccuracyFields, TierFields, DeviceFields, RadioFields, NetworkFields):
    """The simulated system: network, radio, devices, tiers and reward.

    Every field is JSON-able and is checked for type and range when the scenario is made. ``gym.make(id,
    **fields)`` overrides fields of the id's preset. The fields, with units and ranges, are listed by
    :func:`describe_fields` and in ``docs/scenario.md``.

    Raises
    ------
    ScenarioError
        Naming field, value and range; for an unknown field, the nearest known name.

    Examples
    --------
    >>> Scenario(num_devices=4).num_devices
    4
    >>> Scenario(num_devices=0)
    Traceback (most recent call last):
        ...
    sfl_env.errors.ScenarioError: num_devices is 0; it has to be a whole number from 1 to 100000.
    """

    def __post_init__(self) -> None:
        hints = _declared_types()
        for item in dataclasses.fields(self):
            value = as_declared(item.name, getattr(self, item.name), hints[item.name], item.metadata["range"])
            object.__setattr__(self, item.name, value)
        self._check_devices()
        self._check_tiers()
        for name in ("uplink_max_sinr_db", "downlink_max_sinr_db"):
            if self.min_sinr_db >= getattr(self, name):
                raise ScenarioError(
                    f"min_sinr_db is {self.min_sinr_db}; it has to be below {name}, {getattr(self, name)}."
                )
        if self.min_distance_m >= self.cell_radius_m:
            raise ScenarioError(
                f"min_distance_m is {self.min_distance_m}; it has to be below cell_radius_m, {self.cell_radius_m}."
            )

    def _check_devices(self) -> None:
        if len(self.device_types) != len(self.device_weights):
            raise ScenarioError(
                f"device_weights has {len(self.device_weights)} entries and device_types has "
                f"{len(self.device_types)}; give one weight for each type."
            )
        if not self.device_types or sum(self.device_weights) <= 0.0:
            raise ScenarioError("device_types needs a type whose entry in device_weights is above 0.")
        if not math.isfinite(sum(self.device_weights)):
            raise ScenarioError("device_weights sum to more than floating-point numbers hold; scale them down.")
        if not self.availability_levels:
            raise ScenarioError("availability_levels is empty; it has to hold at least one fraction.")

    def _check_tiers(self) -> None:
        if self.mode == "accuracy" and self.batch_size_spread != 1.0:
            raise ScenarioError(
                f"batch_size_spread is {self.batch_size_spread}; in accuracy mode it has to be 1, as every device "
                "trains on mini-batches of batch_size."
            )
        if self.surrogate_spread > 0.0 and not self.surrogate_rounds:
            raise ScenarioError(
                f"surrogate_spread is {self.surrogate_spread} and surrogate_rounds is empty; constants that were "
                "measured have a spread of their own, so give both fields or neither."
            )
        if self.barriers != "none" and (self.schedule == "sequence" or self.deadline_s is not None):
            raise ScenarioError(
                f"barriers={self.barriers!r} goes with schedule='parallel' and no deadline_s: devices that "
                "wait for each other in every stage finish together."
            )

    @property
    def network(self) -> str:
        """The network's name or path, ``model`` unless that is ``"auto"``."""
        if self.model != "auto":
            return self.model
        return USUAL_NETWORK[self.dataset] if self.mode == "accuracy" else "resnet18"

    @property
    def slots_per_parameter(self) -> int:
        """Numbers that the optimiser keeps for each parameter in a device's memory.

        Examples
        --------
        >>> Scenario(optimizer="adam").slots_per_parameter, Scenario(momentum=0.0).slots_per_parameter
        (2, 0)
        """
        if self.optimizer_slots is not None:
            return self.optimizer_slots
        return 2 if self.optimizer == "adam" else int(self.momentum > 0.0)

    @property
    def charged_for_dropouts(self) -> float:
        """Weight of the fraction of devices with empty batteries in the reward.

        By default a device that has left costs :data:`ABSENT_ROUNDS` reference rounds in every round: without a
        charge, policies that run slow devices empty would have the highest returns.

        Examples
        --------
        >>> Scenario(battery_share=0.1, num_devices=5).charged_for_dropouts, Scenario().charged_for_dropouts
        (20.0, 0.0)
        >>> Scenario(battery_share=0.1, dropout_weight=1.5).charged_for_dropouts
        1.5
        """
        if self.dropout_weight is not None:
            return self.dropout_weight
        return 0.0 if self.battery_share is None else ABSENT_ROUNDS * self.latency_weight * self.num_devices

    @property
    def system(self) -> System:
        """What the length of a round is made of.

        Examples
        --------
        >>> Scenario().system, Scenario(schedule="sequence").system, Scenario(deadline_s=5.0).system
        ('parallel', 'sequence', 'deadline')
        """
        if self.deadline_s is not None:
            return "deadline"
        if self.barriers != "none":
            return "staged"
        return "queued" if self.server_in_turn else self.schedule

    @property
    def server_in_turn(self) -> bool:
        """Whether the server takes the devices' jobs one after another, as SplitFed V2's does.

        Examples
        --------
        >>> Scenario(mode="accuracy", server="splitfed-v2").server_in_turn, Scenario().server_in_turn
        (True, False)
        """
        return self.mode == "accuracy" and self.server == "splitfed-v2" and self.schedule == "parallel"

    @property
    def optimum_is_known(self) -> bool:
        """Whether the shortest round is the solution of the joint problem of cuts and bandwidth."""
        return self.system == "parallel"

    def replace(self, **fields: Any) -> "Scenario":
        """Return a scenario with some fields changed.

        Raises
        ------
        ScenarioError
            For an unknown field, with the nearest known name, or a value out of range.

        Examples
        --------
        >>> Scenario().replace(num_device=3)
        Traceback (most recent call last):
            ...
        sfl_env.errors.ScenarioError: Unknown scenario field 'num_device' (did you mean 'num_devices'?).
        """
        known = {item.name for item in dataclasses.fields(self)}
        for name in fields:
            require_known("scenario field", name, known)
        return dataclasses.replace(self, **fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON-able dictionary."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in vars(self).items()}

    def to_json(self) -> str:
        """Return the fields as JSON text.

        Examples
        --------
        >>> Scenario(**json.loads(Scenario().to_json())) == Scenario()
        True
        """
        return json.dumps(self.to_dict(), indent=2)


@cache
def _declared_types() -> dict[str, Any]:
    return typing.get_type_hints(Scenario)


def describe_fields() -> list[tuple[str, str, str, str, str]]:
    """List (name, default, unit, range, meaning) of every scenario field, for tables.

    Examples
    --------
    >>> describe_fields()[1]
    ('num_devices', '10', '', '1 to 100000', 'devices, K')
    """
    rows = []
    for item in dataclasses.fields(Scenario):
        default = json.dumps(item.default) if not isinstance(item.default, str) else item.default
        allowed, choices = item.metadata["range"], choices_of(_declared_types()[item.name])
        span = ", ".join(choices) or (allowed.limits if allowed else "")
        rows.append(
            (item.name, default, item.metadata["unit"], span.removeprefix("from "), item.metadata["about"])
        )
    return rows
