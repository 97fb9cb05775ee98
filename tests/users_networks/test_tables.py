"""Tables that a network makes on first use and keeps outside itself: a profile leaves them whole."""

import functools
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import User, assert_is_the_users_own

pytestmark = pytest.mark.usefixtures("one_thread")


def rotation(length: int) -> Tensor:
    """Return a table as a rotary embedding has: numbers made of numbers."""
    angles = torch.outer(torch.arange(length, dtype=torch.float64), 10.0 ** -torch.arange(4.0).double())
    return torch.cat((angles.cos(), angles.sin()), dim=1)


def in_a_cached_function() -> nn.Module:
    @functools.lru_cache(None)
    def table(length: int) -> Tensor:
        return rotation(length)

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            return h + table(3)[2].to(h)

    return Net()


def in_a_global() -> nn.Module:
    kept: dict[str, Any] = {"torch": torch, "table": None}
    exec(  # a module of its own
        "def scaled(h):\n"
        "    global table\n"
        "    if table is None:\n"
        "        table = torch.arange(8, dtype=torch.float64) / 8\n"
        "    return h * table.to(h)\n",
        kept,
    )

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            return kept["scaled"](h)

    return Net()


def in_a_class() -> nn.Module:
    class Net(Body):
        tables: ClassVar[dict[int, Tensor]] = {}

        def between(self, h: Tensor) -> Any:
            if h.shape[1] not in self.tables:
                self.tables[h.shape[1]] = torch.tensor([0.5, 2.0] * 4)
            return h * self.tables[h.shape[1]]

    return Net()


def in_a_default() -> nn.Module:
    def table(length: int, made: dict[int, Tensor] = {}) -> Tensor:  # noqa: B006
        if length not in made:
            made[length] = torch.full((length, length), 0.25).triu(1)
        return made[length]

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            return h @ table(8).to(h)

    return Net()


class Outside:
    """Something that a network of any thread may ask for a table."""

    held: Any = None


def in_an_object_outside() -> nn.Module:
    class Own(Outside):
        pass

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            if Own.held is None:
                Own.held = (torch.from_numpy(np.linspace(0.0, 1.0, 8)), [torch.linspace(1.0, 2.0, 8)])
            return h * Own.held[0].to(h) + Own.held[1][0].to(h)

    return Net()


def views_of_one_table() -> nn.Module:
    class Net(Body):
        tables: ClassVar[list[Tensor]] = []

        def between(self, h: Tensor) -> Any:
            if not self.tables:
                whole = torch.arange(16.0).view(2, 8)
                self.tables.extend((whole[0], whole[1][None], whole))
                whole[1].mul_(0.5)
            return h * self.tables[0].to(h) + self.tables[1].to(h)

    return Net()


