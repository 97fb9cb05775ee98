"""Networks whose numbers, or chance, decide what runs."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.learning import TensorData
from tests.sfl_env.users_networks.bodies import Body
from tests.sfl_env.users_networks.plain_loop import (
    CLASSES,
    K,
    User,
    assert_is_the_users_own,
    message_passing,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class RandomDepth(nn.Module):
    """Leaves whole layers out by chance, which PyTorch, Python or NumPy decides."""

    def __init__(self, draw: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.draw = draw

    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        for layer in self.layers:
            if not self.training or self.draw() > 0.5:
                h = h + torch.tanh(layer(h))
        return self.last(h)


CHANCE = {
    "torch": lambda: torch.rand(()).item(),
    "python": lambda: random.random(),
    "numpy": lambda: np.random.rand(),  # noqa: NPY002
}


@pytest.mark.parametrize("name", CHANCE)
def test_random_depth_leaves_the_cuts_that_every_run_has(name: str) -> None:
    user = User(lambda: RandomDepth(CHANCE[name]))
    split = user.split()
    assert split.num_cuts >= 2
    network = split.network
    for pattern in ([0, split.num_cuts - 1, 0], [split.num_cuts - 2] * K):
        after = trained(message_passing(user), network, user.plan(pattern))
        assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
        assert not torch.equal(after["first.weight"], dict(network.named_parameters())["first.weight"])


def test_a_branch_that_the_numbers_choose_trains() -> None:
    class Routed(Body):
        def between(self, h: Tensor) -> Any:
            return h * 2.0 if float(h.detach().sum()) > 0.0 else h

    data = User(Routed).data()
    assert isinstance(data, TensorData)
    assert data.num_classes == CLASSES
    assert_is_the_users_own(User(Routed), by_hand=False)
