"""What a type of device is: how fast it trains, what it draws and what it can hold."""

import math
from dataclasses import dataclass, fields

from sfl_env.checks import Range, require_positive, shown
from sfl_env.errors import ScenarioError

_MAY_BE_INFINITE = frozenset({"forward_bytes_per_s", "backward_bytes_per_s", "battery_j"})


@dataclass(frozen=True)
class DeviceType:
    """A kind of device.

    A pass of F FLOPs that moves M bytes through memory takes F / flops_per_s + M / bytes_per_s seconds: a roofline
    whose two parts do not overlap.

    Parameters
    ----------
    name : str
        What populations call it.
    forward_flops_per_s, backward_flops_per_s : float
        FLOP/s that each pass of training would reach if memory cost no time (1 multiply-accumulate = 2 FLOPs).
    forward_bytes_per_s, backward_bytes_per_s : float
        Bytes of activations that each pass moves in a second. It holds all that training does for each number
        (copies, activation functions, allocation), and so is far below the memory's own bandwidth. Infinite: only
        FLOPs count.
    transmit_power_w : float
        Power radiated while uploading, W.
    idle_w, computing_w, transmitting_w, receiving_w : float
        What the whole device draws while it waits, computes, sends and receives, W.
    memory_bytes : float
        Memory that training may fill, bytes.
    battery_j : float
        Energy of a full battery, J; infinite on mains power.

    Raises
    ------
    ScenarioError
        If a number is not above 0, or the device draws less while sending than it radiates.

    Examples
    --------
    >>> board = DeviceType("board", 20e9, 0.1e9, 10e9, 0.05e9, 0.1, 2.0, 6.0, 3.0, 2.5, 1e9, math.inf)
    >>> board.backward_flops_per_s / board.forward_flops_per_s
    0.5
    """

    name: str
    forward_flops_per_s: float
    forward_bytes_per_s: float
    backward_flops_per_s: float
    backward_bytes_per_s: float
    transmit_power_w: float
    idle_w: float
    computing_w: float
    transmitting_w: float
    receiving_w: float
    memory_bytes: float
    battery_j: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "name" or (field.name in _MAY_BE_INFINITE and value == math.inf):
                continue
            named = f"{field.name} of device type {self.name!r}"
            if field.name not in _MAY_BE_INFINITE:
                require_positive(named, value)
            elif value not in Range(0.0, low_open=True):
                raise ScenarioError(f"{named} is {shown(value)}; it has to be a number above 0, or infinite.")
        if self.transmitting_w <= self.transmit_power_w:
            raise ScenarioError(
                f"transmitting_w of device type {self.name!r} is {self.transmitting_w}; it has to be above what "
                f"is radiated, transmit_power_w, {self.transmit_power_w}."
            )
