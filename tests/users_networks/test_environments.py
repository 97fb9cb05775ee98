"""Data in the forms that users have it, and environments that train on it."""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import sfl_env
from sfl_env.errors import SFLError
from sfl_env.learning.data import from_datasets

pytestmark = pytest.mark.usefixtures("one_thread")


class Rows(torch.utils.data.Dataset[Any]):
    def __init__(self, label: Any) -> None:
        self.label = label

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return np.full((1, 4), index, np.float32), self.label(index % 2)


@pytest.mark.parametrize(
    "label",
    [
        int,
        np.int32,
        lambda i: np.array([i]),
        lambda i: torch.tensor([i]),
        lambda i: torch.tensor(i, dtype=torch.uint8),
        lambda i: torch.eye(2)[i],
        lambda i: [1.0, 0.0] if i == 0 else [0.0, 1.0],
    ],
    ids=["int", "NumPy int", "array of one", "tensor of one", "uint8", "one-hot", "one-hot list"],
)
def test_labels_of_all_usual_forms_are_classes(label: Any) -> None:
    data = from_datasets(Rows(label), Rows(label))
    assert data.train_labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.num_classes == 2


@pytest.mark.parametrize("label", [lambda i: None, lambda i: 0.5 + i, lambda i: object(), lambda i: {"a": i}])
def test_labels_that_are_no_classes_are_told(label: Any) -> None:
    with pytest.raises(SFLError):
        from_datasets(Rows(label), Rows(label))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_environment_trains_whatever_mode_its_caller_is_in(mode: Any) -> None:
    env = gym.make("SFL-Accuracy-v0", num_devices=2)
    env.reset(seed=0)
    with mode():
        *_, info = env.step(env.action_space.sample())
    assert np.isfinite(info["loss"])
    again = pickle.loads(pickle.dumps(env))
    assert again.observation_space == env.observation_space


@pytest.mark.parametrize("name", ["SFL-v0", "SFL-Accuracy-v0"])
@pytest.mark.parametrize("what", ["step", "observed_problem"])
def test_what_needs_an_episode_says_so(name: str, what: str) -> None:
    env: Any = gym.make(name, num_devices=2).unwrapped
    with pytest.raises(sfl_env.errors.SFLError, match="reset"):
        env.step(env.action_space.sample()) if what == "step" else env.observed_problem()
