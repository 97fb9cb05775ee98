"""A round that fails leaves everything as it was, and says where the network failed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.errors import TrainingError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.sfl_env.learning.networks import K, plain, same, small, toy_data, with_dropout, with_statistics

pytestmark = pytest.mark.usefixtures("one_thread")

CUTS = [0, 1, 2, 0]


class Trap(nn.Module):
    """Fails while it is set, in training or in evaluation; draws in training."""

    when: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        if Trap.when == ("training" if self.training else "evaluation"):
            raise OSError("the disk is full")
        return x + 0.1 * torch.rand_like(x) if self.training else x


def trapped() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(Trap(), nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def trap() -> Callable[[str | None], None]:
    def set_to(when: str | None) -> None:
        Trap.when = when

    set_to(None)
    return set_to


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("schedule", ["parallel", "sequence"])
@pytest.mark.parametrize("when", ["training", "evaluation"])
def test_after_a_failed_round_the_next_one_is_what_it_would_have_been(
    when: str, schedule: str, executor: str, trap: Callable[[str | None], None]
) -> None:
    failing, undisturbed = (small(trapped, executor=executor, schedule=schedule) for _ in range(2))
    for training in (failing, undisturbed):
        training.reset(2)
        training.run_round(CUTS)
    before, global_draws = failing.state_dict(), torch.get_rng_state()
    trap(when)
    with pytest.raises(TrainingError, match=r"round 2, in module '1.0' on \d+ sample.*OSError: the disk is full"):
        failing.run_round([2, 2, 1, 1])
    trap(None)
    after = failing.state_dict()
    assert after["round"] == before["round"] == 1
    assert same(after["weights"], before["weights"])
    assert torch.equal(after["draws"], before["draws"])
    assert torch.equal(torch.get_rng_state(), global_draws)
    for _ in range(2):
        one, other = failing.run_round(CUTS), undisturbed.run_round(CUTS)
        assert one.score == other.score
        assert np.array_equal(one.device_loss, other.device_loss)
    assert same(failing.weights(), undisturbed.weights())


def test_a_round_that_diverges_can_be_done_again_without_the_device_that_did() -> None:
    data = toy_data()
    training, other = (
        SplitFederatedTraining(plain, data, scheme("iid", K), LocalTraining(2, 4), device="cpu") for _ in range(2)
    )
    for each in (training, other):
        each.reset(0)
    bad = torch.as_tensor(training.partition.indices[1])
    training.data.train_features[bad] = torch.nan
    with pytest.raises(TrainingError, match="device 1 became nan in round 1"):
        training.run_round(CUTS)
    active = [True, False, True, True]
    training.run_round(CUTS, active)
    clean = toy_data()
    other.data.train_features.copy_(clean.train_features)
    other.run_round(CUTS, active)
    assert same(training.weights(), other.weights())


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_what_a_network_refuses_in_training_names_round_and_block(executor: str) -> None:
    training = small(with_statistics, batch_size=1, executor=executor)
    training.reset(0)
    with pytest.raises(TrainingError, match=r"round 1, in module '1' on 1 sample\(s\): ValueError: Exp"):
        training.run_round([0] * K)


def test_a_function_that_fails_or_returns_another_network_is_told() -> None:
    made: Any = iter(
        [plain, plain, lambda: 1 / 0, lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))]
    )
    training = small(lambda: next(made)())
    training.reset(0)
    before = training.state_dict()
    for message in ("failed when it was made: ZeroDivisionError", "network returned another network than before"):
        with pytest.raises(TrainingError, match=message):
            training.reset(1)
        assert same(training.weights(), before["weights"])
        assert torch.equal(training.state_dict()["draws"], before["draws"])


@pytest.mark.parametrize(
    "mode",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("network", [plain, with_dropout])
def test_modes_that_the_caller_has_switched_on_change_nothing(
    network: Callable[[], nn.Module], executor: str, mode: Callable[[], AbstractContextManager[object]]
) -> None:
    usual = small(network, executor=executor)
    usual.reset(1)
    expected = [usual.run_round(CUTS).score for _ in range(2)]
    with mode():
        other = small(network, executor=executor)
        other.reset(1)
        assert [other.run_round(CUTS).score for _ in range(2)] == expected
        other.load_state_dict(other.state_dict())
    assert other.run_round(CUTS).score == usual.run_round(CUTS).score


def test_an_environment_steps_under_no_grad() -> None:
    env = gym.make("SFL-Accuracy-v0", num_devices=3, torch_device="cpu")
    env.reset(seed=0)
    with torch.no_grad():
        *_, info = env.step(env.action_space.sample())
    assert np.isfinite(info["loss"])


@pytest.mark.parametrize(
    ("cut", "active", "message"),
    [
        ([[0], [0, 1], [0], [0]], None, "cut is .*one value for each device"),
        ([0] * K, [0.0, 1.0, np.nan, 1.0], "active has dtype float64; it has to be bool"),
        (["a"] * K, None, "cuts are whole numbers"),
        ([2**63] * K, None, "it has to be from 0 to"),
    ],
)
def test_what_is_no_decision_is_refused(cut: object, active: object, message: str) -> None:
    training = small()
    training.reset(0)
    with pytest.raises(TrainingError, match=message):
        training.run_round(cut, active)  # type: ignore[arg-type]  # the mistake under test
    assert training.round == 0


class Counting(nn.Module):
    """Counts its calls in a buffer, in evaluation too, and computes with the count."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1.0)
        scores: Tensor = self.layer(x) * self.calls
        return scores


def counting() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), Counting())


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("network", [plain, with_dropout, with_statistics, counting])
def test_a_training_goes_back_to_a_mark(network: Callable[[], nn.Module], executor: str) -> None:
    training, undisturbed = (small(network, executor=executor) for _ in range(2))
    cuts = [cut % training.num_cuts for cut in CUTS]
    for each in (training, undisturbed):
        each.reset(2)
        each.run_round(cuts)
    mark = training.mark()
    training.run_round(cuts, [False] * K)  # after which the weights are those before
    training.run_round(cuts)
    training.reset(7)
    training.run_round(cuts)
    training.go_back(mark)
    assert training.round == 1
    for _ in range(2):
        one, other = training.run_round(cuts), undisturbed.run_round(cuts)
        assert one.score == other.score
    assert same(training.weights(), undisturbed.weights())


def test_an_evaluation_changes_nothing_that_the_next_one_computes_with() -> None:
    training = small(counting)
    training.reset(0)
    before = training.weights()
    first, second = training.evaluate(), training.evaluate()
    assert first == second
    assert same(training.weights(), before)
