"""Fields of the devices and the server."""

from dataclasses import dataclass

from sfl_env.checks import Range
from sfl_env.scenario.declaring import number, plain


@dataclass(frozen=True)
class DeviceFields:
    """Who takes part, and what serves them."""

    device_types: tuple[str, ...] = plain(
        ("pi-zero-2", "raspberry-pi-4", "flagship-phone", "jetson-nano", "laptop"),
        "types in the population, by their catalogue names",
    )
    device_weights: tuple[float, ...] = plain(
        (1.0, 1.0, 1.0, 1.0, 1.0), "how frequent each type is", each=Range(0.0)
    )
    compute_spread: float = number(1.5, 1.0, 1e3, "", "speeds are log-uniform within this factor up and down")
    availability_levels: tuple[float, ...] = plain(
        (0.5, 0.75, 1.0), "fractions of its speed that a device may have free", each=Range(1e-6, 1.0)
    )
    availability_hold_s: float = number(
        200.0, 1e-3, 1e12, "s", "mean time until a device's free fraction is drawn anew"
    )
    server_flops_per_s: float = number(10e12, 1e6, 1e21, "FLOP/s", "the server's, split evenly over devices")
