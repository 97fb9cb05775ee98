"""Training as a whole: accuracy, schemes, cuts that change, resuming, bad input."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest
import torch
from torch import nn

from sfl_env.dnn.networks import build
from sfl_env.errors import DataError, TrainingError
from sfl_env.learning.data import TensorData, from_datasets, load
from sfl_env.learning.federated import SplitFederatedTraining
from sfl_env.learning.machine import resolve_device
from sfl_env.learning.partition import scheme
from sfl_env.learning.plan import LocalTraining
from sfl_env.scenario import Server

K = 4

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> TensorData:
    return load("digits")


def small_network() -> nn.Sequential:
    """Five blocks that train in no time."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 16), nn.ReLU()),
        nn.Linear(16, 10),
    )


def small_training(
    digits: TensorData,
    network: Callable[[], nn.Module] = small_network,
    partition: Any = None,
    local: LocalTraining | None = None,
    **options: Any,
) -> SplitFederatedTraining:
    local = local or LocalTraining(iterations=2, batch_size=8)
    return SplitFederatedTraining(network, digits, partition or scheme("iid", K), local, device="cpu", **options)


def same_weights(left: SplitFederatedTraining, right: SplitFederatedTraining) -> bool:
    return all(torch.equal(tensor, right.weights()[name]) for name, tensor in left.weights().items())


def test_ten_devices_learn_the_digits(digits: TensorData) -> None:
    training = SplitFederatedTraining(
        lambda: build("digits-cnn"),
        digits,
        scheme("iid", 10),
        LocalTraining(iterations=8, batch_size=16, learning_rate=0.05),
    )
    training.reset(0)
    rng = np.random.default_rng(0)
    accuracy = max(training.run_round(rng.integers(0, training.num_cuts, 10)).score.accuracy for _ in range(60))
    assert accuracy >= 0.97


def test_changing_cuts_between_rounds_never_changes_the_weights(digits: TensorData) -> None:
    """Bit for bit: the global weights know nothing of cuts, and a round without devices leaves them alone."""
    for executor in ("fused", "message-passing"):
        training = small_training(digits, executor=executor)
        training.reset(0)
        training.run_round([0, 1, 2, 3])
        before, evaluation = training.weights(), training.evaluate()
        for cut in range(training.num_cuts):
            result = training.run_round([cut] * K, active=[False] * K)
            assert result.score == evaluation
            assert np.isnan(result.train_loss)
        assert all(torch.equal(before[name], tensor) for name, tensor in training.weights().items())


def test_splitfed_v1_makes_cuts_a_matter_of_latency_alone(digits: TensorData) -> None:
    left, right = small_training(digits), small_training(digits)
    left.reset(3)
    right.reset(3)
    for cuts in ([0, 0, 0, 0], [3, 2, 1, 0]):
        left.run_round([3] * K)
        right.run_round(cuts)
    assert same_weights(left, right)


@pytest.mark.parametrize("server", ["parallel-sl", "splitfed-v2", "adaptsfl"])
def test_one_server_model_makes_cuts_matter(digits: TensorData, server: Any) -> None:
    local = LocalTraining(iterations=2, batch_size=8, server=server)
    left, right = (small_training(digits, local=local) for _ in range(2))
    left.reset(3)
    right.reset(3)
    left.run_round([3] * K)
    right.run_round([0] * K)
    assert not same_weights(left, right)


def test_the_same_seed_gives_the_same_episode_and_another_seed_another(digits: TensorData) -> None:
    training = small_training(digits, local=LocalTraining(iterations=2, batch_size=8, optimizer="adam"))
    runs = []
    for seed in (5, 5, 6):
        training.reset(seed)
        runs.append([training.run_round([0, 1, 2, 3]) for _ in range(2)])
    first, second, other = runs
    assert [r.score for r in first] == [r.score for r in second]
    assert all(np.array_equal(a.device_loss, b.device_loss) for a, b in zip(first, second, strict=True))
    assert first[0].score != other[0].score


