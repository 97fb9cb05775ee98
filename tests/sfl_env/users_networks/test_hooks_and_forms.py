"""Hooks, parametrisations, scripts, wrappers, and parts that are held in unusual ways."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import weight_norm as old_weight_norm

from sfl_env.dnn.measure import profile
from sfl_env.dnn.split import as_chain
from sfl_env.errors import SFLError
from tests.sfl_env.users_networks.plain_loop import User, assert_is_the_users_own

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


def chain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


# K06: hooks of all four kinds, on the network and on its parts.


def doubles_inputs() -> nn.Module:
    network = chain()
    network[2].register_forward_pre_hook(lambda module, inputs: (2.0 * inputs[0],))
    return network


def shifts_outputs() -> nn.Module:
    network = chain()
    network[0].register_forward_hook(lambda module, inputs, output: output + 0.3)
    return network


def scales_gradients_back() -> nn.Module:
    network = chain()
    network[2].register_full_backward_hook(lambda module, inputs, outputs: (0.5 * inputs[0],))
    return network


def scales_gradients_before() -> nn.Module:
    network = chain()
    network[2].register_full_backward_pre_hook(lambda module, outputs: (0.25 * outputs[0],))
    return network


def hooked_as_a_whole() -> nn.Module:
    network = chain()
    network.register_forward_pre_hook(lambda module, inputs: (inputs[0].clamp(-1.0, 1.0),))
    network.register_forward_hook(lambda module, inputs, output: 3.0 * output)
    return network


class ByKeyword(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.first.register_forward_pre_hook(
            lambda module, args, kwargs: (args, {"input": 0.5 * kwargs["input"]}), with_kwargs=True
        )

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.first(input=x)))


class GradientOfActivation(nn.Module):
    """A hook on a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        h.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
        return self.last(torch.tanh(self.middle(h)))


HOOKS: dict[str, Any] = {
    "forward pre-hook": doubles_inputs,
    "forward hook": shifts_outputs,
    "backward hook": scales_gradients_back,
    "backward pre-hook": scales_gradients_before,
    "hooks of the whole network": hooked_as_a_whole,
    "hook with keywords": ByKeyword,
    "hook of a tensor": GradientOfActivation,
}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_are_heeded(name: str) -> None:
    assert_is_the_users_own(User(HOOKS[name]))


# Parametrisations: weights that are computed from others.


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric() -> nn.Module:
    network = chain()
    parametrize.register_parametrization(network[2], "weight", Symmetric())
    return network


def weight_normalised() -> nn.Module:
    network = chain()
    parametrizations.weight_norm(network[0])
    parametrizations.weight_norm(network[2])
    return network


def weight_normalised_the_old_way() -> nn.Module:
    network = chain()
    network[2] = old_weight_norm(network[2])
    return network


def spectrally_normalised() -> nn.Module:
    network = chain()
    parametrizations.spectral_norm(network[2])
    return network


class ByHypernetwork(nn.Module):
    """The weight of one layer is a product of two, whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.a, self.b = nn.Parameter(torch.randn(8, 2)), nn.Parameter(torch.randn(2, 8))

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(functional.linear(torch.tanh(self.first(x)), self.a @ self.b)))


COMPUTED: dict[str, Any] = {
    "symmetric": symmetric,
    "weight norm": weight_normalised,
    "weight norm, the old way": weight_normalised_the_old_way,
    "product of two": ByHypernetwork,
}


@pytest.mark.parametrize("name", COMPUTED)
def test_weights_may_be_computed_from_others(name: str) -> None:
    assert_is_the_users_own(User(COMPUTED[name]))


def test_spectral_norm_trains_and_costs_what_its_power_iteration_costs() -> None:
    # torch's own counter knows no product of a matrix and a vector, so this is counted by hand.
    assert_is_the_users_own(User(spectrally_normalised), by_hand=False)
    costs = profile(spectrally_normalised(), (6,))
    assert costs.device_forward_flops[-1] == 2 * (48 + 64 + 24)
    assert costs.device_forward_flops_per_batch[-1] > 0.0


def test_work_on_weights_alone_is_counted_per_batch() -> None:
    costs = profile(ByHypernetwork(), (6,))
    assert costs.device_forward_flops[-1] == 2 * (48 + 64 + 24)
    assert costs.device_forward_flops_per_batch[-1] == 2 * 8 * 2 * 8
    assert costs.device_backward_flops_per_batch[-1] == 2 * 2 * 8 * 2 * 8


def test_an_orthogonal_weight_is_refused_for_its_decomposition() -> None:
    network = chain()
    parametrizations.orthogonal(network[2])
    with pytest.raises(SFLError, match="FLOPs"):
        profile(network, (6,))


# Forms: how parts are held and called.


class InPlainLists(nn.Module):
    """Its layers are in a plain list, beside the one that torch knows them by."""

    def __init__(self) -> None:
        super().__init__()
        self.known = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)])
        self.order = [self.known[0], torch.tanh, self.known[1], torch.tanh, self.known[2]]

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
        self.layer, self.last = nn.Linear(8, 8), None
        self.last: Tensor | None

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.layer(x))
        if self.last is not None:
            h = h + 0.1 * self.last.mean()
        self.last = h.detach()
        return h


def around(block: Any) -> Any:
    return lambda: nn.Sequential(nn.Linear(6, 8), block(), nn.Linear(8, 3))


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


def test_a_network_that_is_scripted_as_a_whole_is_refused_for_its_cuts() -> None:
    with pytest.raises(SFLError, match="no legal cut"):
        as_chain(torch.jit.script(chain()), (6,))
