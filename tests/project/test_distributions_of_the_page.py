"""What docs/model.md and docs/channel.md say that is drawn at random is distributed as they say.

Rounds of a known length are the clock: those in which nobody is reached last ``outage_wait_s``, and those in which
somebody is late last ``deadline_s``.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import chi2, kstest, ncx2, norm

from tests.project.drawn_rounds import Plainly, action_of

COUNT = 5000
BASE_STATION_M = {"umi": 10.0, "uma": 25.0}  # TR 38.901, Table 7.2-1
TERMINAL_M = 1.5
FAR = {"path_loss": "macro", "cell_radius_m": 1e5, "min_distance_m": 9e4}


def states(rounds: int, **fields: Any) -> list[Any]:
    """Return the simulator's states at the start of some rounds with many devices."""
    env: Any = gym.make(
        "SFL-v0", model="digits-cnn", action=Plainly(5), num_devices=COUNT, reference_latency_s=1.0, **fields
    )
    env.reset(seed=0)
    found = [env.unwrapped.episodes.now.state]
    for _ in range(rounds):
        info = env.step(action_of([0] * COUNT, [1.0 / COUNT] * COUNT, 5))[4]
        assert info["latency_s"] == fields.get("deadline_s", fields.get("outage_wait_s"))
        found.append(env.unwrapped.episodes.now.state)
    return found


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def path_loss_db(kind: str, ground_m: np.ndarray, sees: np.ndarray, carrier_hz: float = 3.5e9) -> np.ndarray:
    """TR 38.901, Table 7.4.1-1, with the standard's heights; the classic macro cell as the page has it."""
    if kind == "macro":
        return np.asarray(128.1 + 37.6 * np.log10(ground_m / 1e3))
    height, terminal = BASE_STATION_M[kind], TERMINAL_M
    slant_m = np.hypot(ground_m, height - terminal)
    breakpoint_m = (
        4.0 * (height - 1.0) * (terminal - 1.0) * carrier_hz / 3e8
    )  # the speed of light as the table has it
    offset, slope, beyond = {"umi": (32.4, 21.0, 9.5), "uma": (28.0, 22.0, 9.0)}[kind]
    near = offset + slope * np.log10(slant_m)
    far = offset + 40.0 * np.log10(slant_m) - beyond * np.log10(breakpoint_m**2 + (height - terminal) ** 2)
    free = np.where(ground_m <= breakpoint_m, near, far) + 20.0 * np.log10(carrier_hz / 1e9)
    if kind == "umi":
        hidden = 35.3 * np.log10(slant_m) + 22.4 + 21.3 * np.log10(carrier_hz / 1e9)
    else:
        hidden = 13.54 + 39.08 * np.log10(slant_m) + 20.0 * np.log10(carrier_hz / 1e9)
    loss_db: np.ndarray = np.where(sees, free, np.maximum(free, hidden))
    return loss_db


def test_free_speed_is_any_level_alike_and_drawn_anew_at_a_constant_rate() -> None:
    start, later, last = (state.availability.fraction[0] for state in states(2, outage_wait_s=50.0, **FAR))
    levels, counts = np.unique(start, return_counts=True)
    assert levels.tolist() == [0.5, 0.75, 1.0]
    assert counts / COUNT == pytest.approx([1 / 3] * 3, abs=0.02)
    assert correlation(start, later) == pytest.approx(np.exp(-50.0 / 200.0), abs=0.03)
    assert correlation(start, last) == pytest.approx(np.exp(-100.0 / 200.0), abs=0.03)


def test_blockage_is_a_two_state_process() -> None:
    """A fifth of the time, a minute each: so the rates of both changes sum to 1 / 48 s."""
    start, later = (state.channel.blockage.blocked[0] for state in states(1, outage_wait_s=20.0, **FAR))
    assert start.mean() == pytest.approx(0.2, abs=0.02)
    assert later[start].mean() == pytest.approx(0.2 + 0.8 * np.exp(-20.0 / 48.0), abs=0.05)
    assert later[~start].mean() == pytest.approx(0.2 - 0.2 * np.exp(-20.0 / 48.0), abs=0.02)


