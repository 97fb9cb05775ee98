"""Rounds are compared to the optimum, or where none is known to a bound below every round."""

import sfl_baselines
from sfl_baselines.environments import make_batch
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
