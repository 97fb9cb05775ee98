"""Who takes part in a round with a deadline, held against all sets of devices."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.selection import select_fedcs, solve_selection
from sfl_env import Decision, RoundProblem
from sfl_env.errors import ProblemError, SolverError
from sfl_env.optimum import needed_by, solve_exact
from sfl_env.rounds.curves import TruncatedShannon
from tests.sfl_env.optimum.test_joint import random_problem


def of_some(problem: RoundProblem, devices: tuple[int, ...]) -> RoundProblem:
    """The problem of some of the devices, as if there were no others."""
    some = list(devices)
    names = ("fixed_s", "uplink_bits", "downlink_bits", "uplink_snr_hz", "downlink_full_rate_bps", "rician_k")
    return dataclasses.replace(problem, **{name: getattr(problem, name)[:, some] for name in names})


def most_samples(problem: RoundProblem, samples: np.ndarray, deadline_s: float) -> np.ndarray:
    """(N,): the most samples of any set of devices whose own optimal round ends in time."""
    n, k, _ = problem.shape
    best = np.zeros(n)
    for size in range(1, k + 1):
        for devices in itertools.combinations(range(k), size):
            in_time = solve_exact(of_some(problem, devices)).latency_s <= deadline_s
            best = np.maximum(best, in_time * samples[:, list(devices)].sum(axis=1))
    return best


def drawn(seed: int, n: int, k: int, **options: Any) -> tuple[RoundProblem, np.ndarray]:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, n, k, 4, 1.0, **options)
    curve = TruncatedShannon() if seed % 2 else problem.uplink_curve
    fading = np.where(rng.random((n, k)) < 0.5, np.inf, rng.exponential(3.0, (n, k)))
    return dataclasses.replace(problem, uplink_curve=curve, rician_k=fading), rng.integers(1, 20, (n, k)) * 5.0


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 6),
    hurry=st.floats(0.1, 1.5),
    last_cut_free=st.booleans(),
    masked=st.sampled_from([0.0, 0.5]),
)
def test_no_set_of_devices_has_more_samples_in_time(
    seed: int, k: int, hurry: float, last_cut_free: bool, masked: float
) -> None:
    problem, samples = drawn(seed, 30, k, last_cut_free=last_cut_free, masked=masked)
    deadline_s = hurry * float(np.median(solve_exact(problem).latency_s))
    found = solve_selection(problem, samples, deadline_s)
    best = most_samples(problem, samples, deadline_s)
    np.testing.assert_array_equal(found.samples, best)
    np.testing.assert_array_equal(found.bound_samples, best)
    assert found.is_proven.all()
    time_s = problem.device_latency_s(found.decision)
    np.testing.assert_array_equal((samples * (time_s <= deadline_s)).sum(axis=1), best)
    # Cuts fit, and who is not selected holds no band.
    problem.check_cut(found.decision.cut)
    assert (found.decision.bandwidth_share[~found.selected] == 0.0).all()
    assert (found.decision.bandwidth_share.sum(axis=1) <= 1.0 + 1e-9).all()
    # The round lasts to the deadline, unless all are in time.
    everyone = found.selected.all(axis=1)
    assert (found.latency_s[~everyone] == deadline_s).all()
    np.testing.assert_allclose(found.latency_s[everyone], solve_exact(problem).latency_s[everyone], rtol=1e-9)


def test_eight_devices() -> None:
    problem, samples = drawn(8, 20, 8)
    deadline_s = 0.6 * float(np.median(solve_exact(problem).latency_s))
    found = solve_selection(problem, samples, deadline_s)
    np.testing.assert_array_equal(found.samples, most_samples(problem, samples, deadline_s))
    assert 0 < found.selected.mean() < 1


def test_more_time_never_has_fewer_samples_in_time() -> None:
    problem, samples = drawn(3, 50, 8)
    median_s = float(np.median(solve_exact(problem).latency_s))
    found = [solve_selection(problem, samples, hurry * median_s).samples for hurry in (0.1, 0.3, 0.6, 1.0, 3.0)]
    assert (np.diff(found, axis=0) >= 0.0).all()
    assert (found[0] < found[-1]).all()


def test_devices_without_samples_are_not_selected_and_nobody_is_where_none_has_any() -> None:
    problem, samples = drawn(7, 20, 6)
    samples[:, 0] = 0.0
    samples[3] = 0.0
    found = solve_selection(problem, samples, 1e9)
    np.testing.assert_array_equal(found.selected, samples > 0.0)
    assert (found.samples == samples.sum(axis=1)).all()
    assert not solve_selection(problem, samples, 1e-9).selected.any()


def test_what_is_needed_is_enough_and_no_less_is() -> None:
    problem, _ = drawn(11, 40, 8)
    time_s = 0.8 * solve_exact(problem).latency_s
    needed = needed_by(problem, time_s)
    finite = np.isfinite(needed.share)
    share = np.where(finite, needed.share, 1.0)
    target_s = np.broadcast_to(time_s[:, None], share.shape)
    enough_s, less_s = (
        np.min([problem.device_latency_s(Decision(np.full(share.shape, cut), held)) for cut in range(4)], axis=0)
        for held in (share, (1.0 - 1e-6) * share)
    )
    assert (enough_s[finite] <= target_s[finite] * (1.0 + 1e-12)).all()
    assert (less_s[finite] > target_s[finite]).all()
    assert (enough_s[~finite] > target_s[~finite]).all()
    # Together they need more than the band, as the round's optimum says.
    assert (needed.share.sum(axis=1) > 1.0).all()


# After FedCS


def test_fedcs_is_in_time_and_has_room_for_nobody_else() -> None:
    problem, samples = drawn(13, 60, 7)
    deadline_s = 0.6 * float(np.median(solve_exact(problem).latency_s))
    decision = select_fedcs(problem, samples, deadline_s)
    held = decision.bandwidth_share > 0.0
    time_s = problem.device_latency_s(decision)
    assert (time_s[held] <= deadline_s).all()
    needed = needed_by(problem, np.full(60, deadline_s)).share
    left = 1.0 - np.where(held, needed, 0.0).sum(axis=1)
    assert (np.where(held, np.inf, needed).min(axis=1) > left).all()
    best = solve_selection(problem, samples, deadline_s)
    got = (samples * (time_s <= deadline_s)).sum(axis=1)
    assert (got <= best.samples).all()
    assert (got < best.samples).any()


def test_fedcs_starts_with_the_fastest_and_counts_no_samples() -> None:
    problem, samples = drawn(17, 40, 5)
    alone_s = np.stack([solve_exact(of_some(problem, (k,))).latency_s for k in range(5)], axis=1)
    deadline_s = float(alone_s.min(axis=1).max()) * (1.0 + 1e-9)
    held = select_fedcs(problem, samples, deadline_s).bandwidth_share > 0.0
    assert held[np.arange(40), alone_s.argmin(axis=1)].all()
    np.testing.assert_array_equal(held, select_fedcs(problem, samples[:, ::-1], deadline_s).bandwidth_share > 0.0)


@pytest.mark.parametrize("solve", [solve_selection, select_fedcs])
def test_what_has_no_selection_is_refused(solve: Any) -> None:
    problem, samples = drawn(1, 2, 3)
    with pytest.raises(ProblemError, match="this problem's system is 'staged'"):
        solve(dataclasses.replace(problem, system="staged"), samples, 1.0)
    with pytest.raises(SolverError, match=r"samples have shape \(2, 2\).*\(2, 3\)"):
        solve(problem, samples[:, :2], 1.0)
    for deadline_s in (0.0, -1.0, np.inf, np.nan, "soon"):
        with pytest.raises(SolverError, match="deadline_s is"):
            solve(problem, samples, deadline_s)
