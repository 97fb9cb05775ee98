"""The composite channel: parts multiply, time and ways move it, seeds repeat, rows are replaced."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from sfl_env.channel import (
    Annulus,
    AveragedFading,
    BlockFading,
    Channel,
    ClassicMacro,
    GaussMarkov,
    NoFading,
    RandomWaypoint,
    Static,
    TwoStateBlockage,
    UrbanMacro,
    UrbanMicro,
)
from sfl_env.channel.area import distance_m
from sfl_env.channel.statistics import UMI
from sfl_env.errors import ScenarioError
from sfl_env.simulation.states import replace_rows

AREA = Annulus(inner_m=10.0, outer_m=300.0)
BLOCKAGE = TwoStateBlockage(10.0, 0.3, 30.0)
STANDING = Channel(UrbanMicro(), AveragedFading(), Static(AREA), BLOCKAGE)
CHANNELS = [
    STANDING,
    Channel(UrbanMacro(), BlockFading(0.5), RandomWaypoint(AREA), BLOCKAGE),
    Channel(ClassicMacro(shadowing_std=0.0), NoFading(), GaussMarkov(AREA, 10.0)),
    Channel(UrbanMicro(), AveragedFading(), RandomWaypoint(AREA)),
]
LIKELY = 1e-4


class There(NamedTuple):
    position_m: np.ndarray


class Line:
    """A user's own mobility: everybody goes outwards from a place at 2 m/s."""

    def __init__(self, start_m: float) -> None:
        self.start_m = start_m

    def initial(self, rng: Any, n: int, num_devices: int) -> There:
        return There(np.full((n, num_devices, 2), (self.start_m, 0.0)))

    def step(self, state: There, elapsed_s: Any, rng: Any) -> Any:
        walked_m = np.broadcast_to(2.0 * elapsed_s[:, None], state.position_m.shape[:2])
        return There(state.position_m + walked_m[..., None] * (1.0, 0.0)), walked_m


def rollout(
    channel: Any, rounds: int, seed: int = 0, n: int = 3, num_devices: int = 4, seconds: float = 20.0
) -> Any:
    rng = np.random.default_rng(seed)
    states = [channel.initial(rng, n, num_devices)]
    for _ in range(rounds):
        states.append(channel.step(states[-1], np.full(n, seconds), rng))
    return states


def flat(state: Any) -> list[np.ndarray]:
    return [leaf for part in state for leaf in flat(part)] if isinstance(state, tuple) else [state]


def test_the_gain_is_path_loss_times_shadowing_times_blockage() -> None:
    for state in rollout(CHANNELS[3], 3) + rollout(STANDING, 3):
        distance, place = distance_m(state.mobility.position_m), state.place
        loss_db = UrbanMicro().loss_db(distance, place.los) + np.where(place.los, 4.0, 7.82) * place.latent[:, 0]
        np.testing.assert_allclose(place.large_scale_gain, 10.0 ** (-loss_db / 10.0), rtol=1e-12)
        blocked = getattr(state.blockage, "blocked", np.zeros_like(place.los))
        np.testing.assert_allclose(state.gain, place.large_scale_gain * np.where(blocked, 0.1, 1.0), rtol=1e-12)


def test_block_fading_is_in_the_gain_and_averaged_fading_is_not() -> None:
    for state in rollout(CHANNELS[1], 3):
        power = BlockFading().power(state.fading, state.place.k_factor)
        factor: Any = BLOCKAGE.factor(state.blockage)
        np.testing.assert_allclose(state.gain, state.place.large_scale_gain * factor * power, rtol=1e-14)
        assert (state.rician_k == math.inf).all()
    for state in rollout(CHANNELS[3], 3):
        assert state.rician_k is state.place.k_factor
        assert ((state.rician_k > 0.0) == state.place.los).all()


def test_without_shadowing_and_fading_the_gain_is_the_path_loss() -> None:
    for state in rollout(CHANNELS[2], 3):
        kilometres = distance_m(state.mobility.position_m) / 1000.0
        loss_db = 128.1 + 37.6 * np.log10(kilometres)
        np.testing.assert_allclose(state.gain, 10.0 ** (-loss_db / 10.0), rtol=1e-12)


def test_the_classic_macro_cell_knows_no_line_of_sight_and_fades_as_rayleigh() -> None:
    channel = Channel(ClassicMacro(), AveragedFading(), RandomWaypoint(AREA))
    for state in rollout(channel, 3):
        assert not state.place.los.any()
        assert (state.rician_k == 0.0).all()


