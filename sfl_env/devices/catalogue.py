"""Device types: how fast they train, what it costs them, what they can hold.

The three measured types carry the speed and the ratio of backward to forward time that Tirana et al. report for
VGG-19 on CIFAR-10 at batch size 128 ("Workflow optimization for parallel split learning", INFOCOM 2024), with 1
multiply-accumulate as 2 FLOPs. Everything else is an estimate by one of these rules:

- **Speed**: :data:`SUSTAINED_OVER_PEAK` of the peak that cores x clock x FLOPs per cycle give. The Raspberry
  Pi 4's peak is 4 x 1.5 GHz x 8 = 48 GFLOP/s (Cortex-A72, one 128-bit fused multiply-add a cycle), of which
  the measured 13.9 GFLOP/s are 0.29; that share is taken for the others.
- **Backward over forward time**: that of the nearest measured type; 2 on a graphics processor, where the
  backward pass's twofold FLOPs run as fast as the forward pass's.
- **Power while computing**: of the whole board or device, as named at each type.
- **Memory**: half of the installed one; the other half is the system's and other programs'.
- **Transmit power**: 0.2 W is 3GPP's power class 3 for terminals (23 dBm, TS 38.101-1), 0.1 W (20 dBm) its power
  class 5 for narrow-band things (TS 36.101), taken for small boards.
"""

from dataclasses import dataclass, fields

from sfl_env.checks import look_up, require_positive

SUSTAINED_OVER_PEAK = 0.29
"""Share of the peak FLOP/s that training sustains, from the Raspberry Pi 4: 13.9 / 48."""

_BACKWARD_OVER_FORWARD_FLOPS = 2.0
"""The backward pass computes gradients of inputs and of weights, each as many FLOPs as the forward pass."""


@dataclass(frozen=True)
class DeviceType:
    """A kind of device.

    Parameters
    ----------
    name : str
        What populations call it.
    compute_flops_per_s : float
        Sustained speed of a training's forward pass, FLOP/s (1 multiply-accumulate = 2 FLOPs).
    backward_slowdown : float
        Time of a FLOP of the backward pass over that of a forward one.
    transmit_power_w : float
        Power sent while uploading, W.
    energy_j_per_flop : float
        Energy of a training FLOP, averaged over both passes, J.
    memory_bytes : float
        Memory that training may fill, bytes.

    Raises
    ------
    ScenarioError
        If a number is not above 0.
    """

    name: str
    compute_flops_per_s: float
    backward_slowdown: float
    transmit_power_w: float
    energy_j_per_flop: float
    memory_bytes: float

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "name":
                require_positive(f"{field.name} of device type {self.name!r}", getattr(self, field.name))

    @classmethod
    def from_measurement(
        cls,
        name: str,
        *,
        forward_flops_per_s: float,
        backward_over_forward_time: float,
        computing_power_w: float,
        transmit_power_w: float,
        memory_bytes: float,
    ) -> "DeviceType":
        r"""Turn what is measured on a device into what the model computes with.

        The backward pass of a network has about twice the forward pass's FLOPs, so a backward pass that takes r
        times as long spends r / 2 times as long on each FLOP: that is the slowdown. A training step of F + 2 F
        FLOPs takes (1 + r) F / f seconds at the power P, which makes :math:`P (1 + r) / (3 f)` joules per FLOP.

        Parameters
        ----------
        name : str
            What populations call it.
        forward_flops_per_s : float
            FLOPs of the forward pass over the time it takes, FLOP/s.
        backward_over_forward_time : float
            Time of the backward pass over the time of the forward pass.
        computing_power_w : float
            Power that the whole device draws while it computes, W.
        transmit_power_w : float
            Power sent while uploading, W.
        memory_bytes : float
            Memory that training may fill, bytes.

        Examples
        --------
        >>> board = DeviceType.from_measurement(
        ...     "board", forward_flops_per_s=10e9, backward_over_forward_time=5.0,
        ...     computing_power_w=6.0, transmit_power_w=0.1, memory_bytes=1e9,
        ... )
        >>> board.backward_slowdown, board.energy_j_per_flop
        (2.5, 1.2e-09)
        """
        step_flops = 1.0 + _BACKWARD_OVER_FORWARD_FLOPS
        return cls(
            name=name,
            compute_flops_per_s=forward_flops_per_s,
            backward_slowdown=backward_over_forward_time / _BACKWARD_OVER_FORWARD_FLOPS,
            transmit_power_w=transmit_power_w,
            energy_j_per_flop=computing_power_w
            * (1.0 + backward_over_forward_time)
            / (step_flops * forward_flops_per_s),
            memory_bytes=memory_bytes,
        )


IOT_GATEWAY = DeviceType.from_measurement(
    "iot-gateway",
    forward_flops_per_s=SUSTAINED_OVER_PEAK * 1 * 0.9e9 * 4,
    backward_over_forward_time=6.3,
    computing_power_w=1.0,
    transmit_power_w=0.1,
    memory_bytes=0.25e9,
)
"""Sensor gateway with one Cortex-A7 core at 0.9 GHz (4 FLOPs a cycle) and 512 MB, 1.04 GFLOP/s.

All estimates: speed by the share of the peak, backward time as on the Raspberry Pi 4, 1 W for such a module.
"""

