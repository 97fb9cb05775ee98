"""Rounds are kept beside the best that was possible in them."""

from typing import Any

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines.environments import make_batch
from sfl_lab.compare.records import ImpossibleResultError, check_paired
from sfl_lab.compare.rounds.rollout import Rollout, roll_out
from sfl_lab.compare.rounds.yardstick import Yardstick, yardstick_of
from tests.sfl_env.boards import ON_BATTERY, end_when_all_are_empty

SMALL: dict[str, Any] = {"num_devices": 4, "max_rounds": 5}


def rolled_out(name: str, envs: Any, seed: int = 0) -> Rollout:
    yardstick = yardstick_of(envs.episodes)
    return roll_out(sfl_baselines.make(name, envs), envs.episodes, yardstick, seed, lambda: None)


@pytest.mark.parametrize("env_id", ["SFL-v0", "SFL-Phones-v0", "SFL-Battery-v0"])
def test_every_policy_starts_from_the_same_channels_and_devices(env_id: str) -> None:
    envs = make_batch(env_id, 3, {"max_rounds": 6})
    check_paired({name: rolled_out(name, envs, seed=5) for name in ("exact", "federated", "random")})


def test_an_episode_that_has_ended_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_all_are_empty(monkeypatch)
    envs = make_batch("SFL-Battery-v0", 6, {"battery_share": 0.005, "max_rounds": 200, **ON_BATTERY})
    rollout = rolled_out("federated", envs)
    assert (rollout.rounds < 200).all()
    assert (rollout.active_devices[rollout.running] > 0).all()
    # Once over, an episode stays over.
    assert (np.diff(rollout.running.astype(int), axis=0) <= 0).all()
    assert np.isfinite(rollout.ratio[rollout.running]).all()
    assert np.isnan(rollout.ratio[~rollout.running]).all()
    first = rollout.running[:, 0]
    assert rollout.total(rollout.reward)[0] == pytest.approx(rollout.reward[first, 0].sum())


def test_policies_are_paired_as_far_as_both_have_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    end_when_all_are_empty(monkeypatch)
    envs = make_batch("SFL-Battery-v0", 6, {"battery_share": 0.005, "max_rounds": 30, **ON_BATTERY})
    short, long = rolled_out("federated", envs), rolled_out("shallow", envs)
    assert len(short.conditions) < len(long.conditions)
    check_paired({"federated": short, "shallow": long})


def test_a_result_better_than_the_optimum_is_a_bug_and_stops_the_evaluation() -> None:
    envs = make_batch("SFL-v0", 2, SMALL)
    optimum = yardstick_of(envs.episodes)
    too_high = Yardstick(lambda true: 1.01 * optimum.best(true))
    policy = sfl_baselines.make("exact", envs)
    with pytest.raises(ImpossibleResultError, match=r"Round \d of episode \d took .* 0\.990.* has a bug"):
        roll_out(policy, envs.episodes, too_high, 0, lambda: None)
    no_bound = Yardstick(too_high.best, bounds=False)
    assert (roll_out(policy, envs.episodes, no_bound, 0, lambda: None).ratio < 1.0).all()


def test_policies_that_started_from_different_conditions_are_not_compared() -> None:
    envs = make_batch("SFL-v0", 2, SMALL)
    ours, theirs = rolled_out("exact", envs, seed=0), rolled_out("exact", envs, seed=1)
    check_paired({"a": ours, "b": ours})
    with pytest.raises(ImpossibleResultError, match="'a' and 'b' started from different"):
        check_paired({"a": ours, "b": theirs})
