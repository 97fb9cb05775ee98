"""The weights that an environment trains go into a network of the user's own."""

from typing import Any

import gymnasium as gym
import pytest
import torch
from torch import nn
from torch.nn import functional

from sfl_env import SFLEnv
from sfl_env.dnn import catalogue
from sfl_env.errors import StateError
from sfl_env.learning import Score, TensorData

LABELS = torch.arange(48) % 3
FEATURES = torch.rand(48, 6, generator=torch.Generator().manual_seed(0))
DATA = TensorData("mine", FEATURES, LABELS, FEATURES[:30] * 1.1, LABELS[:30], 3)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


class Tied(nn.Module):
    """With one layer under two names, and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.inner, self.head = (
            nn.Linear(6, 8),
            nn.BatchNorm1d(8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )
        self.again = self.inner

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.again(self.inner(self.norm(self.first(x)).relu()).relu()))


OWN: dict[str, Any] = {
    "mode": "accuracy",
    "network": network,
    "data": DATA,
    "num_devices": 2,
    "batch_size": 4,
    "torch_device": "cpu",
}


def accuracy(own: nn.Module, weights: dict[str, Any]) -> float:
    own.load_state_dict(weights)
    own.eval()
    with torch.no_grad():
        return float((own(DATA.test_features).argmax(dim=1) == DATA.test_labels).float().mean())


def loss(own: nn.Module) -> float:
    with torch.no_grad():
        return float(functional.cross_entropy(own(DATA.test_features), DATA.test_labels))


@pytest.mark.parametrize("make", [network, Tied])
def test_they_give_the_accuracy_that_the_infos_tell(make: Any) -> None:
    env = gym.make("SFL-v0", **OWN | {"network": make})
    _, info = env.reset(seed=0)
    own = make()
    for _ in range(3):
        assert accuracy(own, env.get_wrapper_attr("weights")()) == pytest.approx(info["accuracy"], abs=1e-6)
        assert loss(own) == pytest.approx(info["loss"], rel=1e-5)
        *_, info = env.step(env.action_space.sample())


def test_they_are_copies() -> None:
    env: Any = gym.make("SFL-v0", **OWN).unwrapped
    env.reset(seed=0)
    for tensor in env.weights().values():
        tensor.zero_()
    assert any(tensor.any() for tensor in env.weights().values())


@pytest.mark.parametrize("way", ["sync", "async"])
def test_each_environment_of_a_vector_gives_its_own(way: str) -> None:
    envs = gym.make_vec("SFL-v0", num_envs=2, vectorization_mode=way, **OWN)
    try:
        envs.reset(seed=0)
        *_, infos = envs.step(envs.action_space.sample())
        told = [accuracy(network(), weights) for weights in envs.call("weights")]  # type: ignore[attr-defined]
    finally:
        envs.close()
    assert told == pytest.approx(list(infos["accuracy"]), abs=1e-6)


class Counting:
    """A learner of one's own."""

    profile = catalogue.load("lenet5")
    rounds = 0

    def reset(self, seed: int) -> Score:
        self.rounds = 0
        return Score(0.1, 2.0)

    def run_round(self, cut: Any, takes_part: Any) -> Score:
        self.rounds += 1
        return Score(0.2, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rounds = state["rounds"]


class Giving(Counting):
    def weights(self) -> dict[str, Any]:
        return {"rounds": self.rounds}


def test_a_learner_of_ones_own_gives_its_own() -> None:
    env: Any = gym.make("SFL-v0", mode="accuracy", learner=Giving()).unwrapped
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.weights() == {"rounds": 1}


@pytest.mark.parametrize(
    ("env", "is_reset", "words"),
    [
        (lambda: SFLEnv(), True, "mode='accuracy' alone"),
        (lambda: SFLEnv(), False, "mode='accuracy' alone"),
        (lambda: SFLEnv(**OWN), False, "call reset first"),
        (lambda: SFLEnv(mode="accuracy", learner=Counting()), True, "Counting, which has no method weights"),
    ],
)
def test_where_there_are_none_it_is_told_why(env: Any, is_reset: bool, words: str) -> None:
    made = env()
    if is_reset:
        made.reset(seed=0)
    with pytest.raises(StateError, match=words):
        made.weights()