PI_ZERO_2 = DeviceType.from_measurement(
    "pi-zero-2",
    forward_flops_per_s=SUSTAINED_OVER_PEAK * 4 * 1.0e9 * 8,
    backward_over_forward_time=6.3,
    computing_power_w=3.0,
    transmit_power_w=0.1,
    memory_bytes=0.25e9,
)
"""Raspberry Pi Zero 2 W: four Cortex-A53 cores at 1.0 GHz (8 FLOPs a cycle), 512 MB, 9.3 GFLOP/s.

All estimates: speed by the share of the peak, backward time as on the Raspberry Pi 4, 3 W with all cores busy.
"""

RASPBERRY_PI_4 = DeviceType.from_measurement(
    "raspberry-pi-4",
    forward_flops_per_s=13.9e9,
    backward_over_forward_time=6.3,
    computing_power_w=6.4,
    transmit_power_w=0.1,
    memory_bytes=2e9,
)
"""Raspberry-Pi-4-class board with 4 GB, 13.9 GFLOP/s.

Measured: speed and backward over forward time (6.3) by Tirana et al.; 6.4 W (1.28 A at 5 V) is the commonly
published draw of the board with all four cores busy.
"""

BUDGET_PHONE = DeviceType.from_measurement(
    "budget-phone",
    forward_flops_per_s=SUSTAINED_OVER_PEAK * 4 * 2.0e9 * 8,
    backward_over_forward_time=6.3,
    computing_power_w=2.5,
    transmit_power_w=0.2,
    memory_bytes=1.5e9,
)
"""Phone with four fast Cortex-A53 cores at 2.0 GHz (8 FLOPs a cycle) and 3 GB, 18.6 GFLOP/s.

All estimates: speed by the share of the peak, backward time as on the Raspberry Pi 4, 2.5 W while computing.
"""

FLAGSHIP_PHONE = DeviceType.from_measurement(
    "flagship-phone",
    forward_flops_per_s=SUSTAINED_OVER_PEAK * (2.84e9 + 3 * 2.42e9) * 16,
    backward_over_forward_time=3.5,
    computing_power_w=5.0,
    transmit_power_w=0.2,
    memory_bytes=4e9,
)
"""Phone with one Cortex-A77 core at 2.84 GHz and three at 2.42 GHz (16 FLOPs a cycle) and 8 GB, 46.9 GFLOP/s.

All estimates: speed by the share of the peak, backward time as on the laptop, 5 W, about what a phone's case can
lead away.
"""

JETSON_NANO = DeviceType.from_measurement(
    "jetson-nano",
    forward_flops_per_s=SUSTAINED_OVER_PEAK * 128 * 0.921e9 * 2,
    backward_over_forward_time=2.0,
    computing_power_w=10.0,
    transmit_power_w=0.2,
    memory_bytes=2e9,
)
"""NVIDIA Jetson Nano: 128 graphics cores at 0.921 GHz (2 FLOPs a cycle), 4 GB, 68.4 GFLOP/s.

Estimates: speed by the share of the peak, backward time of a graphics processor. 10 W is the module's larger
power mode by its maker's data sheet.
"""

LAPTOP = DeviceType.from_measurement(
    "laptop",
    forward_flops_per_s=156e9,
    backward_over_forward_time=3.5,
    computing_power_w=28.0,
    transmit_power_w=0.2,
    memory_bytes=8e9,
)
"""Laptop that trains on its processor, 16 GB, 156 GFLOP/s.

Measured: speed and backward over forward time (3.5) by Tirana et al. 28 W is an estimate, a common power limit
of laptop processors.
"""

CLOUD_VM = DeviceType.from_measurement(
    "cloud-vm",
    forward_flops_per_s=245e9,
    backward_over_forward_time=3.7,
    computing_power_w=60.0,
    transmit_power_w=0.2,
    memory_bytes=8e9,
)
"""Virtual machine, standing for a strong box at the edge, 16 GB, 245 GFLOP/s.

Measured: speed and backward over forward time (3.7) by Tirana et al. 60 W is an estimate.
"""

_TYPES = {
    kind.name: kind
    for kind in (
        IOT_GATEWAY,
        PI_ZERO_2,
        RASPBERRY_PI_4,
        BUDGET_PHONE,
        FLAGSHIP_PHONE,
        JETSON_NANO,
        LAPTOP,
        CLOUD_VM,
    )
}


def names() -> tuple[str, ...]:
    """Names of the device types, slowest first.

    Examples
    --------
    >>> names()[0]
    'iot-gateway'
    """
    return tuple(_TYPES)


def get(name: str) -> DeviceType:
    """Look a device type up.

    Raises
    ------
    ScenarioError
        If there is none of this name.

    Examples
    --------
    >>> get("raspberry-pi-4").backward_slowdown
    3.15
    >>> get("raspberry-pi")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: Unknown device type 'raspberry-pi' (did you mean 'raspberry-pi-4'?); known are
    iot-gateway, pi-zero-2, raspberry-pi-4, budget-phone, flagship-phone, jetson-nano, laptop, cloud-vm.
    """
    return look_up("device type", name, _TYPES)
