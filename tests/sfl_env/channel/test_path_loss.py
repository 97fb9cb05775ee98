"""Path loss against values computed by hand from 3GPP TR 38.901, Tables 7.4.1-1 and 7.4.2-1."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env.channel import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.errors import ScenarioError

MODELS: list[Any] = [UrbanMicro(), UrbanMacro(), ClassicMacro()]


def loss(model: PathLoss, distance_m: float, los: bool) -> float:
    return float(model.loss_db(np.array([distance_m]), np.array([los]))[0])


def test_breakpoint_distances() -> None:
    # UMi, 3.5 GHz: 4 (10 - 1)(1.5 - 1) 3.5e9 / 3e8 = 4 x 9 x 0.5 x 11.6667 = 210 m
    assert UrbanMicro(carrier_hz=3.5e9).breakpoint_m == pytest.approx(210.0, rel=1e-12)
    # UMa, 2 GHz: 4 (25 - 1)(1.5 - 1) 2e9 / 3e8 = 4 x 24 x 0.5 x 6.6667 = 320 m
    assert UrbanMacro(carrier_hz=2e9).breakpoint_m == pytest.approx(320.0, rel=1e-12)


def test_micro_line_of_sight_before_the_breakpoint() -> None:
    # d_3D = sqrt(100^2 + 8.5^2) = sqrt(10072.25) = 100.36060, log10 = 2.00156325
    # 32.4 + 21 x 2.00156325 + 20 log10(3.5) = 32.4 + 42.03283 + 10.88136 = 85.31419
    assert loss(UrbanMicro(carrier_hz=3.5e9), 100.0, True) == pytest.approx(85.31419, abs=1e-5)


def test_micro_line_of_sight_beyond_the_breakpoint() -> None:
    # d_3D = sqrt(400^2 + 8.5^2) = sqrt(160072.25), log10 = 0.5 x 5.20431605 = 2.60215802
    # 9.5 log10(210^2 + 8.5^2) = 9.5 log10(44172.25) = 9.5 x 4.64514947 = 44.12892
    # 32.4 + 40 x 2.60215802 + 10.88136 - 44.12892 = 103.23876
    assert loss(UrbanMicro(carrier_hz=3.5e9), 400.0, True) == pytest.approx(103.23876, abs=2e-5)


def test_micro_without_line_of_sight() -> None:
    # 35.3 x 2.00156325 + 22.4 + 21.3 log10(3.5) - 0.3 (1.5 - 1.5) = 70.65518 + 22.4 + 11.58865 = 104.64383
    assert loss(UrbanMicro(carrier_hz=3.5e9), 100.0, False) == pytest.approx(104.64383, abs=2e-5)
    # A terminal at 11.5 m: d_3D = sqrt(100^2 + 1.5^2), log10 = 2.00004886, minus 0.3 x 10 dB:
    # 70.60172 + 22.4 + 11.58865 - 3 = 101.59037
    raised = UrbanMicro(carrier_hz=3.5e9, terminal_height_m=11.5)
    assert loss(raised, 100.0, False) == pytest.approx(101.59037, abs=2e-5)


def test_macro_line_of_sight_on_both_sides_of_the_breakpoint() -> None:
    model = UrbanMacro(carrier_hz=2e9)
    # d_3D = sqrt(200^2 + 23.5^2) = sqrt(40552.25), log10 = 0.5 x 4.60801496 = 2.30400748
    # 28 + 22 x 2.30400748 + 20 log10(2) = 28 + 50.68816 + 6.02060 = 84.70876
    assert loss(model, 200.0, True) == pytest.approx(84.70876, abs=2e-5)
    # d_3D = sqrt(1000^2 + 23.5^2) = sqrt(1000552.25), log10 = 3.00011988
    # 9 log10(320^2 + 23.5^2) = 9 log10(102952.25) = 9 x 5.01263585 = 45.11372
    # 28 + 120.00480 + 6.02060 - 45.11372 = 108.91168
    assert loss(model, 1000.0, True) == pytest.approx(108.91168, abs=2e-5)


def test_macro_without_line_of_sight() -> None:
    # 13.54 + 39.08 x 2.30400748 + 6.02060 - 0.6 (1.5 - 1.5) = 13.54 + 90.04061 + 6.02060 = 109.60121
    assert loss(UrbanMacro(carrier_hz=2e9), 200.0, False) == pytest.approx(109.60121, abs=2e-5)
    # 13.54 + 39.08 x 3.00011988 + 6.02060 = 136.80528
    assert loss(UrbanMacro(carrier_hz=2e9), 1000.0, False) == pytest.approx(136.80528, abs=2e-5)
    # A terminal at 11.5 m: d_3D = sqrt(200^2 + 13.5^2) = sqrt(40182.25), log10 = 2.30201713, minus 0.6 x 10 dB:
    # 13.54 + 89.96283 + 6.02060 - 6 = 103.52343
    raised = UrbanMacro(carrier_hz=2e9, terminal_height_m=11.5)
    assert loss(raised, 200.0, False) == pytest.approx(103.52343, abs=2e-5)


def test_without_line_of_sight_the_larger_curve_counts() -> None:
    # UMi at 0.5 GHz, both antennas at 22.5 m, 10 m away: d_3D = 10 m, log10 = 1
    # LOS: 32.4 + 21 + 20 log10(0.5) = 53.4 - 6.02060 = 47.37940
    # NLOS': 35.3 + 22.4 + 21.3 log10(0.5) - 0.3 x 21 = 57.7 - 6.41194 - 6.3 = 44.98806, the smaller one
    model = UrbanMicro(carrier_hz=0.5e9, base_station_height_m=22.5, terminal_height_m=22.5)
    assert loss(model, 10.0, True) == pytest.approx(47.37940, abs=1e-5)
    assert loss(model, 10.0, False) == pytest.approx(47.37940, abs=1e-5)
    # 20 m away: LOS 47.37940 + 21 x 0.30103 = 53.70103; NLOS' 44.98806 + 35.3 x 0.30103 = 55.61442, the larger one
    assert loss(model, 20.0, False) == pytest.approx(55.61442, abs=1e-5)


@given(
    distance_m=st.floats(0.0, 1e5),
    carrier_hz=st.floats(0.5e9, 100e9),
    terminal_m=st.floats(1.5, 13.0),
    kind=st.sampled_from([UrbanMicro, UrbanMacro]),
)
def test_blocked_links_lose_at_least_as_much(
    distance_m: float, carrier_hz: float, terminal_m: float, kind: type[UrbanMicro] | type[UrbanMacro]
) -> None:
    model = kind(carrier_hz=carrier_hz, terminal_height_m=terminal_m)
    seen, blocked = loss(model, distance_m, True), loss(model, distance_m, False)
    assert 0.0 < seen <= blocked < 400.0


@pytest.mark.parametrize("model", [UrbanMicro(3.5e9), UrbanMicro(28e9), UrbanMacro(0.7e9), UrbanMacro(3.5e9)])
def test_line_of_sight_loss_is_continuous_at_the_breakpoint(model: UrbanMicro | UrbanMacro) -> None:
    before, after = model.breakpoint_m * (1.0 - 1e-9), model.breakpoint_m * (1.0 + 1e-9)
    assert loss(model, after, True) == pytest.approx(loss(model, before, True), abs=1e-6)
    # ... and steepens there: from about 21 or 22 dB to about 40 dB a decade.
    assert loss(model, model.breakpoint_m * 10.0, True) - loss(model, after, True) > 38.0


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("los", [True, False])
def test_loss_rises_with_the_distance(model: PathLoss, los: bool) -> None:
    distance = np.geomspace(10.0, 5000.0, 200)
    assert (np.diff(model.loss_db(distance, np.full(200, los))) > 0.0).all()


@pytest.mark.parametrize("model", MODELS)
def test_closer_than_ten_metres_counts_as_ten(model: PathLoss) -> None:
    assert loss(model, 0.0, True) == loss(model, 10.0, True)


def test_line_of_sight_probabilities() -> None:
    distance = np.array([5.0, 18.0, 36.0, 100.0])
    # UMi: 36 m: 0.5 + e^-1 x 0.5 = 0.683940; 100 m: 0.18 + e^(-100/36) x 0.82 = 0.18 + 0.0621765 x 0.82 = 0.230985
    expected = [1.0, 1.0, 0.683940, 0.230985]
    assert UrbanMicro().los_probability(distance) == pytest.approx(expected, abs=2e-6)
    # UMa: 36 m: 0.5 + e^(-36/63) x 0.5 = 0.5 + 0.564718 x 0.5 = 0.782359;
    # 100 m: 0.18 + e^(-100/63) x 0.82 = 0.18 + 0.2044766 x 0.82 = 0.347671
    assert UrbanMacro().los_probability(distance) == pytest.approx([1.0, 1.0, 0.782359, 0.347671], abs=2e-6)
    assert (ClassicMacro().los_probability(distance) == 0.0).all()


@given(st.floats(0.0, 1e6))
def test_probabilities_stay_between_zero_and_one(distance_m: float) -> None:
    models: list[Any] = list(MODELS)
    for model in models:
        assert 0.0 <= model.los_probability(np.array([distance_m]))[0] <= 1.0


def test_statistics_of_the_standard() -> None:
    # TR 38.901, Tables 7.4.1-1, 7.5-6 and 7.6.3.1-2; TR 36.814, Table A.2.1.1-2
    micro, macro, classic = (model.statistics for model in MODELS)
    assert (micro.shadowing_std_db, micro.shadowing_correlation_m) == ((4.0, 7.82), (10.0, 13.0))
    assert (macro.shadowing_std_db, macro.shadowing_correlation_m) == ((4.0, 6.0), (37.0, 50.0))
    assert (classic.shadowing_std_db, classic.shadowing_correlation_m) == ((8.0, 8.0), (50.0, 50.0))
    assert (micro.k_mean_db, micro.k_std_db, micro.k_correlation_m) == (9.0, 5.0, 15.0)
    assert (macro.k_mean_db, macro.k_std_db, macro.k_correlation_m) == (9.0, 3.5, 12.0)
    assert micro.los_correlation_m == macro.los_correlation_m == 50.0
    assert not classic.has_line_of_sight


def test_classic_macro_cell() -> None:
    # 128.1 + 37.6 log10(0.5) = 128.1 - 11.31873 = 116.78127
    assert loss(ClassicMacro(), 500.0, False) == pytest.approx(116.78127, abs=1e-5)
    assert loss(ClassicMacro(), 1000.0, True) == pytest.approx(128.1, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UrbanMicro(carrier_hz=1e6), "carrier_hz is 1000000.0"),
        (lambda: UrbanMacro(terminal_height_m=20.0), "terminal_height_m is 20.0; .* from 1.5 to 13"),
        (lambda: UrbanMicro(base_station_height_m=math.nan), "base_station_height_m is nan"),
        (lambda: ClassicMacro(shadowing_std=-1.0), "shadowing_std is -1.0"),
        (lambda: ClassicMacro(shadowing_correlation_m=0.0), "shadowing_correlation_m is 0.0"),
    ],
)
def test_parameters_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()
