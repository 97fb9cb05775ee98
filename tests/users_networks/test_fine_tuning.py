"""A function may return the same network each time: its weights are the start, and it stays as it is."""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import nn

from sfl_env.learning import LocalTraining, SplitFederatedTraining, TensorData, scheme

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = torch.arange(32) % 3
FEATURES = torch.rand(32, 6, generator=torch.Generator().manual_seed(0))
DATA = TensorData("mine", FEATURES, LABELS, FEATURES, LABELS, 3)


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def with_a_frozen_start() -> nn.Module:
    network = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    network[0].requires_grad_(False)
    return network


def trained_on(network: nn.Module, dtype: torch.dtype = torch.float32, executor: Any = "fused") -> Any:
    return SplitFederatedTraining(
        lambda: network, DATA, scheme("iid", 2), LocalTraining(2, 4), executor=executor, device="cpu", dtype=dtype
    )


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("make", [plain, with_a_frozen_start])
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_each_reset_starts_from_its_weights(make: Callable[[], nn.Module], executor: str) -> None:
    mine = make()
    before = copy.deepcopy(mine.state_dict())
    training = trained_on(mine, executor=executor)
    for seed in (0, 1):
        training.reset(seed)
        assert same(training.weights(), before)
        training.run_round([0, 1])
        assert not same(training.weights(), before)
    assert same(mine.state_dict(), before)
    assert all(parameter.grad is None for parameter in mine.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("is_training", [True, False])
def test_it_keeps_its_type_and_mode(dtype: torch.dtype, is_training: bool) -> None:
    mine = with_a_frozen_start().to(dtype).train(is_training)
    before = copy.deepcopy(mine.state_dict())
    training = trained_on(mine)
    training.reset(0)
    training.run_round([0, 1])
    training.evaluate()
    assert all(parameter.dtype == dtype for parameter in mine.parameters())
    assert mine.training is is_training
    assert same(mine.state_dict(), before)
    assert training.weights()["0.weight"].dtype == torch.float32


def test_what_is_done_to_it_between_rounds_does_not_reach_the_training() -> None:
    def rounds(disturb: bool) -> dict[str, Any]:
        torch.manual_seed(0)
        mine = with_a_frozen_start()
        training = trained_on(mine)
        training.reset(0)
        for _ in range(2):
            training.run_round([0, 1])
            if disturb:
                mine.load_state_dict(training.weights())
                mine.eval().double()
        weights: dict[str, Any] = training.weights()
        return weights

    assert same(rounds(disturb=False), rounds(disturb=True))


def test_training_is_in_single_precision_unless_another_is_asked_for() -> None:
    for own in (torch.float32, torch.float64):
        for asked in (torch.float32, torch.float64):
            training = trained_on(plain().to(own), asked)
            training.reset(0)
            assert training.weights()["0.weight"].dtype == asked


def test_environments_start_from_its_weights_too() -> None:
    mine = plain().double().eval()
    env: Any = gym.make(
        "SFL-v0", mode="accuracy", network=lambda: mine, data=DATA, num_devices=2, batch_size=4, torch_device="cpu"
    )
    _, first = env.reset(seed=0)
    env.step(env.action_space.sample())
    _, again = env.reset(seed=1)
    assert first["loss"] == again["loss"]
    assert all(parameter.dtype == torch.float64 for parameter in mine.parameters())
    assert not mine.training
