"""Networks whose parts are held, wrapped and called in unusual ways."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.split import as_chain
from sfl_env.errors import SFLError
from tests.users_networks.bodies import Body, around, chain
from tests.users_networks.plain_loop import User, assert_is_the_users_own

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


class InPlainLists(nn.Module):
    """Its layers are in a plain list, beside the one that torch knows them by."""

    def __init__(self) -> None:
        super().__init__()
        self.known = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)])
        self.order: list[Any] = [self.known[0], torch.tanh, self.known[1], torch.tanh, self.known[2]]

    def forward(self, x: Tensor) -> Any:
        for step in self.order:
            x = step(x)
        return x


class ByName(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"in": nn.Linear(6, 8), "act": nn.Tanh(), "out": nn.Linear(8, 3)})

    def forward(self, x: Tensor) -> Any:
        return self.parts["out"](self.parts["act"](self.parts["in"](x)))


class RootParameters(nn.Module):
    """No layers at all: functions with parameters of the root, and of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(8, 6)), nn.Parameter(torch.randn(8, 8))])
        self.extra = nn.ParameterDict(
            {"head": nn.Parameter(torch.randn(3, 8)), "bias": nn.Parameter(torch.zeros(3))}
        )
        self.scale = nn.Parameter(torch.tensor(0.8))

    def forward(self, x: Tensor) -> Any:
        for weight in self.weights:
            x = torch.tanh(self.scale * functional.linear(x, weight))
        return functional.linear(x, self.extra["head"], self.extra["bias"])


class Wrapper(nn.Module):
    """Hands on whatever it gets, as wrappers for several GPUs do."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class Pairs(nn.Module):
    """Blocks that hand on tuples, whose second member is nothing that depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([PairBlock(6, 8), PairBlock(8, 8)])
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        pair: Any = (x, 0)
        for block in self.blocks:
            pair = block(pair)
        return self.last(pair[0])


class PairBlock(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(into, out)

    def forward(self, pair: tuple[Tensor, int]) -> Any:
        x, depth = pair
        return torch.tanh(self.layer(x)), depth + 1


class ReturnsLogits(nn.Module):
    """An output object with a cache beside the logits, as transformer libraries return."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.body(x))
        return {"logits": self.head(h), "hidden_states": (h, [h]), "loss": None}


def scripted_step(x: Tensor) -> Tensor:
    if x.size(1) > 3:
        return torch.tanh(x)
    return x


class WithScript(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.block = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.Tanh()))
        self.step = torch.jit.script(scripted_step)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.block(self.step(self.first(x))))


class Counts(nn.Module):
    """Counts its calls in a Python number that scales what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.layer = 0, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return torch.tanh(self.layer(x)) / self.calls


class Remembers(nn.Module):
    """Keeps its last output, detached, and adds some of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.layer(x))
        if self.last is not None:
            h = h + 0.1 * self.last.mean()
        self.last = h.detach()
        return h


FORMS: dict[str, Any] = {
    "layers in a plain list": InPlainLists,
    "layers by name": ByName,
    "parameters of the root": RootParameters,
    "a wrapper": lambda: Wrapper(chain()),
    "a wrapped wrapper": lambda: Wrapper(Wrapper(InPlainLists())),
    "blocks that hand on tuples": Pairs,
    "an output with logits": ReturnsLogits,
    "a scripted part": WithScript,
    "an inner sequential": lambda: nn.Sequential(nn.Sequential(nn.Sequential(chain()))),
    "data parallel on the CPU": lambda: nn.DataParallel(chain()),
}


@pytest.mark.parametrize("name", FORMS)
def test_parts_may_be_held_in_any_form(name: str) -> None:
    assert_is_the_users_own(User(FORMS[name]))


@pytest.mark.parametrize("block", [Counts, Remembers])
def test_each_device_has_what_a_network_keeps_from_call_to_call(block: Any) -> None:
    assert_is_the_users_own(User(around(block)), by_hand=False)


BESIDE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a layer before": (lambda: nn.Sequential(nn.BatchNorm1d(6), Body()), ("1.tanh", "1.tanh_2", "1")),
    "a layer behind": (lambda: nn.Sequential(Body(), nn.LogSoftmax(1)), ("0.tanh", "0.tanh_2", "1")),
    "layers around": (
        lambda: nn.Sequential(nn.Flatten(), Wrapper(chain()), nn.Identity()),
        ("1.module.1", "1.module.3", "1"),
    ),
    "a chain and a layer": (lambda: nn.Sequential(chain(), nn.LogSoftmax(1)), ("0.1", "0.3", "1")),
}


@pytest.mark.parametrize("name", BESIDE)
def test_a_network_with_a_layer_beside_it_is_cut_inside(name: str) -> None:
    make, cuts = BESIDE[name]
    assert tuple(cut.name for cut in as_chain(make(), (6,)).cuts) == cuts
    assert_is_the_users_own(User(make))


SCRIPTED: dict[str, tuple[Any, str]] = {
    "scripted": (lambda: torch.jit.script(chain()), "no legal cut: it is scripted or traced"),
    "traced": (lambda: torch.jit.trace(chain(), torch.zeros(2, 6)), "no legal cut: it is scripted or traced"),
    "wrapped": (lambda: Wrapper(torch.jit.script(chain())), "its module 'module' is scripted or traced"),
    "beside a layer": (
        lambda: nn.Sequential(torch.jit.script(chain()), nn.LogSoftmax(1)),
        "its module '0' is scripted or traced",
    ),
}


@pytest.mark.parametrize("name", SCRIPTED)
def test_a_network_that_is_scripted_as_a_whole_is_refused_for_that(name: str) -> None:
    make, message = SCRIPTED[name]
    with pytest.raises(SFLError, match=f"{message}.*Pass the network as it was before"):
        as_chain(make(), (6,))