def test_standing_devices_keep_all_but_their_blockage() -> None:
    first, *later = rollout(STANDING, 30)
    for state in later:
        assert state.place is first.place
        assert state.rician_k is first.rician_k
    changes = np.array([state.gain / first.gain for state in later])
    assert set(np.round(np.unique(changes), 9)) <= {0.1, 1.0, 10.0}
    assert len(np.unique(np.round(changes, 9))) > 1


@pytest.mark.parametrize("channel", CHANNELS[1:])
def test_walking_devices_change_their_large_scale_gain(channel: Any) -> None:
    states = rollout(channel, 4)
    assert (states[0].place.large_scale_gain != states[-1].place.large_scale_gain).all()


@pytest.mark.parametrize("seconds", [3.0, 20.0, 400.0])
def test_lines_of_sight_are_as_frequent_as_the_standard_says_wherever_devices_have_got_to(seconds: float) -> None:
    channel = Channel(UrbanMicro(), NoFading(), Line(20.0))
    for state in rollout(channel, 3, n=200, num_devices=200, seconds=seconds):
        expected = UrbanMicro().los_probability(distance_m(state.mobility.position_m))[0, 0]
        # Standard error at most 0.5 / sqrt(40,000) = 0.0025.
        assert state.place.los.mean() == pytest.approx(expected, abs=0.0125)


def test_numbers_of_links_are_correlated_by_their_distances_and_kinds() -> None:
    # Far out 0.3 % see the base station, so that shadowing has the correlation distance of links without a view.
    channel = Channel(UrbanMicro(), NoFading(), Line(5000.0))
    first, later = rollout(channel, 1, n=200, num_devices=500, seconds=5.0)
    assert first.place.los.mean() < 0.01
    for number, metres in enumerate((13.0, 50.0, 15.0)):
        measured = np.corrcoef(first.place.latent[:, number].ravel(), later.place.latent[:, number].ravel())[0, 1]
        assert measured == pytest.approx(math.exp(-10.0 / metres), abs=0.016)
    # Up to 18 m everybody sees it.
    near, further = rollout(Channel(UrbanMicro(), NoFading(), Line(12.0)), 1, n=200, num_devices=500, seconds=1.5)
    assert near.place.los.all()
    measured = np.corrcoef(near.place.latent[:, 0].ravel(), further.place.latent[:, 0].ravel())[0, 1]
    assert measured == pytest.approx(math.exp(-3.0 / 10.0), abs=0.016)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("seconds", [2.0, 60.0, 1e6])
def test_gains_and_factors_are_spread_after_any_time_as_at_the_start(channel: Any, seconds: float) -> None:
    first = rollout(channel, 0, seed=1, n=4, num_devices=2500)[0]
    later = rollout(channel, 6, seed=2, n=4, num_devices=2500, seconds=seconds)[-1]
    assert ks_2samp(np.log(first.gain).ravel(), np.log(later.gain).ravel()).pvalue > LIKELY
    assert ks_2samp(first.place.k_factor.ravel(), later.place.k_factor.ravel()).pvalue > LIKELY


def test_a_time_in_parts_changes_the_channel_as_much_as_at_once() -> None:
    channel = Channel(UrbanMicro(), NoFading(), RandomWaypoint(AREA), BLOCKAGE)

    def change(seconds: float, rounds: int, seed: int) -> Any:
        states = rollout(channel, rounds, seed, n=4, num_devices=2500, seconds=seconds)
        return np.log(states[-1].gain / states[0].gain).ravel()

    assert ks_2samp(change(40.0, 1, 3), change(20.0, 2, 4)).pvalue > LIKELY


def test_statistics_of_one_s_own_replace_those_of_the_path_loss_model() -> None:
    channel = Channel(
        UrbanMicro(), AveragedFading(), Static(AREA), statistics=UMI.without_shadowing().with_k_factor(3.0)
    )
    (state,) = rollout(channel, 0)
    loss_db = UrbanMicro().loss_db(distance_m(state.mobility.position_m), state.place.los)
    np.testing.assert_allclose(state.gain, 10.0 ** (-loss_db / 10.0), rtol=1e-12)
    assert set(np.unique(state.rician_k.round(9))) <= {0.0, round(10.0**0.3, 9)}


@pytest.mark.parametrize("channel", CHANNELS)
def test_equal_seeds_give_equal_channels(channel: Any) -> None:
    one, other, different = (rollout(channel, 5, seed) for seed in (7, 7, 8))
    for a, b in zip(one, other, strict=True):
        assert all((x == y).all() for x, y in zip(flat(a), flat(b), strict=True))
    assert (one[-1].gain != different[-1].gain).all()


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_step_leaves_the_state_as_it_was(channel: Any) -> None:
    rng = np.random.default_rng(1)
    state = channel.initial(rng, 2, 3)
    before = [leaf.copy() for leaf in flat(state)]
    channel.step(state, np.array([20.0, 1e5]), rng)
    assert all((x == y).all() for x, y in zip(flat(state), before, strict=True))


