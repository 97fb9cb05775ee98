"""Device types carry the published figures, turned into the model's terms."""

import dataclasses
import math
from typing import Any

import pytest

from sfl_env.devices import DeviceType, catalogue
from sfl_env.errors import ScenarioError

BATCH = 128
FORWARD_FLOPS = BATCH * 2 * 681_607_168
BACKWARD_FLOPS = BATCH * 2_722_889_728
TRAFFIC_BYTES = BATCH * 4 * 494_208
"""Of a mini-batch of the testbed's VGG-19; ``tests/project/test_measurement.py`` counts them on the module."""

SPEEDS = ("forward_flops_per_s", "forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s")
MAY_BE_INFINITE = ("forward_bytes_per_s", "backward_bytes_per_s", "battery_j")
FIGURES = [field.name for field in dataclasses.fields(DeviceType) if field.name != "name"]


def changed(**figures: Any) -> DeviceType:
    return dataclasses.replace(catalogue.get("laptop"), **figures)


def seconds(kind: DeviceType) -> tuple[float, float]:
    """How long both passes of a mini-batch of VGG-19 take."""
    return (
        FORWARD_FLOPS / kind.forward_flops_per_s + TRAFFIC_BYTES / kind.forward_bytes_per_s,
        BACKWARD_FLOPS / kind.backward_flops_per_s + TRAFFIC_BYTES / kind.backward_bytes_per_s,
    )


@pytest.mark.parametrize(
    ("name", "gflops_per_s", "time_ratio"),
    [("raspberry-pi-4", 18.3, 6.3), ("laptop", 205.0, 3.5), ("cloud-vm", 322.0, 3.7), ("jetson-nano", 177.0, 2.0)],
)
def test_types_reproduce_the_published_rate_of_all_layers_and_the_time_ratio(
    name: str, gflops_per_s: float, time_ratio: float
) -> None:
    forward_s, backward_s = seconds(catalogue.get(name))
    assert FORWARD_FLOPS / forward_s == pytest.approx(gflops_per_s * 1e9, rel=0.005)
    assert backward_s / forward_s == pytest.approx(time_ratio, rel=0.005)


@pytest.mark.parametrize(("name", "share"), [("iot-gateway", 3.6 / 48.0), ("pi-zero-2", 32.0 / 48.0)])
def test_boards_without_a_published_rate_are_the_raspberry_pi_4_scaled(name: str, share: float) -> None:
    kind, board = catalogue.get(name), catalogue.get("raspberry-pi-4")
    for speed in SPEEDS:
        assert getattr(kind, speed) == pytest.approx(share * getattr(board, speed), rel=0.005)


def test_phones_are_within_what_is_published_of_flagships() -> None:
    flagship, budget = catalogue.get("flagship-phone"), catalogue.get("budget-phone")
    assert FORWARD_FLOPS / seconds(flagship)[0] == pytest.approx(22.5e9, rel=0.005)
    assert seconds(flagship)[0] / seconds(budget)[0] == pytest.approx(64.0 / 161.6, rel=0.01)
    assert seconds(flagship)[1] == pytest.approx(3.5 * seconds(flagship)[0], rel=0.01)
    assert seconds(budget)[1] == pytest.approx(6.3 * seconds(budget)[0], rel=0.01)


def test_types_span_two_orders_of_magnitude_slowest_first() -> None:
    rates = [FORWARD_FLOPS / seconds(catalogue.get(name))[0] for name in catalogue.names()]
    assert rates == sorted(rates)
    assert rates[-1] > 100 * rates[0]


@pytest.mark.parametrize("name", catalogue.names())
def test_figures_are_plausible(name: str) -> None:
    kind = catalogue.get(name)
    assert kind.name == name
    assert kind.backward_flops_per_s <= kind.forward_flops_per_s
    assert 0.1 <= kind.transmit_power_w <= 0.2  # 20 to 23 dBm
    assert kind.idle_w < kind.receiving_w < kind.transmitting_w
    assert kind.idle_w + kind.transmit_power_w / 0.5 < kind.transmitting_w  # no amplifier is better
    assert kind.idle_w < kind.computing_w
    assert 1e8 < kind.memory_bytes < 1e11
    assert math.isinf(kind.battery_j) or 1e4 < kind.battery_j < 1e6


def test_an_unknown_type_names_the_nearest_and_lists_all() -> None:
    with pytest.raises(ScenarioError, match=r"did you mean 'laptop'\?.*iot-gateway.*cloud-vm"):
        catalogue.get("laptops")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_that_is_not_a_positive_number_is_refused(name: str, value: float) -> None:
    if value == math.inf and name in MAY_BE_INFINITE:
        assert getattr(changed(**{name: value}), name) == math.inf
        return
    with pytest.raises(ScenarioError, match=f"{name} of device type 'laptop' is {value}"):
        changed(**{name: value})


def test_a_device_that_draws_less_than_it_radiates_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"transmitting_w of device type 'laptop' is 0\.1; .*, 0\.2\."):
        changed(transmitting_w=0.1)