@pytest.mark.parametrize("seed", [-1, 0.5, "7", None])
def test_what_is_no_seed_is_called_one(digits: TensorData, seed: Any) -> None:
    with pytest.raises(TrainingError, match=r"^seed is "):
        small_training(digits).reset(seed)


def after_one_device(training: Any, state: Any, weights: Any, device: int) -> Any:
    """The weights after that device alone has trained in the round that follows the state."""
    training.load_state_dict({**state, "weights": weights})
    training.run_round([1] * K, active=np.arange(K) == device)
    return training.weights()


def test_whoever_is_left_out_does_not_enter_the_average(digits: TensorData) -> None:
    training = small_training(digits, partition=scheme("quantity-skew", K, concentration=1.0, min_samples=8))
    training.reset(0)
    state, start = training.state_dict(), training.weights()
    result = training.run_round([1] * K, active=[True, False, True, False])
    assert np.isnan(result.device_loss).tolist() == [False, True, False, True]
    together = training.weights()
    first, third = (after_one_device(training, state, start, device) for device in (0, 2))
    share = training.partition.sizes[0] / training.partition.sizes[[0, 2]].sum()
    for name, tensor in together.items():
        assert torch.allclose(tensor, share * first[name] + (1.0 - share) * third[name], atol=1e-6)


def test_one_device_with_all_data_is_centralised_training(digits: TensorData) -> None:
    """The same code, K = 1: plain SGD, whatever the cut and the kind of server."""
    weights = []
    for server, cut in (("splitfed-v1", 3), ("parallel-sl", 0), ("splitfed-v2", 1), ("adaptsfl", 1)):
        local = LocalTraining(iterations=3, batch_size=32, server=cast(Any, server))
        training = small_training(digits, partition=scheme("iid", 1), local=local)
        training.reset(0)
        training.run_round([cut])
        weights.append(training.weights())
    for other in weights[1:]:
        assert all(torch.allclose(weights[0][name], tensor, atol=1e-6) for name, tensor in other.items())


def test_in_sequence_each_device_goes_on_from_the_one_before(digits: TensorData) -> None:
    """Split learning: the round of all devices is the rounds of each by itself, one after another."""
    training = small_training(digits, schedule="sequence")
    training.reset(0)
    state, expected = training.state_dict(), training.weights()
    training.run_round([1] * K)
    in_sequence = training.weights()
    for device in range(K):
        expected = after_one_device(training, state, expected, device)
    assert all(torch.allclose(in_sequence[name], tensor, atol=1e-6) for name, tensor in expected.items())


def test_in_sequence_the_kind_of_server_makes_no_difference(digits: TensorData) -> None:
    """Split learning: one device at a time trains with the server, which has one model."""
    weights = []
    for server in get_args(Server):
        local = LocalTraining(iterations=2, batch_size=8, server=server)
        training = small_training(digits, local=local, schedule="sequence", dtype=torch.float64)
        training.reset(0)
        training.run_round([1] * K)
        weights.append(training.weights())
    for other in weights[1:]:
        assert all(torch.allclose(weights[0][name], tensor, atol=1e-10) for name, tensor in other.items())


def test_all_schemes_draw_the_same_data_from_a_seed_round_after_round(digits: TensorData) -> None:
    draws = []
    for server in get_args(Server):
        training = small_training(digits, local=LocalTraining(iterations=2, batch_size=8, server=server))
        training.reset(4)
        training.run_round([1] * K)
        draws.append(training.state_dict()["draws"])
    assert all(torch.equal(draws[0], other) for other in draws[1:])


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_turns_in_random_order_go_on_alike_after_a_break(digits: TensorData, executor: Any) -> None:
    local = LocalTraining(iterations=2, batch_size=8, server="splitfed-v2")
    whole, resumed = (small_training(digits, local=local, executor=executor) for _ in range(2))
    whole.reset(5)
    whole.run_round([0, 1, 2, 3])
    resumed.load_state_dict(whole.state_dict())
    for training in (whole, resumed):
        training.run_round([0, 1, 0, 1], active=[True, True, False, True])
    left, right = whole.weights(), resumed.weights()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_both_executors_train_alike_and_one_counts_bits(digits: TensorData) -> None:
    local = LocalTraining(iterations=2, batch_size=(4, 6, 8, 10), server="parallel-sl")
    results = {}
    for executor in ("fused", "message-passing"):
        training = small_training(digits, local=local, executor=executor, dtype=torch.float64)
        training.reset(1)
        results[executor] = training.run_round([0, 1, 2, 3], active=[True, True, False, True])
    fused, split = results["fused"], results["message-passing"]
    assert fused.score.loss == pytest.approx(split.score.loss, abs=1e-9)
    assert np.allclose(fused.device_loss, split.device_loss, atol=1e-9, equal_nan=True)
    assert fused.uplink_bits is None
    assert split.uplink_bits is not None
    assert split.downlink_bits is not None
    assert split.uplink_bits[2] == split.downlink_bits[2] == 0
    assert (split.uplink_bits[[0, 1]] > split.downlink_bits[[0, 1]]).all()  # labels go up alone
    assert split.uplink_bits[3] == split.downlink_bits[3]  # nothing is offloaded: the model both ways


