"""Rounds that do not wait for everybody, and devices that take turns."""

from typing import Any, NamedTuple, get_args

import gymnasium as gym
import numpy as np
import pytest

from sfl_env import Decision, DecisionError, SFLEnv
from sfl_env.learning.federated import SplitFederatedTraining
from sfl_env.learning.plan import LocalTraining
from sfl_env.rounds.energy import Power, energy_j
from sfl_env.rounds.radio import uplink_rate_bps
from sfl_env.scenario import Server
from sfl_env.spaces.action import ContinuousAction
from tests.sfl_env.boards import ON_BATTERY
from tests.sfl_env.shared import same_weights, training_of

K = 4
NEARBY: dict[str, Any] = {
    "cell_radius_m": 12.0,
    "bandwidth_hz": 1e9,
    "message_latency_s": 0.0,
    "device_types": ("raspberry-pi-4", "flagship-phone"),
    "device_weights": (1.0, 1.0),
}
"""Devices with good links and batteries that are different in size."""

LEARNING: dict[str, Any] = {
    "mode": "accuracy",
    "num_devices": K,
    "local_iterations": 2,
    "batch_size": 8,
    "torch_device": "cpu",
    "partition": "quantity-skew",
}


class Gains(NamedTuple):
    """A channel's state of nothing but gains."""

    gain: np.ndarray


def make(**fields: Any) -> SFLEnv:
    env = gym.make("SFL-v0", **{"num_devices": K} | fields).unwrapped
    assert isinstance(env, SFLEnv)
    return env


ACTION = np.random.default_rng(0).uniform(-1.0, 1.0, (K, 2)).astype(np.float32)


def first_round(seed: int = 0, action: np.ndarray = ACTION, **fields: Any) -> tuple[SFLEnv, float, dict[str, Any]]:
    env = make(**fields)
    env.reset(seed=seed)
    _, reward, *_, info = env.step(action)
    return env, reward, info


def between_devices(seconds: np.ndarray, in_time: int) -> float:
    """A deadline that so many devices keep."""
    ordered = np.sort(seconds)
    return float((ordered[in_time - 1] + ordered[in_time]) / 2.0)


# Deadlines


@pytest.mark.parametrize("mode", [{}, LEARNING], ids=["latency", "accuracy"])
@pytest.mark.parametrize("in_time", [1, 2, 3])
def test_a_round_ends_at_its_deadline_and_counts_who_is_in_time(mode: dict[str, Any], in_time: int) -> None:
    _, _, patient = first_round(**mode)
    assert patient["takes_part"].all()
    deadline_s = between_devices(patient["device_latency_s"], in_time)
    env, reward, info = first_round(deadline_s=deadline_s, **mode)
    assert info["latency_s"] == deadline_s
    assert info["takes_part"].sum() == in_time
    np.testing.assert_array_equal(info["takes_part"], patient["device_latency_s"] <= deadline_s)
    # What the devices would do is the same, and those in time wait no longer than to the deadline.
    for key in ("device_latency_s", "phase_latency_s", "cut", "bandwidth_share"):
        np.testing.assert_array_equal(info[key], patient[key])
    saved_s = patient["latency_s"] - deadline_s
    kept, idle_w = info["takes_part"], env.episodes.now.state.setup.devices.idle_w[0]
    saved_j = patient["energy_j"] - info["energy_j"]
    np.testing.assert_allclose(saved_j[kept], idle_w[kept] * saved_s, rtol=1e-9, atol=1e-9)
    assert (saved_j[~kept] > idle_w[~kept] * saved_s).all()  # late ones stop, and others wait
    assert reward == pytest.approx(-deadline_s / env.episodes.reference_latency_s, rel=1e-12)


@pytest.mark.parametrize("schedule", ["parallel", "sequence"])
def test_what_is_not_in_the_average_is_missed_by_its_samples(schedule: str) -> None:
    fields: dict[str, Any] = {"schedule": schedule, "batch_size_spread": 3.0}
    _, _, patient = first_round(**fields)
    missed = []
    for in_time in range(1, K):
        deadline_s = between_devices(patient["device_latency_s"], in_time)
        env, reward, info = first_round(deadline_s=deadline_s, missed_weight=2.0, **fields)
        samples = env.episodes.now.true.samples[0]
        missed.append(info["reward_terms"]["missed"])
        assert missed[-1] == pytest.approx(-2.0 * samples[~info["takes_part"]].sum() / samples.sum(), rel=1e-12)
        assert reward == pytest.approx(info["reward_terms"]["latency"] + missed[-1], rel=1e-12)
    assert missed == sorted(missed)
    _, _, everyone = first_round(missed_weight=2.0, **fields)
    _, _, nobody = first_round(deadline_s=1e-6, missed_weight=2.0, **fields)
    assert everyone["reward_terms"]["missed"] == 0.0
    assert nobody["reward_terms"]["missed"] == -2.0


