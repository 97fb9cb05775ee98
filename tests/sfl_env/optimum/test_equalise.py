"""One step of the descent: exact where a device's time is a fixed part and one that falls with its share."""

import numpy as np
import pytest

from sfl_env.optimum.equalise import next_shares, refined_shares


@pytest.mark.parametrize("decades", [0.5, 2.0, 6.0])
def test_times_inverse_to_the_share_are_made_equal_in_one_step(decades: float) -> None:
    rng = np.random.default_rng(0)
    fixed, sending = 10.0 ** rng.uniform(-decades, decades, (2, 50, 5))
    share = rng.dirichlet(np.ones(5), 50)
    slope = sending / share
    moved = next_shares(share, fixed + slope, slope, inner_steps=60)
    np.testing.assert_allclose(moved.sum(axis=1), 1.0, rtol=1e-12)
    time = fixed + sending / moved
    # A device that computes much less than the others holds a share so small that its rounding shows.
    np.testing.assert_allclose(time.min(axis=1), time.max(axis=1), rtol=1e-6)


def test_one_step_is_enough_where_one_device_needs_nearly_all_of_the_band() -> None:
    sending = np.array([[1.0, 1e-9]])
    share = np.array([[0.01, 0.99]])
    moved = next_shares(share, sending / share, sending / share, inner_steps=1)
    np.testing.assert_allclose((sending / moved).max(), 1.0, rtol=1e-6)


def test_devices_that_nearly_agree_are_refined_to_the_second_order() -> None:
    fixed, sending = np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 1.0, 0.5]])
    best = next_shares(np.full((1, 3), 1 / 3), fixed + 3 * sending, 3 * sending, inner_steps=60)
    for off in (1e-2, 1e-3, 1e-4):
        share = best * np.exp(off * np.array([[1.0, -1.0, 0.5]]))
        share /= share.sum()
        moved = refined_shares(share, fixed + sending / share, sending / share)
        assert moved is not None
        assert moved.sum() == pytest.approx(1.0, abs=1e-14)
        assert np.abs(moved / best - 1.0).max() < 10.0 * off**2


def test_devices_far_apart_or_without_the_band_are_not_refined() -> None:
    share = np.array([[0.5, 0.5]])
    assert refined_shares(share, np.array([[1.0, 3.0]]), np.array([[1.0, 1.0]])) is None
    with np.errstate(all="ignore"):
        assert refined_shares(share, np.array([[1.0, 1.0]]), np.array([[1.0, 0.0]])) is None


def test_who_works_without_the_band_leaves_it_to_the_others() -> None:
    # Nobody waits for the third device, which can do without: the first two finish together.
    share = np.array([[0.25, 0.25, 0.5]])
    sending = np.array([[1.0, 3.0, 0.0]])
    time = sending / share + np.array([[0.0, 0.0, 2.0]])
    moved = next_shares(share, time, sending / share, inner_steps=60)
    np.testing.assert_allclose(moved, [[0.25, 0.75, 0.0]], rtol=1e-9)


def test_what_is_left_over_goes_to_those_without_the_band_that_are_waited_for() -> None:
    # The first device needs 1/8 of the band to be ready at 8 s with the second and third; the fourth is early.
    share = np.array([[0.25, 0.25, 0.25, 0.25]])
    sending = np.array([[1.0, 0.0, 0.0, 0.0]])
    time = sending / share + np.array([[0.0, 8.0, 8.0, 1.0]])
    moved = next_shares(share, time, sending / share, inner_steps=60)
    np.testing.assert_allclose(moved, [[0.125, 0.4375, 0.4375, 0.0]], rtol=1e-9)


@pytest.mark.parametrize("inner_steps", [0, 1, 5])
def test_a_problem_is_moved_as_it_would_be_alone(inner_steps: int) -> None:
    """Beside others, too, of whose devices some do without the band."""
    rng = np.random.default_rng(0)
    fixed, sending = 10.0 ** rng.uniform(-1.0, 1.0, (2, 20, 5))
    sending[rng.random((20, 5)) < 0.3] = 0.0
    share = rng.dirichlet(np.ones(5), 20)
    slope = sending / share
    together = next_shares(share, fixed + slope, slope, inner_steps=inner_steps)
    for row in range(20):
        only = slice(row, row + 1)
        alone = next_shares(share[only], (fixed + slope)[only], slope[only], inner_steps=inner_steps)
        np.testing.assert_allclose(together[row], alone[0], rtol=1e-9, atol=1e-200)
