"""Accuracy mode: every step trains, and what is trained, sent and told fits what is charged."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from torch import nn
from torch.utils.data import TensorDataset

from sfl_env import Decision, SFLEnv, SFLVectorEnv
from sfl_env.dnn import catalogue
from sfl_env.errors import DataError, ProfileError, ScenarioError, SFLError, TrainingError
from sfl_env.learning.data import TensorData, from_datasets
from sfl_env.learning.hub import DATA_DIRECTORY_VARIABLE
from sfl_env.learning.protocol import Score
from sfl_env.learning.result import RoundResult
from sfl_env.learning.scenario import ScenarioLearner
from sfl_env.rounds.radio import uplink_rate_bps
from tests.sfl_env.shared import same_weights, training_of

K = 3
SMALL: dict[str, Any] = {"num_devices": K, "local_iterations": 2, "batch_size": 8, "torch_device": "cpu"}


def make(env_id: str = "SFL-Accuracy-v0", **fields: Any) -> SFLEnv:
    env = gym.make(env_id, **SMALL | fields).unwrapped
    assert isinstance(env, SFLEnv)
    return env


def at_cuts(env: SFLEnv, cuts: list[int]) -> Any:
    """The action that takes these cuts with equal shares."""
    decision = Decision(np.array([cuts]), np.full((1, len(cuts)), 1.0 / len(cuts)))
    return env.episodes.action_encoder.encode(decision, env.episodes.now.observed)[0]


def with_buffers() -> nn.Module:
    """A user's network with running statistics, six tensors that travel without being parameters."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(24, 10)),
    )


def with_dropout() -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3)), nn.Linear(16, 10)
    )


# What an episode is


@pytest.mark.parametrize("action_mode", ["continuous", "residual", "cut", "discrete"])
def test_any_id_learns_with_a_field(action_mode: str) -> None:
    env = gym.make("SFL-v0", mode="accuracy", action_mode=action_mode, **SMALL)
    check_env(env.unwrapped, skip_render_check=True)
    assert make("SFL-v0", mode="accuracy").profile.name == "digits-cnn"


def test_the_observation_ends_with_accuracy_loss_and_elapsed_time_which_the_infos_tell() -> None:
    env = make(target_accuracy=None)
    observation, info = env.reset(seed=0)
    assert info["elapsed_s"] == 0.0
    assert np.isnan(info["latency_s"])
    evaluation = training_of(env).evaluate()
    assert (info["accuracy"], info["loss"]) == (evaluation.accuracy, evaluation.loss)
    assert (observation[:, -1] == -1.0).all()
    elapsed_s = 0.0
    for _ in range(4):
        observation, _, _, _, info = env.step(env.action_space.sample())
        elapsed_s += info["latency_s"]
        evaluation = training_of(env).evaluate()
        assert (info["accuracy"], info["loss"]) == (evaluation.accuracy, evaluation.loss)
        assert info["elapsed_s"] == pytest.approx(elapsed_s, rel=1e-12)
        assert (observation[:, -3:] == observation[0, -3:]).all()
        accuracy, loss, seconds = observation[0, -3:].astype(float)
        assert (accuracy + 1.0) / 2.0 == pytest.approx(info["accuracy"], abs=1e-6)
        assert 1e-4 * 1e8 ** ((loss + 1.0) / 2.0) == pytest.approx(info["loss"], rel=1e-5)
        assert 1e-3 * 1e12 ** ((seconds + 1.0) / 2.0) == pytest.approx(info["elapsed_s"], rel=1e-5)


def test_the_episode_ends_at_the_target_and_its_return_is_minus_the_time_to_it() -> None:
    env = make(target_accuracy=0.6, local_iterations=8, batch_size=16, learning_rate=0.1)
    env.reset(seed=0)
    rewards, accuracies, terminated, truncated = [], [], False, False
    while not (terminated or truncated):
        _, reward, terminated, truncated, info = env.step(at_cuts(env, [1, 2, 4]))
        rewards.append(reward)
        accuracies.append(info["accuracy"])
        assert terminated == (info["accuracy"] >= 0.6)
    assert terminated
    assert len(accuracies) > 1
    assert sum(rewards) == pytest.approx(-info["elapsed_s"] / env.episodes.reference_latency_s, rel=1e-12)


