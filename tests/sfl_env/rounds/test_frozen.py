"""Frozen weights and constant buffers stay where they are; who trains nothing is sent no gradient."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfl_env import SFLEnv
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.optimum import solve_exact
from sfl_env.rounds.latency import PHASES
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.workload import Workload, workload
from sfl_env.scenario import Scenario
from sfl_env.simulation.simulator import Simulator
from tests.sfl_env.profiles import odd, profiles

MODEL = [PHASES.index("model_download"), PHASES.index("model_upload")]
GRADIENT = PHASES.index("gradient_download")


def costs(profile: DNNProfile, **options: Any) -> Workload:
    formats = {"activation_bits": 16, "parameter_bits": 32, "label_bits": 8, "optimizer_slots": 2}
    return workload(profile, **{**formats, **options})


def test_only_what_training_changes_is_sent_each_round() -> None:
    # 0, 400 and 10,900 parameters train, and 0, 110 and 140 buffers change.
    assert costs(odd()).model_bits.tolist() == [0, 32 * 510, 32 * 11_040]


def test_everything_is_sent_where_frozen_weights_travel() -> None:
    assert costs(odd(), frozen_weights_travel=True).model_bits.tolist() == [32 * 50_300, 32 * 50_820, 32 * 61_450]


def test_frozen_weights_are_held_without_gradients_and_optimiser() -> None:
    # Weights and buffers once; for each weight that trains, its gradient and Adam's two numbers.
    held = [50_300, 50_820 + 3 * 400, 61_450 + 3 * 10_900]
    for travel in (False, True):
        assert costs(odd(), frozen_weights_travel=travel).static_bytes.tolist() == [4 * each for each in held]


def test_gradients_come_back_where_the_device_side_trains() -> None:
    found = costs(odd())
    assert found.smashed_bits.tolist() == [16 * 700 + 8, 16 * 1100 + 8, 0]
    assert found.gradient_bits.tolist() == [0, 16 * 1100, 0]


@given(profile=profiles(), slots=st.integers(0, 4), bits=st.integers(1, 64))
def test_freezing_never_costs_more_and_a_deeper_cut_never_needs_less_memory(
    profile: DNNProfile, slots: int, bits: int
) -> None:
    frozen, travelling = (
        costs(profile, optimizer_slots=slots, training_bits=bits, frozen_weights_travel=travel)
        for travel in (False, True)
    )
    assert (frozen.model_bits <= travelling.model_bits).all()
    for work in (frozen, travelling):
        assert (np.diff(work.model_bits) >= 0.0).all()
        assert (np.diff(work.static_bytes) >= 0.0).all()
        # All that the device holds is at least held once.
        scalars = profile.device_parameters + profile.device_buffers
        assert (work.static_bytes >= scalars * (bits / 8.0)).all()


@pytest.mark.parametrize("travel", [False, True])
def test_a_scenarios_rounds_send_frozen_weights_where_it_says_so(travel: bool) -> None:
    profile = odd()
    simulator = Simulator(
        Scenario(num_devices=2, parameter_bits=16, frozen_weights_travel=travel), profile=profile
    )
    sent = profile.device_parameters + profile.device_buffers
    if not travel:
        sent = sent - profile.device_frozen_parameters - profile.device_constant_buffers
    np.testing.assert_array_equal(simulator.workload.model_bits, 16 * sent)


def test_a_device_side_without_training_waits_for_no_model_and_no_gradient() -> None:
    env = SFLEnv(profile=odd(), num_devices=3)
    env.reset(seed=0)
    *_, info = env.step(np.full((3, 2), -1.0, np.float32))
    assert info["cut"].tolist() == [0, 0, 0]
    assert (info["phase_latency_s"][:, [*MODEL, GRADIENT]] == 0.0).all()
    assert (info["phase_latency_s"][:, PHASES.index("smashed_upload")] > 0.0).all()


def test_a_network_that_trains_nothing_at_all_needs_no_band_at_its_last_cut() -> None:
    frozen = odd(
        device_frozen_parameters=[50_000, 50_400, 61_000],
        device_constant_buffers=[300, 420, 450],
        smashed_gradient_elements=[0, 0, 0],
    )
    env = SFLEnv(profile=frozen, num_devices=3)
    env.reset(seed=0)
    problem = env.true_problem()
    assert (problem.downlink_bits == 0.0).all()
    assert problem.needs_band[0].tolist() == [[True, True, False]] * 3
    last = Decision(np.full((1, 3), 2), np.zeros((1, 3)))
    np.testing.assert_array_equal(problem.device_latency_s(last), problem.fixed_s[..., -1])
    solution = solve_exact(problem)
    assert solution.lower_bound_s[0] <= solution.latency_s[0] <= problem.latency_s(last)[0] * (1 + 1e-12)


def test_the_field_is_true_or_false() -> None:
    with pytest.raises(ScenarioError, match="frozen_weights_travel is 1; it has to be True or False"):
        Scenario(frozen_weights_travel=1)  # type: ignore[arg-type]  # the mistake under test