@pytest.mark.parametrize("kind", ["umi", "uma", "macro"])
def test_line_of_sight_shadowing_and_rician_factor_are_those_of_the_standard(kind: str) -> None:
    """Frequency by distance, deviations, and correlation over the metres that a device moves in five seconds."""
    scene = {"path_loss": kind, "cell_radius_m": 300.0, "speed_m_per_s": 1.0, "deadline_s": 5.0}
    before, after = (state.channel for state in states(1, **scene))
    ground_m = np.hypot(*before.mobility.position_m[0].T)
    sees, still_sees = before.place.los[0], after.place.los[0]
    metres = np.hypot(*(after.mobility.position_m - before.mobility.position_m)[0].T)
    shadows = []
    for channel in (before, after):
        at_m = np.hypot(*channel.mobility.position_m[0].T)
        loss_db = path_loss_db(kind, at_m, channel.place.los[0])
        shadows.append(-10.0 * np.log10(channel.place.large_scale_gain[0]) - loss_db)
    if kind == "macro":
        assert not sees.any()
    else:
        decay_m = {"umi": 36.0, "uma": 63.0}[kind]
        chance = np.minimum(1.0, 18.0 / ground_m + np.exp(-ground_m / decay_m) * (1.0 - 18.0 / ground_m))
        for low, high in ((10, 50), (50, 100), (100, 200), (200, 300)):
            within = (low < ground_m) & (ground_m <= high)
            margin = 4.0 * np.sqrt((chance * (1.0 - chance))[within].sum()) / within.sum()
            assert sees[within].mean() == pytest.approx(chance[within].mean(), abs=margin)
    deviations = {"umi": (4.0, 7.82), "uma": (4.0, 6.0), "macro": (8.0, 8.0)}[kind]
    distances = {"umi": (10.0, 13.0), "uma": (37.0, 50.0), "macro": (50.0, 50.0)}[kind]
    for view, deviation, distance_m in zip((True, False), deviations, distances, strict=True):
        if kind == "macro" and view:
            continue
        shadow, same = shadows[0][sees == view], (sees == view) & (still_sees == view)
        assert shadow.mean() == pytest.approx(0.0, abs=4.0 * deviation / np.sqrt(shadow.size))
        assert shadow.std() == pytest.approx(deviation, rel=4.0 / np.sqrt(2.0 * shadow.size))
        alike = correlation(shadows[0][same], shadows[1][same])
        assert alike == pytest.approx(np.exp(-metres[same] / distance_m).mean(), abs=0.05)
    if kind != "macro":
        factor_db = 10.0 * np.log10(before.place.k_factor[0][sees])
        deviation = {"umi": 5.0, "uma": 3.5}[kind]
        assert factor_db.mean() == pytest.approx(9.0, abs=4.0 * deviation / np.sqrt(factor_db.size))
        assert factor_db.std() == pytest.approx(deviation, rel=4.0 / np.sqrt(2.0 * factor_db.size))
    assert not before.place.k_factor[0][~sees].any()


@pytest.mark.parametrize("rician_k_db", [None, 3.0])
def test_block_fading_has_power_one_and_the_correlation_of_its_scattered_part(rician_k_db: float | None) -> None:
    """The amplitude's scattered part keeps ``fading_correlation`` from round to round: rho^2 of Rayleigh power."""
    near = {"cell_radius_m": 18.0, "min_distance_m": 10.0}  # all in line of sight
    scene = {"path_loss": "macro", "cell_radius_m": 500.0} if rician_k_db is None else near
    chosen = {"fading": "block", "fading_correlation": 0.6, "rician_k_db": rician_k_db, "mobility": "static"}
    found = states(1, **scene, **chosen, blockage_fraction=0.0, deadline_s=1.0)
    first, second = (
        (channel.gain / channel.place.large_scale_gain)[0] for channel in (state.channel for state in found)
    )
    factor = 0.0 if rician_k_db is None else 10.0 ** (rician_k_db / 10.0)
    law = chi2(2) if factor == 0.0 else ncx2(2, 2.0 * factor)
    assert kstest(2.0 * (1.0 + factor) * first, law.cdf).pvalue > 1e-3
    rho = 0.6
    expected = (rho**2 + 2.0 * factor * rho) / (1.0 + 2.0 * factor)
    assert correlation(first, second) == pytest.approx(expected, abs=0.05)