def test_without_a_target_only_the_round_limit_ends_an_episode() -> None:
    env = make(target_accuracy=None, max_rounds=3)
    env.reset(seed=0)
    steps = [env.step(env.action_space.sample()) for _ in range(3)]
    assert [step[2] for step in steps] == [False] * 3
    assert [step[3] for step in steps] == [False, False, True]


def test_a_new_episode_starts_from_new_weights_and_a_new_partition() -> None:
    env = make()
    env.reset(seed=0)
    first, histogram = training_of(env).weights(), training_of(env).label_histogram()
    env.step(env.action_space.sample())
    _, info = env.reset()
    assert info["elapsed_s"] == 0.0
    assert not same_weights(first, training_of(env).weights())
    assert not np.array_equal(histogram, training_of(env).label_histogram())


# Same seed, same episode


def told(env: SFLEnv, seed: int, between: Callable[[], Any] = lambda: None) -> list[Any]:
    """Accuracy, loss and time of every round of an episode under random actions."""
    env.action_space.seed(seed)
    _, info = env.reset(seed=seed)
    seen = [(info["accuracy"], info["loss"], 0.0)]
    for _ in range(4):
        between()
        *_, info = env.step(env.action_space.sample())
        seen.append((info["accuracy"], info["loss"], info["latency_s"]))
    return seen


