"""Rounds are compared to the optimum, or where none is known to a bound below every round."""

from dataclasses import replace

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import make_batch
from sfl_lab.compare.records import ImpossibleResultError
from sfl_lab.compare.rounds.rollout import roll_out
from sfl_lab.compare.rounds.yardstick import yardstick_name, yardstick_of


def test_the_barrier_bound_is_below_every_round_and_says_what_it_is() -> None:
    envs = make_batch("SFL-Barrier-v0", 4, {"max_rounds": 5})
    assert yardstick_name(envs.scenario) == "lower bound"
    yardstick = yardstick_of(envs.episodes)
    for name in ("oracle", "exact", "common-cut", "equal-bandwidth", "federated", "shallow", "random"):
        policy = sfl_baselines.make(name, envs)
        rollout = roll_out(policy, envs.episodes, yardstick, 0, lambda: None)
        assert (rollout.ratio >= 1.0).all()
    assert yardstick_name(make_batch("SFL-v0", 1).scenario) == "optimum"


@pytest.mark.parametrize("barriers", ["adaptsfl", "every-phase"])
def test_the_bound_of_rounds_in_stages_is_the_lagrangian_one_alike_for_all(barriers: str) -> None:
    envs = make_batch("SFL-Barrier-v0", 4, {"max_rounds": 1, "barriers": barriers})
    yardstick = yardstick_of(envs.episodes)
    rollouts = [
        roll_out(sfl_baselines.make(name, envs), envs.episodes, yardstick, 0, lambda: None)
        for name in ("staged-search", "random")
    ]
    np.testing.assert_array_equal(rollouts[0].yardstick, rollouts[1].yardstick)
    assert (rollouts[0].ratio < 1.2).all(), (
        "what no waiting and no time of the server would leave is 1.3 times less"
    )


def test_more_samples_than_can_be_in_time_are_a_bug() -> None:
    envs = make_batch("SFL-Deadline-v0", 2, {"max_rounds": 2})
    proven = yardstick_of(envs.episodes)
    too_low = replace(proven, best=lambda true: 0.5 * proven.best(true))
    policy = sfl_baselines.make("selection", envs)
    with pytest.raises(ImpossibleResultError, match=r"had \d+ samples in time.* no decision can beat"):
        roll_out(policy, envs.episodes, too_low, 0, lambda: None)


def test_who_cannot_be_reached_has_no_samples_that_could_be_in_time() -> None:
    envs = make_batch("SFL-Deadline-v0", 8, {"max_rounds": 5, "min_sinr_db": 20.0})
    rollout = roll_out(
        sfl_baselines.make("selection", envs), envs.episodes, yardstick_of(envs.episodes), 0, lambda: None
    )
    assert (rollout.active_devices < envs.scenario.num_devices).any()
    assert (rollout.ratio <= 1.0).all()
