"""At the cut one tensor is really handed over, and only its gradient comes back; shared servers share it."""

import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sfl_env
from sfl_env.errors import SFLError
from sfl_env.learning.data import from_datasets
from sfl_env.learning.executors.message_passing import MessagePassingExecutor
from tests.sfl_env.users_networks.plain_loop import (
    TOLERANCE,
    K,
    User,
    cut_patterns,
    distance,
    federated,
    fused,
    message_passing,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class Shortcut(nn.Module):
    """A residual network with a normalisation, a reused activation, a tied weight and a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Linear(6, 8), nn.Tanh()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), self.act) for _ in range(3))
        self.blocks[1][0].requires_grad_(False)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = self.act(self.first(x))
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)


USER = User(Shortcut)


def test_a_server_without_the_received_tensors_gradient_leaves_the_device_untrained() -> None:
    split = USER.split()
    x = USER.data().train_features[:4]
    for cut in range(split.num_cuts - 1):
        split.network.zero_grad(set_to_none=True)
        with split.handing_over(cut, lambda smashed: smashed.detach().requires_grad_()):
            split(x).sum().backward()
        for name, parameter in split.network.named_parameters():
            assert (parameter.grad is not None) == (split.block[name] > cut and parameter.requires_grad), name


def test_what_is_handed_over_is_all_that_the_server_knows() -> None:
    split = USER.split()
    one, other = USER.data().train_features[:8].split(4)
    for cut in range(split.num_cuts - 1):
        sent: list[Tensor] = []
        with split.handing_over(cut, lambda smashed, sent=sent: sent.append(smashed) or smashed):  # type: ignore[misc]  # mypy infers no lambda with defaults
            wanted = split(one)
        with split.handing_over(cut, lambda smashed, sent=sent: sent[0]):  # type: ignore[misc]  # the same
            assert torch.equal(split(other), wanted), split.cuts[cut].name


@pytest.mark.parametrize("server", ["replicated", "shared"])
def test_every_cut_at_the_end_is_federated_averaging(server: Any) -> None:
    split = USER.split()
    last = [split.num_cuts - 1] * K
    for executor in (message_passing(USER, server), fused(USER, server=server), fused(USER, "loop", server)):
        assert distance(trained(executor, split.network, USER.plan(last)), federated(USER)) < TOLERANCE


def test_a_shared_server_is_one_model_that_steps_along_the_mean_gradient() -> None:
    split = USER.split()
    for cuts in cut_patterns(split.num_cuts):
        wanted = shared_server(cuts)
        for executor in (
            message_passing(USER, "shared"),
            fused(USER, server="shared"),
            fused(USER, "loop", "shared"),
        ):
            assert distance(trained(executor, split.network, USER.plan(cuts)), wanted) < TOLERANCE


def shared_server(cuts: list[int], rounds: int = 2) -> dict[str, Tensor]:
    """Whole copies of the user's module; gradients of what lies on the server are replaced by their mean."""
    data, plan, block = USER.data(), USER.plan(cuts), USER.split().block
    now = {name: tensor.detach().clone() for name, tensor in USER.network().state_dict().items()}
    shares = plan.samples / plan.samples.sum()
    for _ in range(rounds):
        copies = [USER.network() for _ in range(K)]
        for copy in copies:
            copy.load_state_dict(now)
        held = [{name: p for name, p in copy.named_parameters() if p.requires_grad} for copy in copies]
        steps = [torch.optim.SGD(own.values(), lr=0.05, momentum=0.9) for own in held]
        for iteration in range(plan.iterations):
            for copy, batches, step in zip(copies, plan.batches, steps, strict=True):
                step.zero_grad()
                rows = batches[iteration]
                nn.functional.cross_entropy(copy(data.train_features[rows]), data.train_labels[rows]).backward()
            for name in held[0]:
                users = [k for k in range(K) if cuts[k] < block[name]]
                if users:
                    total = sum(shares[k] for k in users)
                    mean = sum(shares[k] * held[k][name].grad for k in users) / total
                    for k in users:
                        held[k][name].grad = mean.clone()
            for step in steps:
                step.step()
        states = [copy.state_dict() for copy in copies]
        now = {
            name: sum(share * own[name] for share, own in zip(shares, states, strict=True))
            if now[name].is_floating_point()
            else torch.stack([own[name] for own in states]).amax(0)
            for name in now
        }
    return now


def test_a_cut_that_a_run_does_not_come_by_is_told() -> None:
    class Changes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.middle, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.skip: Any = False

        def forward(self, x: Tensor) -> Any:
            h = torch.tanh(self.first(x))
            return self.last(h if self.skip else torch.tanh(self.middle(h)))

    user = User(Changes)
    split = user.split()
    split.network.skip = True
    executor = MessagePassingExecutor(split, user.data(), user.local())
    with pytest.raises(SFLError, match="handed over nothing"):
        trained(executor, split.network, user.plan([1, 1, 1]))


# Data, environments.


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
