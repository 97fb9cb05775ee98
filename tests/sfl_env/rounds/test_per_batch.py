"""What a mini-batch costs whatever its size is charged once for each of the round's mini-batches."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfl_env import SFLEnv, SFLVectorEnv
from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_env.optimum import solve_exact
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.curves import TruncatedShannon
from sfl_env.rounds.energy import Power, energy_j
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import PHASES, phase_latency_s, round_problem
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.workload import Workload, workload
from sfl_env.simulation.simulator import State
from tests.sfl_env.boards import ON_BATTERY
from tests.sfl_env.profiles import odd, profiles

K = 5
FORMATS: dict[str, Any] = {"activation_bits": 16, "parameter_bits": 32, "label_bits": 8, "optimizer_slots": 1}
RESOURCES = Resources(
    uplink_bandwidth_hz=2e7, server_flops_per_s=1e12, uplink_curve=TruncatedShannon(), outage_wait_s=10.0
)
COMPUTING = [PHASES.index(name) for name in ("device_forward", "server_compute", "device_backward")]
SEVERAL: dict[str, Any] = {"batch_size": 24, "batch_size_spread": 3.0, "local_iterations": 7}


def played(**fields: Any) -> tuple[State, dict[str, Any]]:
    """Play a round of random cuts; return the state before it, and what it told."""
    env = SFLEnv(num_devices=K, **fields)
    env.reset(seed=2)
    state = env.episodes.now.state
    env.action_space.seed(2)
    *_, info = env.step(env.action_space.sample())
    assert len(set(info["cut"])) > 1
    return state, info


def without_work_per_batch(profile: DNNProfile, batch_size: int) -> DNNProfile:
    """Return the profile in which each sample of a mini-batch of this size carries its part of what that costs."""
    fields = [field.name for field in dataclasses.fields(profile)]
    names = [name for name in fields if f"{name}_per_batch" in fields]
    changes: dict[str, Any] = {f"{name}_per_batch": None for name in names}
    for name in names:
        changes[name] = getattr(profile, name) + getattr(profile, f"{name}_per_batch") / batch_size
    return dataclasses.replace(profile, **changes)


@pytest.mark.parametrize("schedule", ["parallel", "sequence"])
def test_computing_takes_the_samples_and_the_mini_batches_flops(schedule: Any) -> None:
    profile = odd()
    state, info = played(profile=profile, schedule=schedule, server_flops_per_s=4e12, **SEVERAL)
    setup, sharers = state.setup, 1 if schedule == "sequence" else K
    for k, cut in enumerate(info["cut"]):
        samples = float(setup.samples[0, k])
        speeds = [float(setup.devices[i][0, k]) * float(state.availability.fraction[0, k]) for i in range(1, 5)]
        traffic = samples * profile.device_activation_elements[cut] * 4.0
        forward = samples * profile.device_forward_flops[cut] + 7 * profile.device_forward_flops_per_batch[cut]
        backward = samples * profile.device_backward_flops[cut] + 7 * profile.device_backward_flops_per_batch[cut]
        server = samples * (profile.server_forward_flops[cut] + profile.server_backward_flops[cut])
        server += 7 * profile.server_forward_flops_per_batch[cut]
        server += 7 * profile.server_backward_flops_per_batch[cut]
        expected = [
            forward / speeds[0] + traffic / speeds[1],
            server / (4e12 / sharers),
            backward / speeds[2] + traffic * (backward > 0.0) / speeds[3],
        ]
        np.testing.assert_allclose(info["phase_latency_s"][k, COMPUTING], expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    profile=profiles(), seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 10**4), iterations=st.integers(1, 99)
)
def test_work_per_batch_is_work_per_sample_of_one_batch_size(
    profile: DNNProfile, seed: int, batch: int, iterations: int
) -> None:
    rng = np.random.default_rng(seed)
    now = conditions(rng, samples=float(batch * iterations))
    cut = rng.integers(0, profile.num_cuts, (2, K))
    share = rng.dirichlet(np.ones(K), 2)
    found, expected = (
        charged(workload(each, local_iterations=iterations, **FORMATS), now, cut, share)
        for each in (profile, without_work_per_batch(profile, batch))
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)


def conditions(rng: np.random.Generator, samples: float) -> Conditions:
    shape = (2, K)
    return Conditions(
        uplink_snr_hz=10.0 ** rng.uniform(4, 10, shape),
        downlink_full_rate_bps=10.0 ** rng.uniform(6, 9, shape),
        forward_flops_per_s=10.0 ** rng.uniform(9, 12, shape),
        forward_bytes_per_s=10.0 ** rng.uniform(7, 10, shape),
        backward_flops_per_s=10.0 ** rng.uniform(9, 12, shape),
        backward_bytes_per_s=10.0 ** rng.uniform(7, 10, shape),
        samples=np.full(shape, samples),
        deepest_cut=np.full(shape, 9),
        takes_part=None,
        fading=SmallScaleFading(rng.exponential(3.0, shape)),
    )


def charged(
    work: Workload, now: Conditions, cut: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    phases = phase_latency_s(work, RESOURCES, now, cut, share)
    problem = round_problem(work, RESOURCES, now)
    power = Power(*(np.full(cut.shape, watts) for watts in (1.0, 6.0, 2.0, 1.5)))
    end_s = phases.sum(axis=0).max(axis=-1, keepdims=True)
    return phases, problem.device_latency_s(Decision(cut, share)), energy_j(power, phases, end_s)


@settings(max_examples=60, deadline=None)
@given(profile=profiles(), seed=st.integers(0, 2**32 - 1), iterations=st.integers(1, 99))
def test_the_phases_of_any_profile_sum_to_the_problems_seconds(
    profile: DNNProfile, seed: int, iterations: int
) -> None:
    rng = np.random.default_rng(seed)
    now = conditions(rng, samples=64.0 * iterations)
    cut = rng.integers(0, profile.num_cuts, (2, K))
    share = rng.dirichlet(np.ones(K), 2)
    phases, latency, _ = charged(workload(profile, local_iterations=iterations, **FORMATS), now, cut, share)
    np.testing.assert_allclose(phases.sum(axis=0), latency, rtol=1e-12)


@pytest.mark.parametrize("fields", [{}, {"schedule": "sequence"}, {"battery_share": 0.01}, {"num_devices": 1}])
def test_policies_and_optimum_see_the_same_work(fields: dict[str, Any]) -> None:
    env = SFLEnv(**{"profile": odd(), "num_devices": K, **SEVERAL, **fields})
    env.reset(seed=0)
    problem = env.true_problem()
    env.action_space.seed(0)
    *_, info = env.step(env.action_space.sample())
    decision = Decision(info["cut"][None], info["bandwidth_share"][None])
    np.testing.assert_allclose(info["device_latency_s"], problem.device_latency_s(decision)[0], rtol=1e-12)
    if problem.system == "parallel":
        assert solve_exact(problem).latency_s[0] <= info["latency_s"] * (1 + 1e-12)


def test_twice_the_iterations_double_all_but_the_model_transfers() -> None:
    now = conditions(np.random.default_rng(0), samples=96.0)
    cut, share = np.array([[0, 1, 2, 1, 0]] * 2), np.full((2, K), 0.2)
    once = phase_latency_s(workload(odd(), local_iterations=3, **FORMATS), RESOURCES, now, cut, share)
    later = now._replace(samples=2.0 * now.samples)
    twice = phase_latency_s(workload(odd(), local_iterations=6, **FORMATS), RESOURCES, later, cut, share)
    factor = np.full((len(PHASES), 1, 1), 2.0)
    factor[[PHASES.index("model_download"), PHASES.index("model_upload")]] = 1.0
    np.testing.assert_allclose(twice, factor * once, rtol=1e-14)


def test_a_device_without_battery_computes_no_batch_either() -> None:
    env = SFLEnv(profile=odd(), num_devices=K, battery_share=1e-12, **ON_BATTERY)
    env.reset(seed=0)
    action = np.zeros((K, 2), np.float32)
    env.step(action)
    # Nobody computes: all that is left of the round is the server's wait.
    assert (env.true_problem().fixed_s == env.scenario.outage_wait_s).all()
    *_, info = env.step(action)
    assert (info["phase_latency_s"] == 0.0).all()
    assert (info["energy_j"] == 0.0).all()


def test_devices_in_a_batch_of_environments_pay_like_those_of_one() -> None:
    envs = SFLVectorEnv(3, profile=odd(), num_devices=K, **SEVERAL)
    envs.reset(seed=[0, 1, 2])
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    now = envs.episodes.now.true
    infos = envs.step(actions)[-1]
    for n in range(3):
        alone = now.rows(slice(n, n + 1))
        simulator = envs.episodes.simulator
        phases = phase_latency_s(
            simulator.workload,
            simulator.resources,
            alone,
            infos["cut"][n : n + 1],
            infos["bandwidth_share"][n : n + 1],
        )
        np.testing.assert_allclose(infos["phase_latency_s"][n], phases[:, 0].T, rtol=1e-12)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_a_network_without_work_per_batch_is_charged_as_if_there_were_no_such_thing(name: str) -> None:
    profile = catalogue.load(name)
    rng = np.random.default_rng(0)
    now = conditions(rng, samples=128.0)
    cut, share = rng.integers(0, profile.num_cuts, (2, K)), rng.dirichlet(np.ones(K), 2)
    few, many = (charged(workload(profile, local_iterations=e, **FORMATS), now, cut, share) for e in (1, 99))
    for one, other in zip(few, many, strict=True):
        np.testing.assert_array_equal(one, other)
