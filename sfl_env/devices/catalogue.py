"""Device types: how fast they train, what they draw, what they can hold.

A type's layers take FLOPs / peak + bytes / bandwidth, forward and backward each with numbers of their own. They
come from published rates of VGG-19 on CIFAR-10 at batch size 128 (Tirana et al., "Workflow optimization for
parallel split learning", INFOCOM 2024). That VGG-19 has pools that pad by 1, and so 681.6 million
multiply-accumulates a sample; 1 of them counts as 2 FLOPs. The published rates are of whole passes, and of
single layers for the Raspberry Pi 4 only; a review of this project computed them from the spreadsheets that go
with the paper, which are not stored here. `docs/build/measurement.py` derives the figures, and
`docs/devices-measured.md` holds them against measurements.

- **Raspberry Pi 4**: all layers reach the published 18.3 GFLOP/s in the forward pass. The proportion of peak and
  bandwidth is that with which the times up to the first and the second convolution (1.0 and 14.5 GFLOP/s) are met
  best, by least squares on their logarithms: decisions use such times, not those of single layers. The fastest
  layer, published at 27.7, then reaches 23.2. The backward pass takes 6.3 times as long as the forward one, with
  the same proportion of peak and bandwidth. The bandwidths rest
  on the first convolutions' rates. If those of all types were half or twice as much in truth, decisions by these
  figures would lose about 13 % or 8 % in SFL-v0 (by their cuts alone 3 % or 1.5 %), and about a fifth of cuts be
  other ones.
- **Other processors whose rate is published** (laptop, virtual machine): the proportion of peak and bandwidth
  that a server processor has in layer times of our own, fitted to times up to cuts, and the level at which all of
  VGG-19 takes the published time.
- **Jetson Nano**: the graphics cores' theoretical peak, and the bandwidth at which VGG-19 reaches its published
  177 GFLOP/s. The backward pass is taken to last twice as long as the forward one.
- **Boards without a published rate**: the Raspberry Pi 4's figures times the proportion of the theoretical peaks
  (cores x clock x FLOPs per cycle). Of its 48 GFLOP/s the Raspberry Pi 4 sustains 18.3, a share of 0.38.
- **Phones**: Das et al. (arXiv:2202.10100) report 15 to 30 GFLOP/s for training on processors of flagship
  phones; the middle, 22.5, is taken for VGG-19's forward pass, 0.14 of the theoretical peak, and that share for
  other phones. Peak and bandwidth are in proportion as on the Raspberry Pi 4. The shares of boards and phones come
  from different programs and do not fit together: a budget phone is 0.64 times as fast as the Raspberry Pi Zero 2
  here, forward, with the same cores at twice the clock. With the boards' share it would be 3.1 times as fast as it
  is, optimal rounds of SFL-Phones-v0 13 % shorter, and 44 % of their cuts other ones.
- **Memory**: half of the installed one; the other half is the system's and other programs'.
- **Radiated power**: 0.2 W is 3GPP's power class 3 for terminals (23 dBm, TS 38.101-1), 0.1 W (20 dBm) its power
  class 5 for narrow-band things (TS 36.101), taken for small boards.
- **Draw of the radio**: 3GPP's power model of terminals (TR 38.840, 8.1) counts 700 units for sending at 23 dBm,
  250 at 0 dBm and 300 for receiving. With an amplifier of efficiency 0.3 (an estimate) the 450 units between the
  first two are 0.66 W, so sending draws 1.03 W at 23 dBm and 0.70 W at 20 dBm, and receiving 0.44 W; each on top
  of what the waiting device draws.
- **Batteries** are the usual ones, full, as named at each type; a type without is on mains power.
"""

import math

from sfl_env.checks import look_up
from sfl_env.devices.kinds import DeviceType

__all__ = ["DeviceType", "get", "names"]

_SENDING_23_DBM_W, _SENDING_20_DBM_W, _RECEIVING_W = 1.03, 0.70, 0.44
"""What the radio draws on top of the waiting device."""