def test_a_deadline_that_all_keep_changes_nothing() -> None:
    _, _, patient = first_round()
    _, _, info = first_round(deadline_s=float(patient["latency_s"]))
    assert info["takes_part"].all()
    assert info["latency_s"] == patient["latency_s"]


@pytest.mark.parametrize("server", get_args(Server))
def test_who_misses_the_deadline_is_left_out_of_the_average(server: str) -> None:
    fields = {**LEARNING, "server": server}
    _, _, patient = first_round(**fields)
    deadline_s = between_devices(patient["device_latency_s"], 2)
    env, alone = (make(deadline_s=deadline_s, **fields) for _ in range(2))
    for each in (env, alone):
        each.reset(seed=0)
    *_, info = env.step(ACTION)
    training_of(alone).run_round(info["cut"], active=info["takes_part"])
    assert same_weights(training_of(env).weights(), training_of(alone).weights())
    # And not as if everybody had taken part.
    everyone, _, _ = first_round(**fields)
    assert not same_weights(training_of(env).weights(), training_of(everyone).weights())


def test_a_round_that_nobody_finishes_in_time_costs_its_time_and_teaches_nothing() -> None:
    env = make(deadline_s=1e-6, **LEARNING)
    _, start = env.reset(seed=0)
    before = training_of(env).weights()
    for rounds in (1, 2):
        *_, info = env.step(ACTION)
        assert not info["takes_part"].any()
        assert info["latency_s"] == 1e-6
        assert info["elapsed_s"] == pytest.approx(rounds * 1e-6)
        assert (info["accuracy"], info["loss"]) == (start["accuracy"], start["loss"])
    assert same_weights(before, training_of(env).weights())


def test_devices_with_empty_batteries_are_left_out_of_the_average_and_of_the_round() -> None:
    plugged, _, mains = first_round(**LEARNING)
    devices = plugged.episodes.now.state.setup.devices
    used = (mains["energy_j"] - devices.idle_w[0] * mains["latency_s"]) / devices.battery_j[0]
    env, alone = (make(battery_share=between_devices(used, 2), **LEARNING) for _ in range(2))
    for each in (env, alone):
        each.reset(seed=0)
    observation, *_, info = env.step(ACTION)
    # Whoever runs empty in a round still finishes it.
    assert info["takes_part"].all()
    training_of(alone).run_round(info["cut"])
    left = used < env.scenario.battery_share
    assert left.sum() == 2
    np.testing.assert_array_equal(observation[:, 10] > 0.0, left)
    *_, info = env.step(ACTION)
    np.testing.assert_array_equal(info["takes_part"], left)
    training_of(alone).run_round(info["cut"], active=left)
    assert same_weights(training_of(env).weights(), training_of(alone).weights())


def test_an_episode_of_learning_goes_on_without_gain_when_all_batteries_are_empty() -> None:
    env = make(battery_share=1e-12, target_accuracy=1.0, **LEARNING, **ON_BATTERY)
    env.reset(seed=0)
    *_, terminated, _, first = env.step(ACTION)
    assert not terminated
    *_, terminated, _, info = env.step(ACTION)
    assert not terminated
    assert not info["takes_part"].any()
    assert (info["accuracy"], info["loss"]) == (first["accuracy"], first["loss"])
    assert info["elapsed_s"] == first["elapsed_s"] + env.scenario.outage_wait_s


def test_a_deadline_and_a_battery_both_leave_out() -> None:
    _, _, patient = first_round(**NEARBY)
    deadline_s = between_devices(patient["device_latency_s"], 2)
    plugged, _, mains = first_round(deadline_s=deadline_s, **NEARBY)
    devices = plugged.episodes.now.state.setup.devices
    end_s = np.maximum(mains["latency_s"], mains["device_latency_s"])
    used = (mains["energy_j"] - devices.idle_w[0] * end_s) / devices.battery_j[0]
    share = between_devices(used, 3)
    env = make(battery_share=share, deadline_s=deadline_s, **NEARBY)
    env.reset(seed=0)
    *_, first = env.step(ACTION)
    np.testing.assert_array_equal(first["takes_part"], first["device_latency_s"] <= deadline_s)
    *_, info = env.step(ACTION)
    empty = used >= share
    assert empty.sum() == 1
    assert not info["takes_part"][empty].any()
    assert (info["device_latency_s"][empty] == 0.0).all()
    assert (info["energy_j"][empty] == 0.0).all()