@pytest.mark.parametrize("fields", [{}, {"network": with_dropout}, {"network": with_buffers, "optimizer": "adam"}])
def test_a_seed_fixes_the_episode_and_nobody_elses_draws_touch_it(fields: dict[str, Any]) -> None:
    torch.manual_seed(11)
    expected = told(make(**fields), 5)
    env, other = make(**fields), make(**fields)
    assert told(env, 6) != expected
    other.reset(seed=1)

    def disturb() -> None:
        """Draw from torch's own generator and train another network in the same process."""
        torch.manual_seed(int(torch.randint(1000, ())))
        other.step(other.action_space.sample())

    assert told(env, 5, disturb) == expected


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_torchs_own_generator_is_left_alone(executor: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    env = make(network=with_dropout, executor=executor)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert torch.equal(torch.get_rng_state(), before)


# What is charged is what is sent


def results_of(env: SFLEnv, monkeypatch: pytest.MonkeyPatch) -> list[RoundResult]:
    """All that the training tells, round by round."""
    training, results = training_of(env), []
    run_round = training.run_round

    def recorded(*args: Any, **kwargs: Any) -> RoundResult:
        results.append(run_round(*args, **kwargs))
        return results[-1]

    monkeypatch.setattr(training, "run_round", recorded)
    return results


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"network": with_buffers},
        {"activation_bits": 8, "parameter_bits": 16, "label_bits": 4, "server": "splitfed-v1"},
        {"schedule": "sequence", "label_bits": 0},
    ],
    ids=["default", "buffers", "number formats", "sequence"],
)
def test_the_bits_that_cross_are_the_bits_that_are_charged(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make(executor="message-passing", target_accuracy=None, **fields)
    env.reset(seed=0)
    results = results_of(env, monkeypatch)
    devices, last = np.arange(K), env.profile.num_cuts - 1
    for cuts in [*([cut] * K for cut in range(last + 1)), [0, last, 1]]:
        problem = env.true_problem()
        *_, info = env.step(at_cuts(env, cuts))
        assert info["cut"].tolist() == cuts
        uplink_bits, downlink_bits = results[-1].uplink_bits, results[-1].downlink_bits
        assert uplink_bits is not None
        assert downlink_bits is not None
        # To the bit: what the latency model takes for the two directions.
        np.testing.assert_array_equal(problem.uplink_bits[0, devices, cuts], uplink_bits)
        np.testing.assert_array_equal(problem.downlink_bits[0, devices, cuts], downlink_bits)
        # And the phases' seconds times the rates, less what the messages take besides their bits.
        message_s = env.episodes.simulator.workload.message_s[:, cuts].T
        share, phase_s = info["bandwidth_share"], info["phase_latency_s"] - message_s
        band_hz, levels = env.scenario.bandwidth_hz, problem.fading_levels
        up_bps = uplink_rate_bps(share[None], band_hz, problem.uplink_snr_hz, problem.uplink_curve, levels)[0]
        np.testing.assert_allclose((phase_s[:, 2] + phase_s[:, 6]) * up_bps, uplink_bits, rtol=1e-9)
        down_bps = share * problem.downlink_full_rate_bps[0]
        np.testing.assert_allclose((phase_s[:, 0] + phase_s[:, 4]) * down_bps, downlink_bits, rtol=1e-9)


def test_both_executors_give_the_same_episode() -> None:
    episodes = []
    for executor in ("fused", "message-passing"):
        env = make(executor=executor, target_accuracy=None)
        episodes.append(np.array(told(env, 2)))
    fused, split = episodes
    np.testing.assert_allclose(fused[:, 1], split[:, 1], atol=1e-5)
    np.testing.assert_allclose(fused[:, 0], split[:, 0], atol=1.5 / 360)
    np.testing.assert_array_equal(fused[:, 2], split[:, 2])


# Cuts


def weights_after(cuts: list[list[int]], **fields: Any) -> dict[str, torch.Tensor]:
    env = make(target_accuracy=None, **fields)
    env.reset(seed=4)
    for row in cuts:
        env.step(at_cuts(env, row))
    return training_of(env).weights()


def test_with_splitfed_v1_cuts_matter_for_the_time_alone() -> None:
    federated = weights_after([[4, 4, 4]] * 3, server="splitfed-v1")
    drawn = np.random.default_rng(0).integers(0, 5, (3, K)).tolist()
    assert same_weights(federated, weights_after(drawn, server="splitfed-v1"))


def test_with_a_shared_server_cuts_matter_and_all_at_the_last_are_federated_learning() -> None:
    federated = weights_after([[4, 4, 4]] * 2, server="splitfed-v1")
    shared = weights_after([[4, 4, 4]] * 2)
    for name, tensor in federated.items():
        torch.testing.assert_close(shared[name], tensor, rtol=0.0, atol=1e-6)
    assert not same_weights(shared, weights_after([[0, 2, 4]] * 2))


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_cuts_that_change_leave_the_weights_as_they_are(executor: str) -> None:
    """Nobody is in time, so that only re-splitting could change them."""
    env = make(executor=executor, target_accuracy=None, deadline_s=1e-6)
    env.reset(seed=0)
    before = training_of(env).weights()
    for cuts in ([0, 0, 0], [4, 0, 2], [4, 4, 4], [1, 3, 0]):
        env.step(at_cuts(env, cuts))
        assert same_weights(training_of(env).weights(), before)


# A run that is killed

KILLED = """
import os, signal, sys, threading, gymnasium as gym, numpy as np, sfl_env, torch
path, *delay_s = sys.argv[1:]
env = gym.make("SFL-Accuracy-v0", num_devices=4, local_iterations=60, batch_size=16, target_accuracy=None,
               max_rounds=5, csi_delay_rounds=1, torch_device="cpu", disable_env_checker=True).unwrapped
env.reset(seed=8)
if os.path.exists(path):
    env.load_state_dict(torch.load(path, weights_only=True))
ended = False
while not ended:
    round_ = int(env.episodes.now.state.round[0])
    if delay_s and round_ == 2:
        threading.Timer(float(delay_s[0]), os.kill, (os.getpid(), signal.SIGKILL)).start()
    *_, ended, info = env.step(np.random.default_rng(round_).uniform(-1, 1, (4, 2)).astype(np.float32))
    torch.save(env.state_dict(), path + ".part")
    os.replace(path + ".part", path)
    print(round_ + 1, flush=True)
"""


def test_a_run_killed_within_a_round_ends_with_the_weights_of_one_never_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    through, killed = str(tmp_path / "through.pt"), str(tmp_path / "killed.pt")
    delay_s = str(random.uniform(0.0, 0.1))
    victim = subprocess.run([sys.executable, "-c", KILLED, killed, delay_s], capture_output=True, text=True)
    assert victim.returncode == -signal.SIGKILL, victim.stderr
    done = torch.load(killed, weights_only=True)["episodes"]["learner"]["round"]
    assert 2 <= done < 5
    # The run goes on in this process, where the other one never stops.
    for path in (killed, through):
        monkeypatch.setattr(sys, "argv", ["", path])
        exec(KILLED, {})
    rounds = [str(number) for number in (*range(done + 1, 6), *range(1, 6))]
    assert capsys.readouterr().out.split() == rounds
    left, right = (torch.load(path, weights_only=True) for path in (through, killed))
    assert same_weights(left["episodes"]["learner"]["weights"], right["episodes"]["learner"]["weights"])
    assert left["episodes"]["state"] == right["episodes"]["state"]
    assert left["episodes"]["learning"] == right["episodes"]["learning"]
    assert left["rng"] == right["rng"]


# Gymnasium's other ways in


def test_make_vec_trains_in_single_environments_in_turn() -> None:
    envs = gym.make_vec("SFL-Accuracy-v0", num_envs=2, **SMALL)
    observations, infos = envs.reset(seed=0)
    assert observations.shape == (2, K, 13)
    assert infos["accuracy"].shape == (2,)
    first = make()
    _, info = first.reset(seed=0)
    assert infos["loss"][0] == info["loss"]
    action = envs.action_space.sample()
    *_, infos = envs.step(action)
    assert infos["loss"][0] == first.step(action[0])[-1]["loss"]
    assert infos["loss"][0] != infos["loss"][1]


def test_a_batch_of_one_learns_anew_in_each_episode() -> None:
    envs = SFLVectorEnv(1, mode="accuracy", max_rounds=2, autoreset_mode="SameStep", **SMALL)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    observation, _, _, truncated, infos = envs.step(envs.action_space.sample())
    assert truncated.all()
    assert infos["final_info"]["elapsed_s"][0] > 0.0
    assert (observation[0, :, -1] == -1.0).all()
    learner = envs.episodes.learner
    assert isinstance(learner, ScenarioLearner)
    assert learner.training.round == 0


def test_a_spec_of_accuracy_mode_survives_json() -> None:
    env = gym.make(
        "SFL-v0", mode="accuracy", partition="shards", torch_device="cpu", deadline_s=9.0, num_devices=2
    )
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json())).unwrapped
    assert isinstance(again, SFLEnv)
    scenario = again.scenario
    assert (scenario.mode, scenario.partition, scenario.deadline_s) == ("accuracy", "shards", 9.0)
    assert type(scenario)(**json.loads(scenario.to_json())) == scenario