def test_a_run_that_stopped_goes_on_as_if_it_had_not(digits: TensorData, tmp_path: Path) -> None:
    through, stopped = (small_training(digits, network=with_dropout) for _ in range(2))
    through.reset(9)
    stopped.reset(9)
    for _ in range(2):
        through.run_round([0, 1, 2, 3])
        stopped.run_round([0, 1, 2, 3])
    torch.save(stopped.state_dict(), tmp_path / "state.pt")
    resumed = small_training(digits, network=with_dropout)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(2):
        through.run_round([3, 2, 1, 0])
        resumed.run_round([3, 2, 1, 0])
    assert resumed.round == 4
    assert same_weights(through, resumed)


def with_dropout() -> nn.Sequential:
    network = small_network()
    cast(nn.Sequential, network[2]).append(nn.Dropout(0.3))
    return network


KILLED_RUN = """
import os, sys, torch
torch.set_num_threads(1)
from torch import nn
from sfl_env.learning.data import load
from sfl_env.learning.partition import scheme
from sfl_env.learning.plan import LocalTraining
from sfl_env.learning.federated import SplitFederatedTraining
path, rounds = sys.argv[1], int(sys.argv[2])
training = SplitFederatedTraining(
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    load("digits"), scheme("dirichlet", 4, concentration=0.5, min_samples=8),
    LocalTraining(iterations=200, batch_size=8), device="cpu")
if os.path.exists(path):
    training.load_state_dict(torch.load(path, weights_only=True))
else:
    training.reset(4)
while training.round < rounds:
    training.run_round([0, 1, 0, 1])
    torch.save(training.state_dict(), path + ".part")
    os.replace(path + ".part", path)
    print(training.round, flush=True)
"""


@pytest.mark.slow
def test_a_run_killed_in_the_middle_of_a_round_ends_with_the_same_weights(tmp_path: Path) -> None:
    through, killed = tmp_path / "through.pt", tmp_path / "killed.pt"
    subprocess.run([sys.executable, "-c", KILLED_RUN, through, "6"], check=True, capture_output=True)
    victim = subprocess.Popen([sys.executable, "-c", KILLED_RUN, killed, "6"], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    while victim.stdout.readline().strip() != "3":
        pass
    time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert torch.load(killed, weights_only=True)["round"] < 6
    subprocess.run([sys.executable, "-c", KILLED_RUN, killed, "6"], check=True, capture_output=True)
    left, right = (torch.load(path, weights_only=True) for path in (through, killed))
    assert left["round"] == right["round"] == 6
    assert all(torch.equal(tensor, right["weights"][name]) for name, tensor in left["weights"].items())


def test_the_histogram_shows_what_each_device_holds(digits: TensorData) -> None:
    training = small_training(digits)
    training.reset(0)
    assert training.label_histogram().sum() == 1437
    assert training.label_histogram().shape == (K, 10)


def test_evaluation_in_parts_is_evaluation_at_once(digits: TensorData, monkeypatch: pytest.MonkeyPatch) -> None:
    training = small_training(digits)
    training.reset(0)
    at_once = training.evaluate()
    monkeypatch.setattr("sfl_env.learning.evaluation.SAMPLES_AT_A_TIME", 100)
    assert training.evaluate().accuracy == at_once.accuracy
    assert training.evaluate().loss == pytest.approx(at_once.loss, rel=1e-6)


def test_a_round_that_diverges_leaves_the_last_good_weights(digits: TensorData) -> None:
    training = small_training(digits, local=LocalTraining(iterations=4, batch_size=8, learning_rate=1e30))
    training.reset(0)
    before = training.weights()
    with pytest.raises(TrainingError, match=r"device \d.* round 1.* Lower the learning rate"):
        training.run_round([0] * K)
    assert training.round == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in training.weights().items())