# Devices that cannot be reached


class SomeOut:
    """A channel on which some devices are out of reach, whatever the round."""

    def __init__(self, *out: int) -> None:
        self.out = list(out)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Gains:
        gain = np.full((n, num_devices), 1e-9)
        gain[:, self.out] = 1e-25
        return Gains(gain)

    def step(self, state: Gains, elapsed_s: np.ndarray, rng: np.random.Generator) -> Gains:
        return state


def test_a_device_that_cannot_be_reached_pays_for_waiting_alone() -> None:
    env, _, info = first_round(channel=SomeOut(1, 3), battery_share=0.5, **ON_BATTERY)
    np.testing.assert_array_equal(info["takes_part"], [True, False, True, False])
    out = ~info["takes_part"]
    assert (info["phase_latency_s"][out] == 0.0).all()
    assert info["latency_s"] == info["device_latency_s"][~out].max()
    idle_w = env.episodes.now.state.setup.devices.idle_w[0]
    np.testing.assert_allclose(info["energy_j"][out], idle_w[out] * info["latency_s"], rtol=1e-12)
    assert (info["energy_j"][~out] > idle_w[~out] * info["latency_s"]).all()
    added_j = info["energy_j"] - idle_w * info["latency_s"]
    added_j[out] = 0.0
    spent = added_j * env.episodes.now.state.setup.charge_per_j[0]
    np.testing.assert_allclose(1.0 - env.episodes.now.state.charge[0], spent, rtol=1e-9)


def test_a_deadline_and_an_outage_both_leave_out() -> None:
    _, _, patient = first_round(channel=SomeOut(1))
    reached = np.array([True, False, True, True])
    deadline_s = between_devices(patient["device_latency_s"][reached], 2)
    env, _, info = first_round(channel=SomeOut(1), deadline_s=deadline_s)
    # A device without a phase is not in time: it does not take part.
    np.testing.assert_array_equal(info["takes_part"], reached & (patient["device_latency_s"] <= deadline_s))
    assert info["takes_part"].sum() == 2
    assert info["latency_s"] == deadline_s
    idle_w = env.episodes.now.state.setup.devices.idle_w[0, 1]
    assert info["energy_j"][1] == pytest.approx(idle_w * deadline_s, rel=1e-12)


@pytest.mark.parametrize("schedule", ["parallel", "sequence"])
@pytest.mark.parametrize("deadline_s", [None, 7.0, 2.0])
def test_a_round_that_reaches_nobody_lasts_the_wait_or_until_the_deadline(
    schedule: str, deadline_s: float | None
) -> None:
    fields: dict[str, Any] = {"schedule": schedule, "deadline_s": deadline_s, "outage_wait_s": 5.0}
    env, reward, info = first_round(channel=SomeOut(*range(K)), **fields)
    wait_s = 5.0 if deadline_s is None else min(5.0, deadline_s)
    assert info["latency_s"] == wait_s
    assert reward < 0.0
    assert not info["takes_part"].any()
    idle_w = env.episodes.now.state.setup.devices.idle_w[0]
    np.testing.assert_allclose(info["energy_j"], idle_w * wait_s, rtol=1e-12)


# Devices in sequence