def test_a_users_own_learner_takes_the_trainings_place() -> None:
    class Counting:
        """Gets a tenth better in each round."""

        profile = catalogue.load("lenet5")

        def reset(self, seed: int) -> Score:
            self.rounds = 0
            return Score(0.0, 1.0)

        def run_round(self, cut: Any, takes_part: Any) -> Score:
            assert cut.shape == takes_part.shape == (4,)
            self.rounds += 1
            return Score(self.rounds / 10.0, 1.0)

        def state_dict(self) -> dict[str, Any]:
            return {"rounds": self.rounds}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.rounds = state["rounds"]

    own = Counting()
    env = gym.make("SFL-Accuracy-v0", learner=own, num_devices=4, target_accuracy=0.3).unwrapped
    assert isinstance(env, SFLEnv)
    assert env.profile.name == "lenet5"
    env.reset(seed=0)
    assert [env.step(env.action_space.sample())[2] for _ in range(3)] == [False, False, True]
    with pytest.raises(ScenarioError, match="learner belongs to mode='accuracy'"):
        gym.make("SFL-v0", learner=own)
    with pytest.raises(ScenarioError, match="executor is given beside learner, which replaces it"):
        gym.make("SFL-Accuracy-v0", learner=own, executor="fused")


# Users' own networks and data