def written_step_by_step() -> nn.Module:
    @functools.lru_cache(None)
    def table(length: int) -> Tensor:
        made = torch.zeros(length, dtype=torch.float64)
        made[1::2] = torch.arange(length // 2).double().sin()
        made[0] = 5.0
        made += 1
        return made

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            return h + table(h.shape[1]).to(h)

    return Net()


def like_the_input() -> nn.Module:
    class Net(Body):
        tables: ClassVar[dict[int, Tensor]] = {}

        def between(self, h: Tensor) -> Any:
            if len(h) not in self.tables:
                self.tables[len(h)] = torch.ones_like(h[:1], requires_grad=False).double() * 3
            return h * self.tables[len(h)].to(h)

    return Net()


def of_a_buffer() -> nn.Module:
    class Net(Body):
        tables: ClassVar[dict[int, Tensor]] = {}

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("frequencies", torch.linspace(1.0, 2.0, 8))
            self.frequencies: Tensor

        def between(self, h: Tensor) -> Any:
            if 8 not in self.tables:
                self.tables[8] = (torch.ones(3, 1).to(self.frequencies) @ self.frequencies[None]).double().cos()
            return h + self.tables[8][2].to(h)

    return Net()


def of_another_table() -> nn.Module:
    class Net(Body):
        tables: ClassVar[dict[str, Tensor]] = {"there before": torch.linspace(0.0, 1.0, 8)}

        def between(self, h: Tensor) -> Any:
            if str(len(h)) not in self.tables:
                self.tables[str(len(h))] = self.tables["there before"] ** 2
            return h + self.tables[str(len(h))].to(h)

    return Net()


def weakly_referred_to() -> nn.Module:
    made: list[Tensor] = []
    tables: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()

    class Net(Body):
        kept: ClassVar[list[Tensor]] = made

        def between(self, h: Tensor) -> Any:
            if 8 not in tables:
                self.kept.append(torch.linspace(0.0, 1.0, 8))
                tables[8] = self.kept[-1]
            return h + tables[8].to(h)

    return Net()


HOLDERS = [
    in_a_cached_function,
    in_a_global,
    in_a_class,
    in_a_default,
    in_an_object_outside,
    views_of_one_table,
    written_step_by_step,
    like_the_input,
    of_a_buffer,
    of_another_table,
    weakly_referred_to,
]


@pytest.mark.parametrize("make", HOLDERS)
def test_a_profile_leaves_the_users_network_with_its_tables(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network, untouched = make(), make()
    untouched.load_state_dict(network.state_dict())
    profile(network, (6,))
    x = torch.randn(4, 6)
    assert torch.equal(network(x), untouched(x))
    network(x).sum().backward()


@pytest.mark.parametrize("make", [of_a_buffer, like_the_input])
def test_making_a_table_is_no_cost_of_each_round(make: Callable[[], nn.Module]) -> None:
    network, used = make(), make()
    used(torch.randn(2, 6))
    costs = profile(network, (6,))
    assert costs.device_forward_flops[-1] == profile(used, (6,)).device_forward_flops[-1] == 96 + 128 + 48
    assert not costs.device_forward_flops_per_batch.any()


@pytest.mark.parametrize("make", HOLDERS)
def test_a_network_with_tables_trains_like_the_plain_loop(make: Callable[[], nn.Module]) -> None:
    assert_is_the_users_own(User(make))


def test_a_network_without_weights_is_profiled_with_its_tables() -> None:
    with torch.device("meta"):
        network = in_a_cached_function()
    assert profile(network, (6,)) == profile(in_a_cached_function(), (6,))


def test_tables_that_were_there_stay_as_they_are() -> None:
    network: Any = in_a_class()
    network(torch.randn(2, 6))
    before = network.tables[8]
    profile(network, (6,))
    assert network.tables[8] is before
    assert before.tolist() == [0.5, 2.0] * 4


def test_a_table_survives_a_network_that_asks_for_values() -> None:
    @functools.lru_cache(None)
    def table() -> Tensor:
        return torch.arange(8.0)

    class Net(Body):
        def between(self, h: Tensor) -> Any:
            return h + table() if float(h.detach().sum()) > -1e9 else h

    network = Net()
    profile(network, (6,))
    assert table().tolist() == list(range(8))


def test_a_layer_outside_of_the_network_stays_usable() -> None:
    outside = nn.Linear(8, 8)

    class Net(Body):
        layers: ClassVar[list[nn.Module]] = [outside]

        def between(self, h: Tensor) -> Any:
            return self.layers[0](h)

    network = Net()
    profile(network, (6,))
    outside.zero_grad()
    network(torch.randn(2, 6)).sum().backward()
    assert outside.weight.grad is not None
    assert outside.weight.grad.abs().sum() > 0


def test_a_table_that_is_made_later_is_still_profiled() -> None:
    """What one batch size leaves is there, with values, for another network that makes a table of it."""
    tables: dict[str, Tensor] = {}

    class First(Body):
        def between(self, h: Tensor) -> Any:
            tables.setdefault("angles", torch.arange(8.0))
            return h + tables["angles"]

    class Second(Body):
        def between(self, h: Tensor) -> Any:
            tables.setdefault("waves", tables["angles"].cos())
            return h + tables["waves"]

    profile(First(), (6,))
    profile(Second(), (6,))
    assert torch.equal(tables["waves"], torch.arange(8.0).cos())