@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_in_sequence_a_round_is_the_sum_over_devices_with_the_whole_band_and_server_each(action_mode: str) -> None:
    env = make(schedule="sequence", action_mode=action_mode)
    env.action_space.seed(0)
    env.reset(seed=1)
    simulator = env.episodes.simulator
    for _ in range(4):
        now, setup = env.episodes.now.true, env.episodes.now.state.setup
        *_, info = env.step(env.action_space.sample())
        assert info["latency_s"] == pytest.approx(info["device_latency_s"].sum(), rel=1e-12)
        assert (info["bandwidth_share"] == 1.0).all()
        work, cut = simulator.workload, info["cut"]
        curve, levels = simulator.resources.uplink_curve, now.fading.levels
        band_hz = env.scenario.bandwidth_hz
        up_bps = uplink_rate_bps(np.ones((1, K)), band_hz, now.uplink_snr_hz, curve, levels)[0]
        down_bps, samples = now.downlink_full_rate_bps[0], now.samples[0]
        server_s = samples * work.server_flops[cut] / env.scenario.server_flops_per_s
        model_bits = work.model_bits[cut]
        uplink_bits = samples * work.smashed_bits[cut]
        message_s = work.message_s[:, cut]
        expected = np.stack([model_bits / down_bps, uplink_bits / up_bps, server_s, model_bits / up_bps], axis=1)
        expected += message_s[[0, 2, 3, 6]].T
        np.testing.assert_allclose(info["phase_latency_s"][:, [0, 2, 3, 6]], expected, rtol=1e-12)
        phases = info["phase_latency_s"].T[:, None]
        devices = setup.devices
        power = Power(devices.idle_w, devices.computing_w, devices.transmitting_w, devices.receiving_w)
        joules = energy_j(power, phases, np.array([[info["latency_s"]]]))  # whose turn it is not waits
        np.testing.assert_allclose(joules[0], info["energy_j"], rtol=1e-12)


def test_in_sequence_the_shares_asked_for_do_not_matter() -> None:
    other = ACTION.copy()
    other[:, 1] = -other[:, 1]
    _, _, one = first_round(schedule="sequence")
    _, _, two = first_round(schedule="sequence", action=other)
    np.testing.assert_array_equal(one["phase_latency_s"], two["phase_latency_s"])


def test_a_users_own_encoder_serves_devices_in_sequence() -> None:
    env = make(schedule="sequence", action=ContinuousAction(10))
    env.reset(seed=0)
    *_, info = env.step(ACTION)
    assert (info["bandwidth_share"] == 1.0).all()


class TwiceTheBand(ContinuousAction):
    """Asks for more than there is, but only when all cuts come from the very middle."""

    def decode(self, action: Any, seen: Any) -> Decision:
        decision = super().decode(action, seen)
        factor = 2.0 if (action[..., 0] == 0.0).all() else 1.0
        return Decision(decision.cut, decision.bandwidth_share * factor)


@pytest.mark.parametrize("schedule", ["parallel", "sequence"])
def test_a_users_own_encoder_cannot_give_out_more_than_the_band(schedule: str) -> None:
    env = make(schedule=schedule, action=TwiceTheBand(10))
    env.reset(seed=0)
    with pytest.raises(DecisionError, match="shares of environment 0 sum to 2"):
        env.step(np.zeros((K, 2), np.float32))


def test_in_sequence_a_deadline_holds_for_each_turn() -> None:
    _, _, patient = first_round(schedule="sequence")
    deadline_s = between_devices(patient["device_latency_s"], 2)
    _, _, info = first_round(schedule="sequence", deadline_s=deadline_s)
    np.testing.assert_array_equal(info["takes_part"], patient["device_latency_s"] <= deadline_s)
    expected_s = np.minimum(patient["device_latency_s"], deadline_s).sum()
    assert info["latency_s"] == pytest.approx(expected_s, rel=1e-12)


@pytest.mark.parametrize("deadline", [False, True])
def test_in_sequence_the_environment_trains_as_split_learning_does(deadline: bool) -> None:
    fields: dict[str, Any] = {**LEARNING, "schedule": "sequence"}
    if deadline:
        _, _, patient = first_round(**fields)
        fields["deadline_s"] = between_devices(patient["device_latency_s"], 2)
    env = make(**fields)
    env.reset(seed=0)
    inside = training_of(env)
    alone = SplitFederatedTraining(
        inside._network,
        inside.data,
        lambda labels, rng: inside.partition,
        LocalTraining(iterations=2, batch_size=8, server="parallel-sl", learning_rate=env.scenario.learning_rate),
        schedule="sequence",
        device="cpu",
    )
    alone.load_state_dict(inside.state_dict())
    elapsed_s = 0.0
    for _ in range(3):
        *_, info = env.step(env.action_space.sample())
        result = alone.run_round(info["cut"], active=info.get("takes_part"))
        elapsed_s += info["latency_s"]
        assert info["elapsed_s"] == pytest.approx(elapsed_s, rel=1e-12)
        assert (info["accuracy"], info["loss"]) == result.score
    assert same_weights(inside.weights(), alone.weights())


def test_in_sequence_the_devices_learn_one_after_another_and_not_from_one_start() -> None:
    in_turn, _, _ = first_round(**LEARNING, schedule="sequence")
    at_once, _, _ = first_round(**LEARNING)
    assert not same_weights(training_of(in_turn).weights(), training_of(at_once).weights())
