"""The composite channel: parts multiply, standing devices keep their place, seeds repeat, rows are replaced."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfl_env.channel import (
    Annulus,
    Channel,
    ClassicMacro,
    CorrelatedShadowing,
    GaussMarkov,
    NoFading,
    NoShadowing,
    RandomWaypoint,
    Rayleigh,
    Rician,
    Static,
    UrbanMacro,
    UrbanMicro,
)
from sfl_env.channel.mobility import distance_m
from sfl_env.errors import ScenarioError
from sfl_env.simulation.states import replace_rows

AREA = Annulus(inner_m=10.0, outer_m=300.0)
CHANNELS = [
    Channel(UrbanMicro(), CorrelatedShadowing(), Rayleigh(0.9), Static(AREA)),
    Channel(UrbanMacro(), CorrelatedShadowing(37.0), Rician(5.0, 0.5), RandomWaypoint(AREA, 1.0)),
    Channel(ClassicMacro(), NoShadowing(), NoFading(), GaussMarkov(AREA, 1.0, 10.0)),
]


class Bend:
    """A user's own mobility: everybody stands at 50 m and 250 m in turn."""

    class State(NamedTuple):
        position_m: np.ndarray

    def initial(self, rng: Any, n: int, num_devices: int) -> Any:
        return self.State(np.full((n, num_devices, 2), (50.0, 0.0)))

    def step(self, state: Any, rng: Any) -> Any:
        return self.State(np.array([300.0, 0.0]) - state.position_m)


def rollout(channel: Any, rounds: int, seed: int = 0, n: int = 3, num_devices: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    states = [channel.initial(rng, n, num_devices)]
    for _ in range(rounds):
        states.append(channel.step(states[-1], rng))
    return states


def flat(state: Any) -> list[np.ndarray]:
    return [leaf for part in state for leaf in flat(part)] if isinstance(state, tuple) else [state]


def test_gain_is_path_loss_times_shadowing_times_fading() -> None:
    for state in rollout(CHANNELS[0], 3):
        distance = distance_m(state.mobility.position_m)
        los = CHANNELS[0].line_of_sight(state)
        loss_db = UrbanMicro().loss_db(distance, los) + np.where(los, 4.0, 7.82) * state.shadowing.latent
        np.testing.assert_allclose(state.large_scale_gain, 10.0 ** (-loss_db / 10.0), rtol=1e-12)
        np.testing.assert_allclose(state.gain, state.large_scale_gain * state.fading.power, rtol=1e-15)


def test_without_shadowing_and_fading_the_gain_is_the_path_loss() -> None:
    for state in rollout(CHANNELS[2], 3):
        kilometres = distance_m(state.mobility.position_m) / 1000.0
        loss_db = 128.1 + 37.6 * np.log10(kilometres)
        np.testing.assert_allclose(state.gain, 10.0 ** (-loss_db / 10.0), rtol=1e-12)


def test_standing_devices_keep_everything_but_their_fading() -> None:
    first, *later = rollout(CHANNELS[0], 4)
    for state in later:
        assert state.large_scale_gain is first.large_scale_gain
        assert (state.gain != first.gain).all()


@pytest.mark.parametrize("channel", CHANNELS[1:])
def test_moving_devices_change_their_large_scale_gain(channel: Any) -> None:
    states = rollout(channel, 4)
    assert (states[0].large_scale_gain != states[-1].large_scale_gain).all()


def test_the_view_comes_back_with_the_place() -> None:
    channel = Channel(UrbanMicro(), NoShadowing(), NoFading(), Bend())
    near, far, again = rollout(channel, 2, n=200, num_devices=100)
    assert (channel.line_of_sight(near) == channel.line_of_sight(again)).all()
    assert (near.gain == again.gain).all()
    # Further out nobody sees the base station who did not see it from nearby.
    assert (channel.line_of_sight(near) | ~channel.line_of_sight(far)).all()
    # P_LOS: 50 m: 0.36 + e^(-50/36) x 0.64 = 0.519592; 250 m: 0.072 + e^(-250/36) x 0.928 = 0.072895
    assert channel.line_of_sight(near).mean() == pytest.approx(0.519592, abs=0.018)
    assert channel.line_of_sight(far).mean() == pytest.approx(0.072895, abs=0.01)


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
    channel.step(state, rng)
    assert all((x == y).all() for x, y in zip(flat(state), before, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    outer_m=st.floats(11.0, 1e7),
    carrier_hz=st.floats(0.5e9, 100e9),
    speed=st.floats(0.01, 1e4),
    seed=st.integers(0, 2**32),
)
def test_gains_stay_positive_and_finite(outer_m: float, carrier_hz: float, speed: float, seed: int) -> None:
    area = Annulus(10.0, outer_m)
    for path_loss in (UrbanMicro(carrier_hz), UrbanMacro(carrier_hz), ClassicMacro(30.0)):
        channel = Channel(path_loss, CorrelatedShadowing(), Rayleigh(0.5), GaussMarkov(area, 1.0, speed))
        for state in rollout(channel, 3, seed):
            assert ((state.gain > 0.0) & np.isfinite(state.gain)).all()
            assert state.gain.shape == (3, 4)


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
    assert np.isfinite(channel.step(mixed, np.random.default_rng(0)).gain).all()


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