def test_a_users_network_and_data_set_are_trained_and_charged() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(120, 6, generator=rng)
    pairs = TensorDataset(features, features[:, :3].argmax(dim=1))
    data = from_datasets(pairs, pairs)

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))

    env = make(network=network, data=data, target_accuracy=0.9, learning_rate=0.2)
    assert env.profile.device_parameters[-1] == 6 * 12 + 12 + 12 * 3 + 3
    env.reset(seed=0)
    for _ in range(100):
        *_, terminated, truncated, _info = env.step(env.action_space.sample())
        if terminated or truncated:
            break
    assert terminated


# Bad input


def toy(classes: int = 3) -> TensorData:
    pairs = TensorDataset(torch.zeros(30, 1, 8, 8), torch.arange(30) % classes)
    return from_datasets(pairs, pairs, name="toy")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"network": with_buffers, "data": toy()},
            TrainingError,
            r"output has shape \(10,\) a sample, but 'toy' has 3 classes.*has to have 3 outputs",
        ),
        (
            {"network": with_buffers()},
            TrainingError,
            "network is Sequential; it has to be a function",
        ),
        ({"data": TensorDataset(torch.zeros(3))}, DataError, "data is TensorDataset; .*from_datasets"),
        (
            {"model": "lenet5"},
            TrainingError,
            r"cannot be trained on 'digits', whose samples have shape \(1, 8, 8\)",
        ),
        ({"model": "digits-cn"}, ProfileError, "did you mean 'digits-cnn'"),
        (
            {"model": "mine.json"},
            ScenarioError,
            "model is 'mine.json', a profile.*name a network",
        ),
        ({"profile": catalogue.load("lenet5")}, ScenarioError, "profile is given, but .*pass network="),
        ({"batch_size_spread": 2.0}, ScenarioError, "batch_size_spread is 2.0; in accuracy mode it has to be 1"),
        ({"executor": "fast"}, TrainingError, "executor is 'fast'; it has to be one of fused, message-passing"),
        ({"torch_device": "gpu"}, TrainingError, "device is 'gpu'; it has to be 'auto', 'cpu' or 'cuda'"),
        ({"dataset": "fashion_mnist"}, ScenarioError, "did you mean 'fashion-mnist'"),
        ({"partition": "dirichelt"}, ScenarioError, "did you mean 'dirichlet'"),
        ({"server": "splitfed"}, ScenarioError, "did you mean 'splitfed-v"),
        ({"target_accuracy": 95}, ScenarioError, "target_accuracy is 95; it has to be a number from 0 to 1"),
        ({"barriers": "adaptsfl", "deadline_s": 3.0}, ScenarioError, "barriers='adaptsfl' goes with"),
        ({"info_optimum": True, "schedule": "sequence"}, ScenarioError, "info_optimum is not available with"),
        ({"learning_rte": 0.1}, ScenarioError, r"'learning_rte' \(did you mean 'learning_rate'\?\)"),
    ],
)
def test_what_cannot_be_trained_is_told_when_the_environment_is_made(
    fields: dict[str, Any], error: type[SFLError], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_devices": 200}, "mini-batch of device 37 is 8 samples, but the device holds 7.*fewer devices"),
        ({"num_devices": 1500}, "1437 samples cannot give 1500 devices 1 each; take fewer devices"),
        (
            {"num_devices": 90, "partition": "dirichlet", "partition_concentration": 0.01, "batch_size": 15},
            r"left a device with fewer than 15 of 1437 samples.*Take a larger concentration",
        ),
        ({"num_devices": 100, "partition": "quantity-skew", "batch_size": 15}, "cannot give 100 devices 15 each"),
        ({"partition": "shards", "shards_per_device": 500}, "cannot give 3 devices 500 each"),
        (
            {"num_devices": 4, "data": toy(10)},
            "mini-batch of device 2 is 8 samples, but the device holds 7 of 'toy'. Take a smaller batch",
        ),
    ],
)
def test_too_little_data_for_the_devices_is_told_at_the_reset(fields: dict[str, Any], message: str) -> None:
    env = make(**fields)
    with pytest.raises(DataError, match=message):
        env.reset(seed=0)