_J_PER_WH = 3600.0

IOT_GATEWAY = DeviceType(
    "iot-gateway",
    forward_flops_per_s=1.97e9,
    forward_bytes_per_s=6.57e6,
    backward_flops_per_s=0.530e9,
    backward_bytes_per_s=1.77e6,
    transmit_power_w=0.1,
    idle_w=0.4,
    computing_w=1.0,
    transmitting_w=0.4 + _SENDING_20_DBM_W,
    receiving_w=0.4 + _RECEIVING_W,
    memory_bytes=0.25e9,
    battery_j=12.2 * _J_PER_WH,
)
"""Sensor gateway with one Cortex-A7 core at 0.9 GHz (4 FLOPs a cycle) and 512 MB.

All estimates: speeds by the theoretical peak, 0.4 W waiting and 1 W computing for such a module, one lithium
cell of 3,400 mAh at 3.6 V.
"""

BUDGET_PHONE = DeviceType(
    "budget-phone",
    forward_flops_per_s=12.8e9,
    forward_bytes_per_s=42.7e6,
    backward_flops_per_s=3.44e9,
    backward_bytes_per_s=11.5e6,
    transmit_power_w=0.2,
    idle_w=0.3,
    computing_w=2.5,
    transmitting_w=0.3 + _SENDING_23_DBM_W,
    receiving_w=0.3 + _RECEIVING_W,
    memory_bytes=1.5e9,
    battery_j=11.6 * _J_PER_WH,
)
"""Phone with four fast Cortex-A53 cores at 2.0 GHz (8 FLOPs a cycle) and 3 GB.

All estimates: speeds by the flagship phone's share of the theoretical peak, backward time as on the Raspberry Pi
4, 0.3 W waiting, 2.5 W computing, a battery of 3,000 mAh at 3.85 V.
"""

PI_ZERO_2 = DeviceType(
    "pi-zero-2",
    forward_flops_per_s=17.5e9,
    forward_bytes_per_s=58.4e6,
    backward_flops_per_s=4.71e9,
    backward_bytes_per_s=15.7e6,
    transmit_power_w=0.1,
    idle_w=0.6,
    computing_w=3.0,
    transmitting_w=0.6 + _SENDING_20_DBM_W,
    receiving_w=0.6 + _RECEIVING_W,
    memory_bytes=0.25e9,
    battery_j=18.5 * _J_PER_WH,
)
"""Raspberry Pi Zero 2 W: four Cortex-A53 cores at 1.0 GHz (8 FLOPs a cycle), 512 MB.

Estimates: speeds by the theoretical peak, 3 W with all cores busy, a power bank of 5,000 mAh at 3.7 V. Measured:
0.6 W waiting (120 mA at 5 V; CNX Software, 2021).
"""

RASPBERRY_PI_4 = DeviceType(
    "raspberry-pi-4",
    forward_flops_per_s=26.2e9,
    forward_bytes_per_s=87.6e6,
    backward_flops_per_s=7.07e9,
    backward_bytes_per_s=23.6e6,
    transmit_power_w=0.1,
    idle_w=2.7,
    computing_w=6.4,
    transmitting_w=2.7 + _SENDING_20_DBM_W,
    receiving_w=2.7 + _RECEIVING_W,
    memory_bytes=2e9,
    battery_j=37.0 * _J_PER_WH,
)
"""Raspberry Pi 4 with 4 GB: four Cortex-A72 cores at 1.5 GHz (8 FLOPs a cycle).

Measured: rates of layers and backward over forward time (6.3) by Tirana et al.; the board's commonly published
draw of 540 mA waiting and 1.28 A with all four cores busy, at 5 V. Estimate: a power bank of 10,000 mAh at 3.7
V.
"""

