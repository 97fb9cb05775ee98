"""Trainings, learners and executors can be pickled and deep-copied, and the copies go on alike."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from sfl_env import Scenario
from sfl_env.dnn.split import as_chain
from sfl_env.errors import TrainingError
from sfl_env.learning import LocalTraining, ScenarioLearner, SplitFederatedTraining, scheme
from sfl_env.learning.executors.choice import Method
from sfl_env.learning.executors.fused import FusedExecutor
from tests.sfl_env.learning.networks import (
    K,
    plain,
    same,
    small,
    toy_data,
    with_dropout,
    with_noise,
    with_statistics,
)

pytestmark = pytest.mark.usefixtures("one_thread")

Copy = Callable[[Any], Any]
COPIES: list[Copy] = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]
CUTS = [0, 1, 1, 0]

copied = pytest.mark.parametrize("copied", COPIES, ids=["pickled", "deep-copied"])


@copied
@pytest.mark.parametrize("executor", ["fused", "message-passing"])
@pytest.mark.parametrize("network", [plain, with_dropout, with_noise, with_statistics])
def test_a_copied_training_goes_on_with_the_same_rounds(
    network: Callable[[], nn.Module], executor: str, copied: Copy
) -> None:
    training = small(network, executor=executor, schedule="sequence", dtype=torch.float64)
    training.reset(3)
    training.run_round(CUTS)
    other = copied(training)
    assert isinstance(other, SplitFederatedTraining)
    for _ in range(2):
        one, two = training.run_round(CUTS), other.run_round(CUTS)
        assert one.score == two.score
        assert np.array_equal(one.device_loss, two.device_loss)
    assert same(training.weights(), other.weights())
    other.reset(9)
    assert training.round == 3


@copied
def test_a_training_that_has_not_started_is_copied_as_such(copied: Copy) -> None:
    other = copied(small())
    with pytest.raises(TrainingError, match="has not started"):
        other.run_round(CUTS)
    other.reset(1)
    other.run_round(CUTS)


@copied
def test_a_copied_learner_goes_on_with_the_same_rounds(copied: Copy) -> None:
    learner = ScenarioLearner(Scenario(mode="accuracy", num_devices=3), torch_device="cpu")
    learner.reset(0)
    cut, everybody = np.array([0, 1, 2]), np.ones(3, dtype=np.bool_)
    learner.run_round(cut, everybody)
    other = copied(learner)
    assert other.profile == learner.profile
    assert other.run_round(cut, everybody) == learner.run_round(cut, everybody)


@copied
def test_a_copied_environment_in_accuracy_mode_goes_on_with_the_same_episode(copied: Copy) -> None:
    env = gym.make("SFL-Accuracy-v0", num_devices=3, torch_device="cpu")
    env.reset(seed=0)
    action = env.action_space.sample()
    env.step(action)
    other = copied(env)
    one, two = env.step(action), other.step(action)
    assert np.array_equal(one[0], two[0])
    assert one[1:4] == two[1:4]
    assert (one[4]["accuracy"], one[4]["loss"]) == (two[4]["accuracy"], two[4]["loss"])


@copied
@pytest.mark.parametrize("method", [None, *get_args(Method)])
def test_a_copied_executor_trains_alike(method: Method | None, copied: Copy) -> None:
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    training = small()
    training.reset(0)
    plan = training._plan(np.array([0, 0, 1, 1]))
    executor = FusedExecutor(as_chain(chain, (6,)), toy_data(), LocalTraining(iterations=2), method)
    weights = {name: tensor.detach().clone() for name, tensor in chain.state_dict().items()}
    before = executor.run(weights, plan)
    other = copied(executor)
    assert same(other.run(weights, plan).weights, before.weights)


def test_a_network_or_a_partition_that_cannot_be_pickled_is_named_and_can_still_be_copied() -> None:
    training = small(lambda: plain())
    training.reset(0)
    with pytest.raises(TrainingError, match=r"network cannot be pickled.*module's top level"):
        pickle.dumps(training)
    assert copy.deepcopy(training).run_round(CUTS).score == training.run_round(CUTS).score
    draw = scheme("iid", K)
    own = SplitFederatedTraining(
        partial(plain), toy_data(), lambda *a: draw(*a), LocalTraining(2, 4), device="cpu"
    )
    with pytest.raises(TrainingError, match="partition cannot be pickled"):
        pickle.dumps(own)
    with pytest.raises(TrainingError, match="network cannot be pickled"):
        pickle.dumps(
            ScenarioLearner(
                Scenario(mode="accuracy", num_devices=3),
                network=lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
                data=toy_data(),
            )
        )
