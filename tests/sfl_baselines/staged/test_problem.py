"""A staged problem is the simulator's round in stages, cut by cut."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_baselines.staged import staged_problem, staged_problem_of
from sfl_env.errors import ProblemError
from sfl_env.rounds.latency import SERVER_COMPUTE, phase_latency_s
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.stages import STAGES, staged_latency_s
from tests.sfl_baselines.staged.rounds import episodes, random_decision, random_problem, true_problem

FAR = {"cell_radius_m": 3000.0, "num_devices": 4}  # most devices are out


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    barriers=st.sampled_from(["adaptsfl", "every-phase"]),
    fields=st.sampled_from([{}, {"num_devices": 3}, FAR, {"fading": "none", "rate_curve": "shannon"}]),
)
def test_the_latency_is_the_simulators(seed: int, barriers: str, fields: dict[str, object]) -> None:
    rounds = episodes(5, barriers, seed, **fields)
    problem = staged_problem_of(rounds, rounds.now.true)
    decision = random_decision(problem, np.random.default_rng(seed))
    outcome = rounds.simulator.outcome(rounds.now.state, rounds.now.true, decision)
    np.testing.assert_allclose(problem.latency_s(decision), outcome.latency_s, rtol=1e-12)


def test_work_that_does_not_grow_with_the_batch_counts_as_well() -> None:
    rounds = episodes(3, num_devices=3)
    simulator, now = rounds.simulator, rounds.now.true
    work = replace(
        simulator.workload,
        device_forward_flops_per_round=np.linspace(1e9, 5e9, 10),
        server_flops_per_round=np.linspace(3e12, 1e12, 10),
    )
    stages = STAGES["adaptsfl"]
    problem = staged_problem(work, simulator.resources, now, stages)
    cut, share = random_decision(problem, np.random.default_rng(0))
    phases = phase_latency_s(work, simulator.resources, now, cut, share)
    phases[SERVER_COMPUTE] /= 3.0
    np.testing.assert_allclose(
        problem.latency_s(Decision(cut, share)), staged_latency_s(phases, stages), rtol=1e-12
    )
    more = problem.server_s[problem.fits] - staged_problem_of(rounds, now).server_s[problem.fits]
    assert (more > 0.01).all()


def test_cuts_that_do_not_fit_are_those_of_the_simulator() -> None:
    rounds = episodes(
        20, device_types=("iot-gateway", "laptop"), device_weights=(1.0, 1.0), model="vgg16", batch_size=256
    )
    problem = staged_problem_of(rounds, rounds.now.true)
    deepest = rounds.now.true.deepest_cut
    np.testing.assert_array_equal(problem.fits.sum(axis=-1) - 1, deepest)
    assert (deepest < problem.shape[3] - 1).any()
    last = np.full_like(deepest, problem.shape[3] - 1)
    share = np.full(deepest.shape, 0.1)
    late = problem.latency_s(Decision(last, share))
    np.testing.assert_array_equal(np.isinf(late), (deepest < last).any(axis=1))


def test_rows_are_the_problems_of_some_rounds() -> None:
    problem = random_problem(np.random.default_rng(3), 5, 3, 4)
    decision = random_decision(problem, np.random.default_rng(4))
    rows = np.array([4, 0, 0])
    some = Decision(decision.cut[rows], decision.bandwidth_share[rows])
    np.testing.assert_allclose(problem.rows(rows).latency_s(some), problem.latency_s(decision)[rows], rtol=1e-12)


def test_rounds_without_barriers_have_no_stages() -> None:
    rounds = episodes(1, "none")
    with pytest.raises(ProblemError, match=r"barriers='none'.*make the environment with barriers='adaptsfl'"):
        staged_problem_of(rounds, rounds.now.true)


def test_every_phase_waits_no_less_than_adaptsfls_stages() -> None:
    few, many = true_problem(10), true_problem(10, "every-phase")
    decision = random_decision(few, np.random.default_rng(0))
    assert (few.latency_s(decision) <= many.latency_s(decision) * (1.0 + 1e-12)).all()