FLAGSHIP_PHONE = DeviceType(
    "flagship-phone",
    forward_flops_per_s=32.3e9,
    forward_bytes_per_s=108e6,
    backward_flops_per_s=15.6e9,
    backward_bytes_per_s=52.2e6,
    transmit_power_w=0.2,
    idle_w=0.5,
    computing_w=5.0,
    transmitting_w=0.5 + _SENDING_23_DBM_W,
    receiving_w=0.5 + _RECEIVING_W,
    memory_bytes=4e9,
    battery_j=15.4 * _J_PER_WH,
)
"""Phone with one Cortex-A77 core at 2.84 GHz and three at 2.42 GHz (16 FLOPs a cycle) and 8 GB.

Measured: 15 to 30 GFLOP/s of such processors by Das et al. Estimates: backward time as on the laptop, 0.5 W
waiting, 5 W computing, about what a phone's case can lead away, a battery of 4,000 mAh at 3.85 V.
"""

JETSON_NANO = DeviceType(
    "jetson-nano",
    forward_flops_per_s=236e9,
    forward_bytes_per_s=1.03e9,
    backward_flops_per_s=236e9,
    backward_bytes_per_s=0.513e9,
    transmit_power_w=0.2,
    idle_w=2.0,
    computing_w=7.2,
    transmitting_w=2.0 + _SENDING_23_DBM_W,
    receiving_w=2.0 + _RECEIVING_W,
    memory_bytes=2e9,
    battery_j=math.inf,
)
"""NVIDIA Jetson Nano: 128 graphics cores at 0.921 GHz (2 FLOPs a cycle), 4 GB, on mains power.

Measured: VGG-19's forward rate (177 GFLOP/s) by Tirana et al., whose code for energy has 7.2 W for the computing
board. Estimates: backward time, 2 W waiting.
"""

LAPTOP = DeviceType(
    "laptop",
    forward_flops_per_s=256e9,
    forward_bytes_per_s=1.49e9,
    backward_flops_per_s=126e9,
    backward_bytes_per_s=1.23e9,
    transmit_power_w=0.2,
    idle_w=3.3,
    computing_w=20.0,
    transmitting_w=3.3 + _SENDING_23_DBM_W,
    receiving_w=3.3 + _RECEIVING_W,
    memory_bytes=8e9,
    battery_j=49.9 * _J_PER_WH,
)
"""Laptop with Apple's M1 that trains on its processor, 16 GB.

Measured: VGG-19's forward rate (205 GFLOP/s) and backward over forward time (3.5) by Tirana et al. The battery
of a MacBook Air M1 holds 49.9 Wh, for 15 hours of light use by its maker, so 3.3 W. 20 W computing is an
estimate: a Mac mini with the same processor draws 6.8 to 39 W by its maker.
"""

CLOUD_VM = DeviceType(
    "cloud-vm",
    forward_flops_per_s=402e9,
    forward_bytes_per_s=2.34e9,
    backward_flops_per_s=187e9,
    backward_bytes_per_s=1.82e9,
    transmit_power_w=0.2,
    idle_w=30.0,
    computing_w=60.0,
    transmitting_w=30.0 + _SENDING_23_DBM_W,
    receiving_w=30.0 + _RECEIVING_W,
    memory_bytes=8e9,
    battery_j=math.inf,
)
"""Virtual machine, standing for a strong box at the edge, 16 GB, on mains power.

Measured: VGG-19's forward rate (322 GFLOP/s) and backward over forward time (3.7) by Tirana et al. 60 W is an
estimate; a waiting server draws about half of it (Barroso and Hölzle, 2007).
"""

_TYPES = {
    kind.name: kind
    for kind in (
        IOT_GATEWAY,
        BUDGET_PHONE,
        PI_ZERO_2,
        RASPBERRY_PI_4,
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
    >>> get("raspberry-pi-4").forward_flops_per_s
    26200000000.0
    >>> get("raspberry-pi")
    Traceback (most recent call last):
    ...
    sfl_env.errors.ScenarioError: Unknown device type 'raspberry-pi' (did you mean 'raspberry-pi-4'?); known are
    iot-gateway, budget-phone, pi-zero-2, raspberry-pi-4, flagship-phone, jetson-nano, laptop, cloud-vm.
    """
    return look_up("device type", name, _TYPES)
