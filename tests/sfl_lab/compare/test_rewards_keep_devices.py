"""No policy that drops or kills devices outranks the best that keeps them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

import sfl_baselines
from sfl_baselines import Policy, RulePolicy, allocate_bandwidth
from sfl_baselines.environments import HELD_OUT_SEED, make_batch
from sfl_baselines.rollouts import play_to_the_end
from sfl_baselines.rules import deepest_fitting, equal_shares
from sfl_env import Decision, SFLVectorEnv
from sfl_env.optimum import alone_s
from sfl_env.rounds.problem import RoundProblem
from tests.ids import BATCHED_IDS

EPISODES = 10
BURNT_WITHIN_S = 50.0
"""Of work on the device; then most devices of the default scenario are as busy as can be."""
TOGETHER = 0.1
"""Devices whose charge is within this of the fullest one's burn it; so all are empty at about the same time."""

IN_A_HURRY = 0.4
"""A deadline over the nominal round: too short for devices that share the band equally."""


class Outcome(NamedTuple):
    kept: float  # share of the samples of whole episodes' rounds whose device took part
    mean_return: float


def outcome(policy: Policy, envs: SFLVectorEnv) -> Outcome:
    total, kept = np.zeros(EPISODES), 0.0
    for played in play_to_the_end(policy, envs.episodes, HELD_OUT_SEED):
        total += played.done.reward * played.running
        samples = played.true.samples
        part = (samples * played.done.infos["takes_part"]).sum(axis=-1) / samples.sum(axis=-1)
        kept += (part * played.running).mean()
    return Outcome(kept / envs.scenario.max_rounds, float(total.mean()))


def burning(envs: SFLVectorEnv) -> Policy:
    """Everything on the device: the most energy in a round, and nobody in time where offloading is needed."""

    def rule(problem: RoundProblem) -> Decision:
        return Decision(deepest_fitting(problem, problem.shape[-1] - 1), equal_shares(problem))

    return RulePolicy(envs, rule)


def burning_together(envs: SFLVectorEnv) -> Policy:
    """Burn the batteries quickly, and all at the same pace: the sooner all are empty, the sooner it is over."""

    def rule(problem: RoundProblem) -> Decision:
        seconds = alone_s(problem)
        within = seconds <= BURNT_WITHIN_S
        deepest = seconds.shape[-1] - 1 - within[..., ::-1].argmax(axis=-1)
        charge = envs.episodes.now.state.charge
        full = charge >= charge.max(axis=-1, keepdims=True) - TOGETHER
        return allocate_bandwidth(problem.as_parallel(), np.where(full & within.any(axis=-1), deepest, 0)).decision

    return RulePolicy(envs, rule)


def one_in_time(envs: SFLVectorEnv) -> Policy:
    """Nearly all of the band for the first device, so that it at least is in time."""

    def rule(problem: RoundProblem) -> Decision:
        share = np.full(problem.shape[:2], 1e-6)
        share[:, 0] = 1.0 - share[:, 1:].sum(axis=-1)
        return Decision(deepest_fitting(problem, 0), share)

    return RulePolicy(envs, rule)


OWN: Mapping[str, Callable[[SFLVectorEnv], Policy]] = {
    "burning": burning,
    "burning together": burning_together,
    "one in time": one_in_time,
}
BASELINES = ("exact", "common-cut", "shallow", "equal-bandwidth", "federated")

SYSTEMS = [
    *(pytest.param(env_id, {"max_rounds": 10}, id=env_id) for env_id in BATCHED_IDS if env_id != "SFL-Battery-v0"),
    pytest.param("SFL-Battery-v0", {}, id="SFL-Battery-v0"),
    pytest.param("SFL-Battery-v0", {"battery_share": 0.02}, id="SFL-Battery-v0, 2 %"),
    pytest.param("SFL-v0", {"battery_share": 0.005, "max_rounds": 10, "num_devices": 6}, id="with batteries"),
]


def outcomes(envs: SFLVectorEnv) -> dict[str, Outcome]:
    selecting = set(sfl_baselines.names(envs.scenario)) & {"selection", "fedcs"}
    found = {name: outcome(sfl_baselines.make(name, envs), envs) for name in (*BASELINES, *sorted(selecting))}
    return found | {name: outcome(make(envs), envs) for name, make in OWN.items()}


def require_that_keeping_wins(found: Mapping[str, Outcome]) -> None:
    most = max(entry.kept for entry in found.values())
    best = max(entry.mean_return for entry in found.values() if entry.kept > most - 0.01)
    for name, entry in found.items():
        if entry.kept <= most - 0.01:
            assert entry.mean_return < best, (name, entry, best)


def in_a_hurry() -> SFLVectorEnv:
    nominal_s = make_batch("SFL-v0", 1, {}).episodes.simulator.nominal_round_s
    hurry = {"deadline_s": IN_A_HURRY * nominal_s, "missed_weight": 1.0, "max_rounds": 10}
    return make_batch("SFL-v0", EPISODES, hurry)


@pytest.mark.parametrize(("env_id", "fields"), SYSTEMS)
def test_no_policy_that_drops_devices_outranks_the_best_that_keeps_them(
    env_id: str, fields: dict[str, Any]
) -> None:
    require_that_keeping_wins(outcomes(make_batch(env_id, EPISODES, fields)))


def test_no_policy_that_is_late_outranks_the_best_that_keeps_a_deadline() -> None:
    require_that_keeping_wins(outcomes(in_a_hurry()))


def test_there_are_policies_that_lose_devices_where_that_can_be() -> None:
    batteries = make_batch("SFL-Battery-v0", EPISODES, {})
    careful = outcome(sfl_baselines.make("common-cut", batteries), batteries).kept
    assert outcome(burning(batteries), batteries).kept < careful - 0.05
    late = in_a_hurry()
    assert outcome(burning(late), late).kept == 0.0
    assert outcome(one_in_time(late), late).kept > 0.02
