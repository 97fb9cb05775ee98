"""A scenario: everything that defines the simulated system, as one frozen and validated value."""

import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from sfl_env.checks import Range, as_declared, choices_of, require_known
from sfl_env.errors import ScenarioError

PathLossName = Literal["umi", "uma", "macro"]
FadingName = Literal["rayleigh", "rician", "none"]
MobilityName = Literal["static", "random-waypoint", "gauss-markov"]
Schedule = Literal["parallel", "sequence"]
Mode = Literal["latency", "accuracy"]
DatasetName = Literal["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
PartitionName = Literal["iid", "dirichlet", "shards", "quantity-skew"]
Server = Literal["shared", "replicated"]
OptimizerName = Literal["sgd", "adam"]

System = Literal["parallel", "sequence", "synchronised", "deadline"]
"""What the length of a round is made of: the slowest of devices that work at once, all devices in turn, the
slowest of each phase, or whoever is in time."""


def _number(default: float | None, low: float, high: float, unit: str, about: str) -> Any:
    """Declare a numeric field with its unit, its range (both ends allowed) and its meaning."""
    return field(default=default, metadata={"range": Range(low, high), "unit": unit, "about": about})


def _plain(default: Any, about: str, each: Range | None = None) -> Any:
    """Declare any other field; for tuples of numbers the range is that of each entry."""
    return field(default=default, metadata={"about": about, "unit": "", "range": each})


_USUAL_NETWORK: typing.Mapping[DatasetName, str] = {
    "digits": "digits-cnn",
    "mnist": "lenet5",
    "fashion-mnist": "lenet5",
    "cifar10": "resnet18",
    "cifar100": "resnet18",
}
"""What ``model="auto"`` stands for in accuracy mode."""


@dataclass(frozen=True)
class Scenario:
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

    # The network and the work of a round
    model: str = _plain(
        "auto",
        "network: a name of the catalogue, or the path of a profile's .json file; auto: resnet18, in accuracy "
        "mode the usual one for the data set",
    )
    num_devices: int = _number(10, 1, 100_000, "", "devices, K")
    max_rounds: int = _number(100, 1, 1_000_000, "", "rounds until the episode is truncated")
    batch_size: int = _number(32, 1, 1_000_000, "samples", "mini-batch of a device, in the geometric mean")
    batch_size_spread: float = _number(
        1.0, 1.0, 1e3, "", "devices' mini-batches are log-uniform within this factor up and down"
    )
    local_iterations: int = _number(4, 1, 1_000_000, "", "mini-batches a round, E")
    activation_bits: int = _number(32, 1, 64, "bits", "one element of the smashed data or its gradient")
    parameter_bits: int = _number(32, 1, 64, "bits", "one parameter")
    label_bits: int = _number(32, 0, 4096, "bits", "one label, sent with its smashed data")
    optimizer_slots: int | None = _number(
        None, 0, 8, "", "numbers the optimiser keeps per parameter; None: as `optimizer` does, by default 1"
    )
    frozen_weights_travel: bool = _plain(
        False,
        "whether weights that do not train, and buffers that training leaves as they are, are sent in every round "
        "all the same",
    )

    # The radio
    bandwidth_hz: float = _number(20e6, 1e3, 1e12, "Hz", "uplink band that the devices share")
    downlink_bandwidth_hz: float | None = _number(
        None, 1e3, 1e12, "Hz", "downlink band; None: as wide as the uplink band"
    )
    base_station_power_w: float = _number(10.0, 1e-6, 1e6, "W", "transmit power over the whole downlink band")
    noise_density_dbm_per_hz: float = _number(-174.0, -250.0, 0.0, "dBm/Hz", "thermal noise")
    noise_figure_db: float = _number(7.0, 0.0, 60.0, "dB", "of the receivers")
    path_loss: PathLossName = _plain("umi", "path-loss model: TR 38.901, or 128.1 + 37.6 lg d")
    carrier_hz: float = _number(3.5e9, 0.5e9, 100e9, "Hz", "carrier frequency (TR 38.901 models)")
    cell_radius_m: float = _number(60.0, 1.0, 1e5, "m", "devices live within this distance")
    min_distance_m: float = _number(10.0, 0.1, 1e5, "m", "and no closer than this")
    shadowing_correlation_m: float = _number(13.0, 1e-3, 1e5, "m", "distance over which shadowing falls to 1/e")
    fading: FadingName = _plain("rician", "small-scale fading")
    rician_k_db: float = _number(6.0, -40.0, 60.0, "dB", "Rician factor")
    fading_correlation: float = _number(0.9, 0.0, 1.0, "", "of the complex fading from round to round")
    mobility: MobilityName = _plain("static", "how devices move")
    speed_m_per_s: float = _number(1.4, 0.0, 1e3, "m/s", "mean speed of moving devices")
    round_interval_s: float = _number(10.0, 0.0, 1e6, "s", "time that devices move between two rounds")

    # The devices and the server
    device_types: tuple[str, ...] = _plain(
        ("pi-zero-2", "raspberry-pi-4", "flagship-phone", "jetson-nano", "laptop"),
        "types in the population, by their catalogue names",
    )
    device_weights: tuple[float, ...] = _plain(
        (1.0, 1.0, 1.0, 1.0, 1.0), "how frequent each type is", each=Range(0.0)
    )
    compute_spread: float = _number(1.5, 1.0, 1e3, "", "speeds are log-uniform within this factor up and down")
    availability_levels: tuple[float, ...] = _plain(
        (0.5, 0.75, 1.0), "fractions of its speed that a device may have free", each=Range(1e-6, 1.0)
    )
    availability_switch_probability: float = _number(
        0.1, 0.0, 1.0, "", "chance per round that a device's free fraction is drawn anew"
    )
    server_flops_per_s: float = _number(10e12, 1e6, 1e21, "FLOP/s", "the server's, split evenly over devices")

    # The tiers
    csi_delay_rounds: int = _number(0, 0, 1000, "rounds", "how old the observed channel is")
    battery_j: float | None = _number(
        None, 1e-9, 1e12, "J", "battery at the start; an empty device leaves; None: mains-powered"
    )
    synchronised_phases: bool = _plain(
        False, "each phase waits for all devices and the server takes their jobs in turn"
    )

    schedule: Schedule = _plain(
        "parallel",
        "parallel: all devices at once; sequence: one after another with the whole band and server, as in split "
        "learning",
    )
    deadline_s: float | None = _number(
        None, 1e-9, 1e12, "s", "a device that takes longer is left out of the round; None: the round waits for all"
    )

    # Accuracy mode
    mode: Mode = _plain("latency", "accuracy: every step trains the network for a round")
    dataset: DatasetName = _plain("digits", "what the network learns")
    dataset_path: str | None = _plain(None, "folder of the data set; None: the usual place, or the hub")
    partition: PartitionName = _plain("iid", "how the samples are spread over the devices")
    partition_concentration: float = _number(
        0.5, 1e-3, 1e6, "", "alpha of dirichlet and quantity-skew; the smaller, the more skewed"
    )
    shards_per_device: int = _number(2, 1, 10_000, "", "of the partition shards")
    server: Server = _plain("shared", "the server's blocks: one copy of each, or one for each device")
    optimizer: OptimizerName = _plain("sgd", "of devices and server")
    learning_rate: float = _number(0.05, 1e-9, 1e3, "", "step size")
    momentum: float = _number(0.9, 0.0, 0.999999, "", "of sgd")
    target_accuracy: float | None = _number(
        None, 0.0, 1.0, "", "the episode terminates once the test accuracy is this high; None: never"
    )

    # The reward
    reference_latency_s: float | None = _number(
        None, 1e-12, 1e12, "s", "a round this long costs a reward of 1; None: a nominal round of the scenario"
    )
    reference_energy_j: float = _number(100.0, 1e-12, 1e12, "J", "a device's energy that weighs 1 in the reward")
    latency_weight: float = _number(1.0, 0.0, 1e6, "", "weight of the round's latency")
    energy_weight: float = _number(0.0, 0.0, 1e6, "", "weight of the devices' mean energy")
    dropout_weight: float = _number(0.0, 0.0, 1e6, "", "weight of the fraction of devices with empty batteries")

    def __post_init__(self) -> None:
        hints = _declared_types()
        for item in dataclasses.fields(self):
            value = as_declared(item.name, getattr(self, item.name), hints[item.name], item.metadata["range"])
            object.__setattr__(self, item.name, value)
        self._check_devices()
        self._check_tiers()
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
        if self.synchronised_phases and (self.schedule == "sequence" or self.deadline_s is not None):
            raise ScenarioError(
                "synchronised_phases goes with schedule='parallel' and no deadline_s: devices that wait for each "
                "other in every phase finish together."
            )

    @property
    def network(self) -> str:
        """The network's name or path, ``model`` unless that is ``"auto"``."""
        if self.model != "auto":
            return self.model
        return _USUAL_NETWORK[self.dataset] if self.mode == "accuracy" else "resnet18"

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
    def system(self) -> System:
        """What the length of a round is made of.

        Examples
        --------
        >>> Scenario().system, Scenario(schedule="sequence").system, Scenario(deadline_s=5.0).system
        ('parallel', 'sequence', 'deadline')
        """
        if self.deadline_s is not None:
            return "deadline"
        return "synchronised" if self.synchronised_phases else self.schedule

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