@pytest.mark.parametrize("name", ["network", "data", "torch_device", "executor", "learner"])
def test_options_of_training_are_refused_where_nothing_is_trained(name: str) -> None:
    with pytest.raises(ScenarioError, match=f"{name} belongs to mode='accuracy', where networks are trained"):
        SFLEnv(**{name: "cpu"})


@pytest.mark.parametrize("num_envs", [2, 16])
def test_a_batched_environment_that_should_train_names_the_way(num_envs: int) -> None:
    with pytest.raises(ScenarioError, match=r"one network an environment: .*vectorization_mode='sync'"):
        SFLVectorEnv(num_envs, mode="accuracy")


def test_cuda_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="sees no CUDA device here; take 'auto' or 'cpu'"):
        make(torch_device="cuda")
    assert training_of(make(torch_device="auto")).device.type == "cpu"


def test_a_data_set_that_is_not_there_names_what_would_provide_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets  # type: ignore[import-untyped]  # has no types

    def offline(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("no network here")

    monkeypatch.delenv(DATA_DIRECTORY_VARIABLE, raising=False)
    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match=r"'cifar10' is not stored here and could not be downloaded.*SFL_DATA_DIR"):
        make(dataset="cifar10")
    with pytest.raises(DataError, match="given for the data set 'cifar10' is not there"):
        make(dataset="cifar10", dataset_path=str(tmp_path / "missing"))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"'cifar10' needs the extra 'datasets': pip install 'sfl-env\[datasets\]'"
    ):
        make(dataset="cifar10")


# Numbers that stop being numbers


def poison(env: SFLEnv) -> None:
    """Make a sample in fifty no number, as an overflow within the network would."""
    training_of(env).data.train_features[::50] = torch.nan


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_a_loss_that_becomes_no_number_names_round_and_device_and_changes_nothing(executor: str) -> None:
    env = make(executor=executor, batch_size=4, local_iterations=1)
    poison(env)
    good = failed = 0
    for seed in range(8):
        env.reset(seed=seed)
        for number in range(1, 9):
            before = env.state_dict()["episodes"]
            try:
                *_, info = env.step(env.action_space.sample())
            except TrainingError as error:
                message = str(error)
            else:
                good += 1
                assert np.isfinite(info["loss"])
                assert not same_weights(training_of(env).weights(), before["learner"]["weights"])
                continue
            failed += 1
            assert re.search(rf"loss of device [0-2] became nan in round {number}, iteration 1 of 1", message)
            after = env.state_dict()["episodes"]
            assert same_weights(after["learner"].pop("weights"), before["learner"].pop("weights"))
            assert torch.equal(after["learner"].pop("draws"), before["learner"].pop("draws"))
            after["learner"].pop("partition"), before["learner"].pop("partition")
            assert after == before
            with pytest.raises(TrainingError, match=re.escape(message)):  # it would draw the same samples again
                env.step(env.action_space.sample())
            break
    assert good
    assert failed


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_no_learning_rate_puts_anything_but_numbers_into_an_observation(executor: str) -> None:
    messages = set()
    for optimizer in ("sgd", "adam"):
        for rate in (1.0, 30.0, 1000.0):
            env = make(
                learning_rate=rate,
                optimizer=optimizer,
                local_iterations=1,
                executor=executor,
                target_accuracy=None,
            )
            env.reset(seed=0)
            for _ in range(8):
                before = training_of(env).weights()
                try:
                    observation, *_, info = env.step(at_cuts(env, [0, 0, 0]))
                except TrainingError as error:
                    messages.add(str(error))
                    assert same_weights(training_of(env).weights(), before)
                    break
                assert np.isfinite(info["loss"])
                assert env.observation_space.contains(observation)
    assert messages
    for message in messages:
        assert "round" in message
        assert "The weights of the round before are kept. Lower the learning rate." in message


def test_nothing_of_torch_is_needed_until_something_is_trained() -> None:
    code = (
        "import sys, gymnasium as gym, sfl_env\n"
        "env = gym.make('SFL-v0'); env.reset(seed=0)\n"
        "env.unwrapped.load_state_dict(env.unwrapped.state_dict()); env.step(env.action_space.sample())\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
