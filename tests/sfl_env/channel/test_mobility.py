"""Devices start uniform over the area, move at the speed that they are given, and never leave the area."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env.channel import Annulus, GaussMarkov, RandomWaypoint, Static
from sfl_env.channel.mobility import DriftState, WaypointState, distance_m
from sfl_env.errors import ScenarioError

AREA = Annulus(inner_m=20.0, outer_m=200.0)
MODELS = [Static(AREA), RandomWaypoint(AREA, 1.0, 1.0, 30.0), GaussMarkov(AREA, 1.0, 20.0, 0.8)]


@pytest.mark.parametrize("mobility", MODELS)
def test_positions_start_uniform_over_the_area(mobility: Any) -> None:
    position = mobility.initial(np.random.default_rng(0), 200, 1000).position_m
    distance = distance_m(position)
    for radius in (50.0, 100.0, 150.0):
        # Part of the area within the radius; standard error at most 0.5 / sqrt(200,000) = 0.0011.
        part = (radius**2 - 20.0**2) / (200.0**2 - 20.0**2)
        assert (distance < radius).mean() == pytest.approx(part, abs=0.006)
    for axis in (0, 1):
        assert (position[..., axis] > 0.0).mean() == pytest.approx(0.5, abs=0.006)


def test_static_devices_never_move_and_draw_nothing() -> None:
    mobility, rng = Static(AREA), np.random.default_rng(1)
    state = mobility.initial(rng, 3, 4)
    untouched = rng.bit_generator.state
    assert mobility.step(state, rng) is state
    assert rng.bit_generator.state == untouched


@pytest.mark.parametrize("mobility", MODELS)
def test_devices_stay_in_the_cell_over_many_rounds(mobility: Any) -> None:
    rng = np.random.default_rng(2)
    state = mobility.initial(rng, 20, 10)
    for _ in range(500):
        state = mobility.step(state, rng)
        assert AREA.contains(state.position_m).all()


@settings(max_examples=60, deadline=None)
@given(
    inner_m=st.floats(1.0, 100.0),
    width_m=st.floats(0.5, 1000.0),
    speed=st.floats(1e-3, 1e5),
    memory=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32),
)
def test_devices_stay_in_any_cell_at_any_speed(
    inner_m: float, width_m: float, speed: float, memory: float, seed: int
) -> None:
    area = Annulus(inner_m, inner_m + width_m)
    rng = np.random.default_rng(seed)
    mobilities: list[Any] = [
        RandomWaypoint(area, 1.0, speed, 2.0 * speed),
        GaussMarkov(area, 1.0, speed, memory),
    ]
    for mobility in mobilities:
        state = mobility.initial(rng, 1, 5)
        for _ in range(10):
            state = mobility.step(state, rng)
            assert area.contains(state.position_m).all()
            assert np.isfinite(state.position_m).all()


def test_a_walker_goes_straight_to_the_waypoint_and_then_gets_another() -> None:
    mobility, rng = RandomWaypoint(AREA, interval_s=2.0), np.random.default_rng(3)
    start = WaypointState(np.array([[[50.0, 0.0]]]), np.array([[[50.0, 9.0]]]), np.array([[2.0]]))
    first = mobility.step(start, rng)
    np.testing.assert_allclose(first.position_m, [[[50.0, 4.0]]])
    second = mobility.step(first, rng)
    np.testing.assert_allclose(second.position_m, [[[50.0, 8.0]]])
    assert (second.waypoint_m == start.waypoint_m).all()
    third = mobility.step(second, rng)
    np.testing.assert_allclose(third.position_m, [[[50.0, 9.0]]])
    assert (third.waypoint_m != start.waypoint_m).any()
    assert AREA.contains(third.waypoint_m).all()


def test_a_walker_does_not_enter_the_innermost_part() -> None:
    mobility, rng = RandomWaypoint(AREA, interval_s=1.0), np.random.default_rng(4)
    start = WaypointState(np.array([[[21.0, 0.0]]]), np.array([[[-50.0, 0.0]]]), np.array([[3.0]]))
    after = mobility.step(start, rng)
    np.testing.assert_allclose(after.position_m, [[[20.0, 0.0]]])
    assert (after.waypoint_m != start.waypoint_m).any()


def test_walkers_keep_within_their_range_of_speeds() -> None:
    mobility, rng = RandomWaypoint(AREA, 2.0, 0.5, 1.5), np.random.default_rng(5)
    state = mobility.initial(rng, 50, 100)
    moved = distance_m(mobility.step(state, rng).position_m - state.position_m)
    assert (moved <= 1.5 * 2.0 + 1e-9).all()
    assert np.median(moved) == pytest.approx(2.0, abs=0.1)


def test_drifting_velocities_keep_their_mean_speed_and_correlation() -> None:
    mobility, rng = GaussMarkov(Annulus(1.0, 1e6), 1.0, 10.0, 0.7), np.random.default_rng(6)
    first = state = mobility.initial(rng, 100, 1000)
    for lag in (1, 2, 3):
        state = mobility.step(state, rng)
        measured = np.corrcoef(first.velocity_m_per_s.ravel(), state.velocity_m_per_s.ravel())[0, 1]
        assert measured == pytest.approx(0.7**lag, abs=0.012)
        # Standard error: 5.2 / sqrt(100,000) = 0.017.
        assert distance_m(state.velocity_m_per_s).mean() == pytest.approx(10.0, abs=0.09)


def test_a_drifter_bounces_off_the_edge() -> None:
    mobility, rng = GaussMarkov(AREA, 1.0, 1.0, velocity_correlation=1.0), np.random.default_rng(7)
    start = DriftState(np.array([[[198.0, 0.0]]]), np.array([[[5.0, 0.0]]]))
    after = mobility.step(start, rng)
    # 3 m beyond the edge at 200 m come back to 197 m, and the velocity turns round.
    np.testing.assert_allclose(after.position_m, [[[197.0, 0.0]]])
    np.testing.assert_allclose(after.velocity_m_per_s, [[[-5.0, 0.0]]])


def test_drifters_stay_nearly_uniform() -> None:
    mobility, rng = GaussMarkov(AREA, 1.0, 5.0, 0.8), np.random.default_rng(8)
    state = mobility.initial(rng, 50, 200)
    for _ in range(200):
        state = mobility.step(state, rng)
    within = (distance_m(state.position_m) < 100.0).mean()
    # Standard error 0.0043; bouncing off a curved edge moves the density by about a hundredth.
    assert within == pytest.approx((100.0**2 - 20.0**2) / (200.0**2 - 20.0**2), abs=0.03)


def test_a_point_at_the_base_station_is_moved_out() -> None:
    np.testing.assert_allclose(AREA.clip(np.zeros((1, 2))), [[20.0, 0.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annulus(200.0, 100.0), "inner_m is 200.0 and outer_m is 100.0"),
        (lambda: Annulus(0.0, 100.0), "inner_m is 0.0"),
        (lambda: RandomWaypoint(AREA, interval_s=-1.0), "interval_s is -1.0"),
        (lambda: RandomWaypoint(AREA, 1.0, 2.0, 1.0), "fastest_m_per_s is 1.0; .* at least 2"),
        (lambda: GaussMarkov(AREA, 1.0, math.inf), "mean_speed_m_per_s is inf"),
        (lambda: GaussMarkov(AREA, 1.0, 1.0, -0.1), "velocity_correlation is -0.1"),
    ],
)
def test_parameters_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()


@pytest.mark.parametrize(
    "mobility",
    [
        RandomWaypoint(AREA, 1.0, 0.0, 0.0),
        RandomWaypoint(AREA, 0.0),
        GaussMarkov(AREA, 1.0, 0.0),
        GaussMarkov(AREA, 0.0),
    ],
)
def test_without_speed_or_time_nobody_moves(mobility: Any) -> None:
    rng = np.random.default_rng(0)
    state = mobility.initial(rng, 2, 5)
    np.testing.assert_array_equal(mobility.step(state, rng).position_m, state.position_m)
