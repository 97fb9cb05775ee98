"""One server model trains as a loop by hand does, with layers that some samples pass by included."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.learning import LocalTraining
from sfl_env.learning.executors.fused import FusedExecutor
from sfl_env.learning.executors.message_passing import MessagePassingExecutor
from sfl_env.learning.plan import RoundPlan
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import TOLERANCE, K, User, distance, outcome

pytestmark = pytest.mark.usefixtures("one_thread")


class Experts(Body):
    """Sends each sample through one of some layers, so that a mini-batch leaves some of them out."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.router = nn.Linear(8, 4)

    def between(self, h: Tensor) -> Any:
        share = self.router(h).softmax(-1)
        chosen, mixed = share.argmax(-1), torch.zeros_like(h)
        for index, expert in enumerate(self.experts):
            mine = chosen == index
            if mine.any():
                mixed[mine] = expert(h[mine]) * share[mine, index : index + 1]
        return h + mixed


class OneOfTwo(Body):
    """Takes one branch or the other for a whole mini-batch."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)

    def between(self, h: Tensor) -> Any:
        return (self.one if float(h.detach().sum()) > 0.0 else self.other)(h)


def by_hand(user: User, plan: RoundPlan, local: LocalTraining) -> dict[str, Tensor]:
    """A round with torch's own optimisers: one for each device's side, one for the server's single copy."""
    split, data = user.split(), user.data()
    networks = [user.network() for _ in range(K)]
    one = dict(user.network().named_parameters())
    on_device = [{name for name in one if split.block[name] <= cut} for cut in plan.cut.tolist()]
    at_server = [name for name in one if any(name not in own for own in on_device)]
    weight = {
        name: sum(float(n) for n, own in zip(plan.samples, on_device, strict=True) if name not in own)
        for name in at_server
    }
    devices = [
        local.make_optimizer([parameter for name, parameter in network.named_parameters() if name in own])
        for network, own in zip(networks, on_device, strict=True)
    ]
    server = local.make_optimizer([one[name] for name in at_server])
    for iteration in range(plan.iterations):
        server.zero_grad()
        for k, network in enumerate(networks):
            network.zero_grad()
            batch = plan.batches[k][iteration]
            functional.cross_entropy(network(data.train_features[batch]), data.train_labels[batch]).backward()
            devices[k].step()
            for name, parameter in network.named_parameters():
                if name not in on_device[k] and parameter.grad is not None:
                    share = parameter.grad * float(plan.samples[k]) / weight[name]
                    one[name].grad = share if (total := one[name].grad) is None else total + share
        server.step()
        for network, own in zip(networks, on_device, strict=True):
            for name, parameter in network.named_parameters():
                if name not in own:
                    parameter.data.copy_(one[name].data)
    shares = plan.samples / plan.samples.sum()
    copies = [dict(network.named_parameters()) for network in networks]
    return {
        name: sum((s * own[name].detach() for s, own in zip(shares, copies, strict=True)), torch.zeros(()))
        for name in one
    }


@pytest.mark.parametrize("make", [Experts, OneOfTwo])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_layer_is_left_alone_where_the_server_has_no_gradient_of_it(make: Any, optimizer: Any) -> None:
    user = User(make, batches=(2, 2, 2))
    split = user.split()
    iterations = 6
    local = LocalTraining(iterations, 2, server="parallel-sl", optimizer=optimizer)
    last = split.num_cuts - 1
    generator = torch.Generator().manual_seed(2)
    batches = tuple(torch.randint(0, 48, (iterations, 2), generator=generator) for _ in range(K))
    for cuts in ([last, 0, last], [0, last, 0]):
        plan = user.plan(cuts)._replace(batches=batches)
        wanted = by_hand(user, plan, local)
        for executor in (FusedExecutor, MessagePassingExecutor):
            got = outcome(executor(split, user.data(), local), split.network, plan, rounds=1).weights
            assert distance(got, wanted) < TOLERANCE, (executor.__name__, cuts)