def evenly_placed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw complex places, evenly over the default cell's area."""
    radius_m = np.sqrt(rng.uniform(10.0**2, 60.0**2, count))
    placed: np.ndarray = radius_m * np.exp(2j * np.pi * rng.random(count))
    return placed


def walkers_square_m2() -> float:
    """Mean squared distance from the station on legs between random places, none of which crosses the middle."""
    rng = np.random.default_rng(0)
    begin, end = evenly_placed(rng, 100_000), evenly_placed(rng, 100_000)
    leg = end - begin
    nearest = np.clip(-(begin * leg.conj()).real / np.abs(leg) ** 2, 0.0, 1.0)
    clear = np.abs(begin + nearest * leg) >= 10.0
    on_the_way = np.abs(begin + rng.random(100_000) * leg) ** 2
    return float(np.average(on_the_way[clear], weights=np.abs(leg)[clear]))


@pytest.mark.parametrize("mobility", ["static", "random-waypoint"])
def test_devices_start_where_they_are_found_at_any_time(mobility: str) -> None:
    """Evenly over the cell's area if they stay; walkers on legs between such places, the long ones more often."""
    start, later = (state.channel.mobility for state in states(1, mobility=mobility, deadline_s=100.0))
    expected = walkers_square_m2() if mobility == "random-waypoint" else 0.5 * (60.0**2 + 10.0**2)
    for held in (start, later):
        assert (held.position_m**2).sum(axis=-1).mean() == pytest.approx(expected, rel=0.04)


def test_a_walkers_speed_is_drawn_for_each_leg_so_that_slow_ones_are_met_longer() -> None:
    """From half to one and a half times the mean over legs: in time, the reciprocal's density between them."""
    for state in states(1, deadline_s=100.0, mobility="random-waypoint"):
        relative = state.channel.mobility.speed_m_per_s[0] / 0.83
        assert kstest(np.log(relative), "uniform", args=(np.log(0.5), np.log(3.0))).pvalue > 1e-3


def test_mini_batches_and_speeds_are_log_uniform_within_their_spreads() -> None:
    chosen = {"batch_size": 400, "batch_size_spread": 4.0, "compute_spread": 3.0}
    (state,) = states(0, device_types=("laptop",), device_weights=(1.0,), **chosen)
    batches = state.setup.samples[0] / 4.0
    np.testing.assert_array_equal(batches, np.round(batches))
    speed = state.setup.devices.forward_flops_per_s[0]
    speed = speed / np.sqrt(speed.min() * speed.max())
    for values, spread in ((batches / 400.0, 4.0), (speed, 3.0)):
        scaled = np.log(values) / np.log(spread)
        assert kstest(scaled, "uniform", args=(-1.0, 2.0)).statistic < 0.03


@pytest.mark.parametrize("kind", ["umi", "uma"])
def test_views_and_rician_factors_change_with_the_metres_that_are_walked(kind: str) -> None:
    before, after = (
        state.channel
        for state in states(1, path_loss=kind, cell_radius_m=150.0, speed_m_per_s=1.0, deadline_s=10.0)
    )
    metres = np.hypot(*(after.mobility.position_m - before.mobility.position_m)[0].T)
    thresholds = []
    for channel in (before, after):
        at_m, decay_m = np.hypot(*channel.mobility.position_m[0].T), {"umi": 36.0, "uma": 63.0}[kind]
        chance = np.minimum(1.0, 18.0 / at_m + np.exp(-at_m / decay_m) * (1.0 - 18.0 / at_m))
        thresholds.append(norm.ppf(chance))
    alike, drawn = np.exp(-metres / 50.0), np.random.default_rng(0).standard_normal((2, 20, COUNT))
    numbers = drawn[0], alike * drawn[0] + np.sqrt(1.0 - alike**2) * drawn[1]
    expected = ((numbers[0] < thresholds[0]) != (numbers[1] < thresholds[1])).mean()
    sees, still_sees = before.place.los[0], after.place.los[0]
    assert (sees != still_sees).mean() == pytest.approx(expected, abs=0.02)
    both = sees & still_sees
    factors = [np.log(channel.place.k_factor[0][both]) for channel in (before, after)]
    distance_m = {"umi": 15.0, "uma": 12.0}[kind]
    assert correlation(*factors) == pytest.approx(np.exp(-metres[both] / distance_m).mean(), abs=0.05)