def test_a_users_own_dataset_and_module_with_a_branch_can_be_trained() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> Any:
            x = torch.relu(self.first(x))
            return self.last(x + torch.relu(self.inner(x)))

    rng = torch.Generator().manual_seed(0)
    features = torch.randn(90, 6, generator=rng)
    pairs = torch.utils.data.TensorDataset(features, features[:, :3].argmax(dim=1))
    training = small_training(from_datasets(pairs, pairs), network=Branching)
    training.reset(0)
    first = training.run_round([0] * K).score.loss
    for _ in range(20):
        last = training.run_round([0, 0, training.num_cuts - 1, 1]).score.loss
    assert last < first


@pytest.mark.parametrize(
    ("cut", "active", "message"),
    [
        ([0, 0, 0], None, r"cut has shape \(3,\); it has to be \(4,\)"),
        ([0, 0, 4, 0], None, "cut of device 2 is 4; it has to be from 0 to 3"),
        ([0.5, 0, 0, 0], None, "cuts are whole numbers"),
        ([0, 0, 0, 0], [True], r"active has shape \(1,\)"),
    ],
)
def test_an_impossible_decision_is_refused(digits: TensorData, cut: Any, active: Any, message: str) -> None:
    training = small_training(digits)
    training.reset(0)
    with pytest.raises(TrainingError, match=message):
        training.run_round(cut, active)


def test_what_cannot_be_trained_is_refused(digits: TensorData) -> None:
    pairs = torch.utils.data.TensorDataset(torch.zeros(6, 1, 8, 8), torch.tensor([0, 1, 2] * 2))
    three = from_datasets(pairs, pairs, name="toy")
    with pytest.raises(TrainingError, match=r"output has shape \(10,\).*'toy' has 3 classes"):
        small_training(three)
    training = small_training(digits, partition=scheme("iid", 50), local=LocalTraining(batch_size=29))
    with pytest.raises(DataError, match="mini-batch of device 37 is 29 samples, but the device holds 28"):
        training.reset(0)
    training = small_training(digits, local=LocalTraining(batch_size=(8, 8)))
    with pytest.raises(TrainingError, match="batch_size has 2 entries for 4 devices"):
        training.reset(0)
    with pytest.raises(TrainingError, match="has not started"):
        training.run_round([0] * K)
    with pytest.raises(TrainingError, match="executor is 'quick'; it has to be one of fused, message-passing"):
        small_training(digits, executor="quick")
    stored = small_training(digits)
    stored.reset(0)
    with pytest.raises(TrainingError, match="belongs to another network"):
        small_training(digits, network=lambda: build("digits-cnn")).load_state_dict(stored.state_dict())


def test_cuda_that_is_not_there_and_unknown_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(TrainingError, match="sees no CUDA device"):
        resolve_device("cuda")
    for unknown in ("gpu", "meta"):
        with pytest.raises(TrainingError, match=f"device is '{unknown}'"):
            resolve_device(unknown)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iterations", 0),
        ("batch_size", 0),
        ("batch_size", (4, 0)),
        ("server", "both"),
        ("optimizer", "rmsprop"),
        ("learning_rate", float("nan")),
        ("momentum", 1.0),
        ("weight_decay", -1.0),
    ],
)
def test_a_setting_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(TrainingError, match=f"{field}( of device 1)? is "):
        LocalTraining(**{field: value})