@pytest.mark.parametrize("channel", CHANNELS)
def test_in_no_time_nothing_but_block_fading_changes(channel: Any) -> None:
    before, after = rollout(channel, 1, seconds=0.0)
    if isinstance(channel.fading, BlockFading):
        assert (before.gain != after.gain).all()
        before, after = before.place, after.place
    assert all((x == y).all() for x, y in zip(flat(before), flat(after), strict=True))


@settings(max_examples=40, deadline=None)
@given(
    outer_m=st.floats(11.0, 1e7),
    carrier_hz=st.floats(0.5e9, 100e9),
    speed=st.floats(0.01, 1e4),
    seconds=st.one_of(st.floats(0.0, 1e300), st.just(math.inf)),
    seed=st.integers(0, 2**32),
)
def test_gains_stay_positive_and_finite(
    outer_m: float, carrier_hz: float, speed: float, seconds: float, seed: int
) -> None:
    area = Annulus(10.0, outer_m)
    for path_loss in (UrbanMicro(carrier_hz), UrbanMacro(carrier_hz), ClassicMacro(30.0)):
        for mobility in (GaussMarkov(area, speed), RandomWaypoint(area, speed, speed)):
            channel = Channel(path_loss, BlockFading(0.5), mobility, TwoStateBlockage(100.0, 0.9, 1.0))
            for state in rollout(channel, 3, seed, seconds=seconds):
                assert ((state.gain > 0.0) & np.isfinite(state.gain)).all()
                assert ((state.place.k_factor >= 0.0) & np.isfinite(state.place.k_factor)).all()
                assert state.gain.shape == (3, 4)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize(
    ("elapsed_s", "message"),
    [
        (np.array([1.0, -1.0]), r"elapsed_s holds -1\.0; each entry has to be a time in seconds, at least 0"),
        (np.array([math.nan, 1.0]), "elapsed_s holds nan"),
        (np.ones(3), r"elapsed_s has shape \(3,\); it has to be \(2,\)"),
        (np.array(["20", "30"]), "elapsed_s is of type <U2; each entry has to be a time"),
        ([None, 20.0], "elapsed_s is of type object"),
        (np.array(20.0), r"elapsed_s has shape \(\); it has to be \(2,\)"),
    ],
)
def test_times_that_are_none_are_named(channel: Any, elapsed_s: Any, message: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ScenarioError, match=message):
        channel.step(channel.initial(rng, 2, 3), elapsed_s, rng)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("rows", [np.array([False, True, False, True]), np.array([1, 3])])
def test_finished_environments_start_afresh_and_the_others_go_on(channel: Any, rows: Any) -> None:
    running = rollout(channel, 2, n=4)[-1]
    fresh = channel.initial(np.random.default_rng(9), 2, 4)
    mixed = replace_rows(running, rows, fresh)
    assert type(mixed) is type(running)
    for new, old, start in zip(flat(mixed), flat(running), flat(fresh), strict=True):
        assert (new[[0, 2]] == old[[0, 2]]).all()
        assert (new[[1, 3]] == start).all()
    assert np.isfinite(channel.step(mixed, np.full(4, 20.0), np.random.default_rng(0)).gain).all()


def test_replacing_with_the_wrong_number_of_environments_is_refused() -> None:
    running = rollout(CHANNELS[0], 0, n=4)[0]
    fresh = CHANNELS[0].initial(np.random.default_rng(0), 1, 4)
    with pytest.raises(ScenarioError, match="is of 1 environments where 2 are to be replaced"):
        replace_rows(running, np.array([True, True, False, False]), fresh)


def test_a_fresh_state_of_another_shape_is_not_repeated_over_the_running_one() -> None:
    class History(NamedTuple):
        gains: NDArray[np.float64]  # (N, rounds so far)

    with pytest.raises(ScenarioError, match=r"state\.gains .* has shape \(1,\) an environment and \(4,\)"):
        replace_rows(History(np.zeros((3, 4))), np.array([1]), History(np.ones((1, 1))))


def test_replacing_leaves_the_running_state_as_it_was() -> None:
    running = rollout(CHANNELS[0], 0, n=2)[0]
    gain = running.gain.copy()
    replace_rows(running, np.array([0]), CHANNELS[0].initial(np.random.default_rng(3), 1, 4))
    assert (running.gain == gain).all()
