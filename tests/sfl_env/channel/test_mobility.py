"""Devices stay in the area, walk no faster than they can, and are as they were at the start after any time."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from sfl_env.channel import Annulus, GaussMarkov, RandomWaypoint, Static
from sfl_env.channel.area import distance_m
from sfl_env.channel.drift import DriftState
from sfl_env.channel.waypoints import WaypointState
from sfl_env.errors import ScenarioError

AREA = Annulus(inner_m=20.0, outer_m=200.0)
WALK, DRIFT = RandomWaypoint(AREA, 1.0, 3.0), GaussMarkov(AREA, 5.0, 10.0)
MOVING: list[Any] = [WALK, DRIFT]
LIKELY = 1e-4
"""Two samples of one distribution are told apart this often."""


def after(mobility: Any, seconds: tuple[float, ...], seed: int, n: int = 4, num_devices: int = 2500) -> Any:
    rng = np.random.default_rng(seed)
    state = mobility.initial(rng, n, num_devices)
    for elapsed in seconds:
        state, _ = mobility.step(state, np.full(n, elapsed), rng)
    return state


@pytest.mark.parametrize("mobility", [Static(AREA), DRIFT])
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
    later, walked_m = mobility.step(state, np.full(3, 20.0), rng)
    assert later is state
    assert walked_m is None
    assert rng.bit_generator.state == untouched


@pytest.mark.parametrize("seconds", [(5.0,) * 40, (30.0,) * 10, (100.0, 7.0, 1e4, 80.0), (1e9,)])
def test_walkers_are_spread_after_any_time_as_at_the_start(seconds: tuple[float, ...]) -> None:
    before, later = after(WALK, (), 2), after(WALK, seconds, 3)
    for name in ("position_m", "waypoint_m"):
        radii = [distance_m(getattr(state, name)).ravel() for state in (before, later)]
        assert ks_2samp(radii[0], radii[1]).pvalue > LIKELY
    assert ks_2samp(before.speed_m_per_s.ravel(), later.speed_m_per_s.ravel()).pvalue > LIKELY
    left = [distance_m(state.waypoint_m - state.position_m).ravel() for state in (before, later)]
    assert ks_2samp(left[0], left[1]).pvalue > LIKELY


@pytest.mark.parametrize("mobility", MOVING, ids=["walk", "drift"])
@pytest.mark.parametrize("parts", [(20.0, 20.0), (4.0,) * 10, (0.0, 33.0, 7.0)])
def test_a_time_in_parts_leads_as_far_as_at_once(mobility: Any, parts: tuple[float, ...]) -> None:
    def displaced(seconds: tuple[float, ...], seed: int) -> Any:
        rng = np.random.default_rng(seed)
        state = start = mobility.initial(rng, 4, 2500)
        total = np.zeros((4, 2500))
        for elapsed in seconds:
            state, walked_m = mobility.step(state, np.full(4, elapsed), rng)
            total += walked_m
        return distance_m(state.position_m - start.position_m).ravel(), total.ravel()

    once, in_parts = displaced((40.0,), 4), displaced(parts, 5)
    assert ks_2samp(once[0], in_parts[0]).pvalue > LIKELY
    if mobility is WALK:  # whose ways are followed to the metre
        assert ks_2samp(once[1], in_parts[1]).pvalue > LIKELY
    else:  # chords of parts of half the memory at most
        assert once[1].mean() == pytest.approx(in_parts[1].mean(), rel=0.06)


@settings(max_examples=60, deadline=None)
@given(
    inner_m=st.floats(1.0, 100.0),
    width_m=st.floats(0.5, 1000.0),
    speed=st.floats(1e-3, 1e5),
    memory_s=st.floats(1e-3, 1e6),
    seconds=st.floats(0.0, 1e9),
    seed=st.integers(0, 2**32),
)
def test_devices_stay_in_any_cell_at_any_speed(
    inner_m: float, width_m: float, speed: float, memory_s: float, seconds: float, seed: int
) -> None:
    area = Annulus(inner_m, inner_m + width_m)
    rng = np.random.default_rng(seed)
    mobilities: list[Any] = [RandomWaypoint(area, speed, 2.0 * speed), GaussMarkov(area, speed, memory_s)]
    for mobility in mobilities:
        state = mobility.initial(rng, 2, 5)
        for _ in range(3):
            state, walked_m = mobility.step(state, np.array([seconds, 0.1 * seconds]), rng)
            assert area.contains(state.position_m).all()
            assert np.isfinite(state.position_m).all()
            assert ((walked_m >= 0.0) & np.isfinite(walked_m)).all()


@settings(max_examples=60, deadline=None)
@given(seconds=st.floats(0.0, 1e4), seed=st.integers(0, 2**32))
def test_no_walker_is_faster_than_the_fastest(seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = WALK.initial(rng, 3, 20)
    later, walked_m = WALK.step(state, np.full(3, seconds), rng)
    assert (walked_m <= 3.0 * seconds * (1.0 + 1e-12)).all()
    assert (walked_m >= 1.0 * seconds * (1.0 - 1e-12)).all()
    if seconds < 100.0:  # else they are drawn anew
        assert (distance_m(later.position_m - state.position_m) <= walked_m + 1e-9).all()


def test_a_walker_goes_straight_to_the_waypoint_and_on_to_another() -> None:
    rng = np.random.default_rng(3)
    start = WaypointState(np.array([[[50.0, 0.0]]]), np.array([[[50.0, 9.0]]]), np.array([[2.0]]))
    first, walked_m = WALK.step(start, np.array([4.0]), rng)
    np.testing.assert_allclose(first.position_m, [[[50.0, 8.0]]])
    assert walked_m == pytest.approx(8.0)
    assert (first.waypoint_m == start.waypoint_m).all()
    second, walked_m = WALK.step(first, np.array([10.5]), rng)
    # Half a second to the place, then ten on the way to another.
    assert (second.waypoint_m != start.waypoint_m).any()
    assert distance_m(second.position_m - start.waypoint_m)[0, 0] == pytest.approx(
        10.0 * second.speed_m_per_s[0, 0], rel=1e-9
    )
    assert walked_m[0, 0] == pytest.approx(1.0 + 10.0 * second.speed_m_per_s[0, 0], rel=1e-9)
    assert AREA.contains(second.waypoint_m).all()


def test_no_walker_s_way_leads_through_the_innermost_part() -> None:
    for state in (after(WALK, (), 6), after(WALK, (25.0,) * 20, 7), after(WALK, (1e5,), 8)):
        for part in np.linspace(0.0, 1.0, 21):
            assert AREA.contains(state.position_m + part * (state.waypoint_m - state.position_m)).all()


def test_ways_are_cut_off_where_they_would_enter_the_innermost_part() -> None:
    start, end = (
        np.array([[50.0, 0.0], [50.0, 0.0], [20.0, 0.0]]),
        np.array([[-50.0, 0.0], [60.0, 1.0], [-20.0, 0.0]]),
    )
    assert AREA.is_crossed(start, end).tolist() == [True, False, True]
    np.testing.assert_allclose(AREA.cut_off(start, end), [[20.0, 0.0], [60.0, 1.0], [20.0, 0.0]], atol=1e-9)


def test_each_environment_has_its_own_time() -> None:
    for mobility in MOVING:
        rng = np.random.default_rng(9)
        state: Any = mobility.initial(rng, 3, 50)
        later, walked_m = mobility.step(state, np.array([0.0, 10.0, 1e6]), rng)
        assert (later.position_m[0] == state.position_m[0]).all()
        assert walked_m[0].max() == 0.0
        assert 10.0 < walked_m[1].mean() < 60.0
        assert walked_m[2].mean() > 1000.0


def test_drifting_velocities_keep_their_mean_speed_and_correlation() -> None:
    mobility, rng = GaussMarkov(Annulus(1.0, 1e7), 10.0, 20.0), np.random.default_rng(6)
    first = state = mobility.initial(rng, 100, 1000)
    passed = 0.0
    for seconds in (1.0, 6.0, 15.0):
        state, _ = mobility.step(state, np.full(100, seconds), rng)
        passed += seconds
        measured = np.corrcoef(first.velocity_m_per_s.ravel(), state.velocity_m_per_s.ravel())[0, 1]
        assert measured == pytest.approx(math.exp(-passed / 20.0), abs=0.012)
        # Standard error: 5.2 / sqrt(100,000) = 0.017.
        assert distance_m(state.velocity_m_per_s).mean() == pytest.approx(10.0, abs=0.09)


@pytest.mark.parametrize("seconds", [0.01, 5.0, 60.0])
def test_a_drifter_s_way_is_the_integral_of_its_velocity(seconds: float) -> None:
    mobility, rng = GaussMarkov(Annulus(1.0, 1e7), 10.0, 20.0), np.random.default_rng(10)
    start = mobility.initial(rng, 100, 1000)
    later, _ = mobility.step(start, np.full(100, seconds), rng)
    moved, variance = later.position_m - start.position_m, 100.0 / (0.5 * math.pi)
    # Of an Ornstein-Uhlenbeck velocity: 2 s^2 m^2 (t/m - 1 + e^(-t/m)), and s^2 m (1 - e^(-t/m)) with each end's.
    ratio = seconds / 20.0
    assert moved.var() == pytest.approx(2.0 * variance * 400.0 * (ratio - 1.0 + math.exp(-ratio)), rel=0.02)
    for state in (start, later):
        shared = (moved * state.velocity_m_per_s).mean()
        assert shared == pytest.approx(variance * 20.0 * (1.0 - math.exp(-ratio)), rel=0.03)


def test_a_drifter_bounces_off_the_edge() -> None:
    mobility, rng = GaussMarkov(AREA, 1.0, memory_s=1e12), np.random.default_rng(7)
    start = DriftState(np.array([[[198.0, 0.0]]]), np.array([[[5.0, 0.0]]]))
    after_, walked_m = mobility.step(start, np.array([1.0]), rng)
    # 3 m beyond the edge at 200 m come back to 197 m, and the velocity turns round.
    np.testing.assert_allclose(after_.position_m, [[[197.0, 0.0]]], atol=1e-4)
    np.testing.assert_allclose(after_.velocity_m_per_s, [[[-5.0, 0.0]]], atol=1e-4)
    assert walked_m[0, 0] == pytest.approx(5.0, abs=1e-4)


@pytest.mark.parametrize("seconds", [(1.0,) * 100, (20.0,) * 20, (350.0,) * 3, (450.0,), (1e6,)])
def test_drifters_stay_uniform_over_the_area(seconds: tuple[float, ...]) -> None:
    # Where they are reflected as light is, a spread that is uniform over places and directions stays so.
    radii = [distance_m(state.position_m).ravel() for state in (after(DRIFT, (), 8), after(DRIFT, seconds, 9))]
    assert ks_2samp(radii[0], radii[1]).pvalue > LIKELY


def test_a_drifter_bounces_off_the_innermost_part_too() -> None:
    mobility, rng = GaussMarkov(AREA, 1.0, memory_s=1e12), np.random.default_rng(7)
    start = DriftState(np.array([[[22.0, 0.0]]]), np.array([[[-5.0, 0.0]]]))
    later, _ = mobility.step(start, np.array([1.0]), rng)
    np.testing.assert_allclose(later.position_m, [[[23.0, 0.0]]], atol=1e-4)
    np.testing.assert_allclose(later.velocity_m_per_s, [[[5.0, 0.0]]], atol=1e-4)


def test_a_point_at_the_base_station_is_moved_out() -> None:
    np.testing.assert_allclose(AREA.clip(np.zeros((1, 2))), [[20.0, 0.0]])


def test_candidates_that_lie_in_the_area_are_uniform_over_it() -> None:
    for area in (AREA, Annulus(150.0, 200.0)):
        points, within = area.candidates(np.random.default_rng(11), (100, 1000))
        assert (within == area.contains(points)).all()
        radii = distance_m(points)[within]
        sampled = distance_m(area.sample(np.random.default_rng(12), (50_000,)))
        assert ks_2samp(radii, sampled).pvalue > LIKELY


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annulus(200.0, 100.0), "inner_m is 200.0 and outer_m is 100.0"),
        (lambda: Annulus(0.0, 100.0), "inner_m is 0.0"),
        (lambda: RandomWaypoint(AREA, 0.0, 1.0), "slowest_m_per_s is 0.0; .* above 0"),
        (lambda: RandomWaypoint(AREA, 2.0, 1.0), "fastest_m_per_s is 1.0; .* at least 2"),
        (lambda: GaussMarkov(AREA, math.inf), "mean_speed_m_per_s is inf"),
        (lambda: GaussMarkov(AREA, 1.0, 0.0), "memory_s is 0.0; .* above 0"),
    ],
)
def test_parameters_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        make()


@pytest.mark.parametrize("mobility", [*MOVING, GaussMarkov(AREA, 0.0)])
def test_in_no_time_nobody_moves(mobility: Any) -> None:
    rng = np.random.default_rng(0)
    state = mobility.initial(rng, 2, 5)
    seconds = 20.0 if mobility not in MOVING else 0.0
    later, walked_m = mobility.step(state, np.full(2, seconds), rng)
    np.testing.assert_array_equal(later.position_m, state.position_m)
    assert (walked_m == 0.0).all()


@pytest.mark.parametrize("mobility", MOVING)
def test_equal_seeds_give_equal_ways_and_states_stay_as_they_are(mobility: Any) -> None:
    ends = [after(mobility, (10.0, 70.0, 500.0), 13, num_devices=5) for _ in range(2)]
    for one, other in zip(*ends, strict=True):
        np.testing.assert_array_equal(one, other)
    before = [part.copy() for part in ends[0]]
    mobility.step(ends[0], np.full(4, 60.0), np.random.default_rng(0))
    for part, kept in zip(ends[0], before, strict=True):
        np.testing.assert_array_equal(part, kept)
