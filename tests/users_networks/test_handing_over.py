"""At the cut one tensor is really handed over, and only its gradient comes back; one server model serves all."""

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from sfl_env.errors import SFLError
from sfl_env.learning.executors.message_passing import MessagePassingExecutor
from sfl_env.scenario import Server
from tests.users_networks.plain_loop import (
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
        blocks = [nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), self.act) for _ in range(3)]
        blocks[1][0].requires_grad_(False)
        self.blocks = nn.ModuleList(blocks)
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


@pytest.mark.parametrize("server", get_args(Server))
def test_every_cut_at_the_end_is_federated_averaging(server: Any) -> None:
    split = USER.split()
    last = [split.num_cuts - 1] * K
    for executor in (message_passing(USER, server), fused(USER, server=server), fused(USER, "loop", server)):
        assert distance(trained(executor, split.network, USER.plan(last)), federated(USER)) < TOLERANCE


def test_parallel_split_learning_has_one_model_that_steps_along_the_mean_gradient() -> None:
    split = USER.split()
    for cuts in cut_patterns(split.num_cuts):
        wanted = parallel_split_learning(cuts)
        for executor in (
            message_passing(USER, "parallel-sl"),
            fused(USER, server="parallel-sl"),
            fused(USER, "loop", "parallel-sl"),
        ):
            assert distance(trained(executor, split.network, USER.plan(cuts)), wanted) < TOLERANCE


def parallel_split_learning(cuts: list[int], rounds: int = 2) -> dict[str, Tensor]:
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
                    own = torch.stack([gradient for k in users if (gradient := held[k][name].grad) is not None])
                    mean = torch.tensordot(shares[users] / shares[users].sum(), own, dims=1)
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
    vars(split.network)["skip"] = True
    executor = MessagePassingExecutor(split, user.data(), user.local())
    with pytest.raises(SFLError, match="handed over none"):
        trained(executor, split.network, user.plan([1, 1, 1]))
