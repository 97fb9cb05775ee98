"""Device types carry the measured figures, turned into the model's terms."""

import dataclasses

import pytest

from sfl_env.devices import catalogue
from sfl_env.errors import ScenarioError


@pytest.mark.parametrize(
    ("name", "gflops_per_s", "time_ratio"),
    [("raspberry-pi-4", 13.9, 6.3), ("laptop", 156.0, 3.5), ("cloud-vm", 245.0, 3.7)],
)
def test_measured_types_reproduce_the_published_speed_and_time_ratio(
    name: str, gflops_per_s: float, time_ratio: float
) -> None:
    kind = catalogue.get(name)
    assert kind.compute_flops_per_s == gflops_per_s * 1e9
    # A network with F forward and 2 F backward FLOPs spends F / f and 2 F / (f / slowdown).
    forward_s = 1e9 / kind.compute_flops_per_s
    backward_s = 2e9 / (kind.compute_flops_per_s / kind.backward_slowdown)
    assert backward_s / forward_s == pytest.approx(time_ratio, rel=1e-12)


def test_energy_of_a_training_step_is_power_times_its_time() -> None:
    # 3 GFLOPs on the Pi: forward 1 / 13.9 s, backward 6.3 times that, at 6.4 W: 6.4 x 7.3 / 13.9 = 3.36115 J
    assert 3e9 * catalogue.get("raspberry-pi-4").energy_j_per_flop == pytest.approx(3.36115, abs=1e-5)


def test_types_span_two_orders_of_magnitude_slowest_first() -> None:
    speeds = [catalogue.get(name).compute_flops_per_s for name in catalogue.names()]
    assert speeds == sorted(speeds)
    assert 0.9e9 < speeds[0] < 1.2e9
    assert 200e9 < speeds[-1] < 300e9


@pytest.mark.parametrize("name", catalogue.names())
def test_figures_are_plausible(name: str) -> None:
    kind = catalogue.get(name)
    assert kind.name == name
    assert 1.0 <= kind.backward_slowdown <= 4.0
    assert 0.1 <= kind.transmit_power_w <= 0.2  # 20 to 23 dBm
    assert 1e-11 < kind.energy_j_per_flop < 1e-8
    assert 1e8 < kind.memory_bytes < 1e11


def test_an_unknown_type_names_the_nearest_and_lists_all() -> None:
    with pytest.raises(ScenarioError, match=r"did you mean 'laptop'\?.*iot-gateway.*cloud-vm"):
        catalogue.get("laptops")


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_figure_that_is_not_a_positive_number_is_refused(value: float) -> None:
    with pytest.raises(ScenarioError, match="compute_flops_per_s of device type 'laptop'"):
        dataclasses.replace(catalogue.get("laptop"), compute_flops_per_s=value)
