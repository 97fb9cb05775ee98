"""Bisection: what it needs, and what it finds alone, without the descent before it."""

import numpy as np
import pytest

from sfl_env.arrays import Array
from sfl_env.optimum import descent, solve_exact
from sfl_env.optimum.bracket import bracketed_shares, needed_shares
from tests.sfl_env.optimum.test_joint import random_problem


def test_a_device_that_can_do_without_the_band_needs_none_of_it() -> None:
    fixed, sending = np.array([[1.0, 3.0, 1.0, 4.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])

    def times(share: Array) -> Array:
        return fixed + np.where(sending > 0.0, np.divide(sending, np.maximum(share, 1e-300)), 0.0)

    # By 3 s: no band needed (twice, once at the very last moment), half of it, more than there is.
    assert needed_shares(times, np.array([3.0]), fixed).tolist() == [
        [0.0, 0.0, pytest.approx(0.5, rel=1e-12), np.inf]
    ]


@pytest.mark.parametrize("first", [0.5, 1e-30, 1e-120])
def test_a_bracket_of_any_number_of_decades_closes(first: float) -> None:
    def times(share: Array) -> Array:
        return np.array([[1.0, 3.0]]) / share

    with np.errstate(divide="ignore"):  # without any band it takes for ever
        share, bound = bracketed_shares(times, np.array([[first, 1.0 - first]]))
    np.testing.assert_allclose(share, [[0.25, 0.75]], rtol=1e-9)
    np.testing.assert_allclose(bound, [4.0], rtol=1e-9)


def test_what_is_bisected_alone_has_the_same_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(np.random.default_rng(21), 20, 4, 5, 2.0)
    descended = solve_exact(problem)
    monkeypatch.setattr(descent, "MAX_ITERATIONS", 0)
    bisected = solve_exact(problem)
    problem.check(bisected.decision)
    np.testing.assert_allclose(problem.latency_s(bisected.decision), descended.latency_s, rtol=1e-9)
    np.testing.assert_allclose(bisected.lower_bound_s, descended.lower_bound_s, rtol=1e-9)
    assert (bisected.lower_bound_s <= descended.latency_s).all()
    assert (bisected.iterations == 1).all()
