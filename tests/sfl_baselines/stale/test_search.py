"""The search over cuts finds what trying all of them finds."""

import itertools

import numpy as np
import pytest

from sfl_baselines.stale.search import solve_sampled
from sfl_baselines.stale.shares import best_shares
from sfl_env import Decision
from sfl_env.optimum import solve_exact
from tests.sfl_baselines.stale.cells import sampled


@pytest.mark.parametrize(("model", "rounds"), [("lenet5", 6), ("resnet18", 2)])
def test_three_devices_take_the_cuts_that_are_best_of_all(model: str, rounds: int) -> None:
    _, _, drawn = sampled(rounds, draws=32, seed=3, num_devices=3, model=model)
    start = solve_exact(drawn.problem).decision
    found = drawn.mean_s(solve_sampled(drawn, [start]))
    num_cuts = drawn.problem.shape[-1]
    combinations = np.array(list(itertools.product(range(num_cuts), repeat=3)))
    for number in range(rounds):
        fits = np.isfinite(drawn.problem.fixed_s[number, np.arange(3), combinations]).all(axis=1)
        cut = combinations[fits]
        tried = drawn.rows(np.full(len(cut), number))
        best = tried.mean_s(best_shares(tried, Decision(cut, np.full(cut.shape, 1 / 3)))).min()
        assert found[number] <= best * 1.002


def test_searching_is_never_worse_than_any_start_and_a_single_device_is_decided_too() -> None:
    for devices in (1, 4):
        _, _, drawn = sampled(5, draws=16, num_devices=devices)
        exact = solve_exact(drawn.problem).decision
        equal = Decision(np.zeros_like(exact.cut), np.full(exact.cut.shape, 1.0 / devices))
        found = solve_sampled(drawn, [equal, exact])
        drawn.problem.check(found)
        for start in (equal, exact):
            assert (drawn.mean_s(found) <= drawn.mean_s(start)).all()
