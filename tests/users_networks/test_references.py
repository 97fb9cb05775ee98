"""Whatever refers to a part of a network refers, in a copy, to the copy's part."""

import copy
import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.copies import own_copy
from sfl_env.dnn.measure import profile
from sfl_env.errors import ProfileError
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import User, assert_trains_like_the_plain_loop

pytestmark = pytest.mark.usefixtures("one_thread")


class Holder:
    def __init__(self, function: Any) -> None:
        self.function = function


class Refers(Body):
    """Its middle layer runs twice, the first time by way of a reference."""

    def __init__(self, refer: Callable[[Any], Callable[[Tensor], Any]]) -> None:
        super().__init__()
        self.held: Any = refer(self)

    def between(self, h: Tensor) -> Any:
        held = self.held.function if isinstance(self.held, Holder) else self.held
        return torch.tanh(held(h))


def by_an_object(network: Any) -> Any:
    return Holder(lambda h: network.middle(h))


def by_a_keyword(network: Any) -> Any:
    def run(h: Tensor, *, layer: Any = network.middle) -> Any:
        return layer(h)

    return run


def by_a_list(network: Any) -> Any:
    layers = [network.middle]
    return lambda h: layers[0](h)


def by_a_partial(network: Any) -> Any:
    return functools.partial(lambda inner, h: inner(h), lambda h: network.middle(h))


def by_a_cache(network: Any) -> Any:
    @functools.lru_cache(None)
    def found() -> Any:
        return network.middle

    return lambda h: found()(h)


def by_a_bound_method(network: Any) -> Any:
    return network.middle.forward


def by_a_decorated_function(network: Any) -> Any:
    @functools.wraps(nn.Linear.forward)
    def run(h: Tensor) -> Any:
        return network.middle(h)

    return run


def by_a_weak_reference(network: Any) -> Any:
    own = weakref.ref(network)

    def run(h: Tensor) -> Any:
        parent: Any = own()
        return parent.middle(h)

    return run


def by_a_weak_method(network: Any) -> Any:
    method = weakref.WeakMethod(network.middle.forward)

    def run(h: Tensor) -> Any:
        forward: Any = method()
        return forward(h)

    return run


def by_a_proxy(network: Any) -> Any:
    return Holder(weakref.proxy(network).middle.forward)


def beside_a_lock(network: Any) -> Any:
    lock, layers = threading.Lock(), {"middle": network.middle}

    def run(h: Tensor) -> Any:
        with lock:
            return layers["middle"](h)

    return run


def by_a_weak_dictionary(network: Any) -> Any:
    layers = weakref.WeakValueDictionary({"middle": network.middle})
    return lambda h: layers["middle"](h)


def by_a_weak_key(network: Any) -> Any:
    factors = weakref.WeakKeyDictionary({network.middle: 2.0})
    return lambda h: factors[network.middle] * network.middle(h)


WAYS = [
    by_an_object,
    by_a_keyword,
    by_a_list,
    by_a_partial,
    by_a_cache,
    by_a_bound_method,
    by_a_decorated_function,
    by_a_weak_reference,
    by_a_weak_method,
    by_a_proxy,
    beside_a_lock,
    by_a_weak_dictionary,
    by_a_weak_key,
]


@pytest.mark.parametrize("refer", WAYS)
def test_a_copy_trains_its_own_layers(refer: Callable[[Any], Any]) -> None:
    user = User(lambda: Refers(refer))
    assert_trains_like_the_plain_loop(user, user.split())


@pytest.mark.parametrize("refer", WAYS)
def test_profiling_trains_nothing_of_the_users(refer: Callable[[Any], Any]) -> None:
    network = Refers(refer)
    # The layer that runs twice belongs to one side: there is no cut between its uses.
    assert profile(network, (6,)).device_parameters.tolist() == [6 * 8 + 8, 8 * 8 + 8 + 56, 155]
    assert all(parameter.grad is None for parameter in network.parameters())


class ParentAsProxy(Body):
    def __init__(self) -> None:
        super().__init__()
        vars(self.first)["parent"] = weakref.proxy(self)

    def between(self, h: Tensor) -> Any:
        parent: Any = self.first.parent
        return torch.tanh(parent.middle(h))


class PatchedForward(Body):
    def __init__(self) -> None:
        super().__init__()
        middle: Any = self.middle
        plain = middle.forward
        middle.forward = lambda h: 2.0 * plain(h)


class HookReadingABuffer(Body):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(8))
        self.seen: Tensor
        self.middle.weight.register_hook(lambda gradient: gradient * (1.0 + self.seen[:, None]))

    def between(self, h: Tensor) -> Any:
        with torch.no_grad():
            self.seen.add_(h.abs().mean(dim=0))
        return h


class HookReadingAParameter(Body):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((8,), 1.5))

        def scale(parameter: Tensor) -> None:
            assert parameter.grad is not None
            parameter.grad.mul_(self.gain.detach()[:, None])

        self.middle.weight.register_post_accumulate_grad_hook(scale)

    def between(self, h: Tensor) -> Any:
        return h * self.gain


class OneCellForTwo(Body):
    """Two functions share a name that one of them gives another value."""

    def __init__(self) -> None:
        super().__init__()
        factor = 1.0

        def grow() -> None:
            nonlocal factor
            factor *= 2.0

        self.grow: Callable[[], None] = grow
        self.scaled: Callable[[Tensor], Any] = lambda h: h * factor

    def between(self, h: Tensor) -> Any:
        self.grow()
        return self.scaled(h)


class RemovesAHook(Body):
    """Takes a hook off a parameter, and another off a layer, once they have acted."""

    def __init__(self) -> None:
        super().__init__()
        self.on_gradient = self.middle.weight.register_hook(lambda gradient: 2.0 * gradient)
        self.on_output = self.first.register_forward_hook(lambda module, inputs, output: 1.5 * output)
        self.calls = 0

    def between(self, h: Tensor) -> Any:
        self.calls += 1
        if self.calls == 2:
            self.on_gradient.remove()
            self.on_output.remove()
        return h


@pytest.mark.parametrize(
    "make",
    [ParentAsProxy, PatchedForward, HookReadingABuffer, HookReadingAParameter, OneCellForTwo, RemovesAHook],
)
def test_what_refers_to_the_network_from_within_is_copied_with_it(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


@functools.wraps(torch.tanh)
def decorated(h: Tensor) -> Tensor:
    return torch.tanh(h)


def with_a_closure() -> Callable[[Tensor], Tensor]:
    factor = 2.0
    return lambda h: factor * h


doubled = with_a_closure()
doubled.__name__ = "doubled"


@functools.singledispatch
def dispatched(h: Any) -> Any:
    return h


@pytest.mark.parametrize(
    "function",
    [torch.tanh, torch.nn.functional.gelu, torch.nn.functional.max_pool1d, decorated, doubled, dispatched],
)
def test_functions_that_a_module_has_are_shared(function: Any) -> None:
    network: Any = Body()
    network.activation, network.reference = function, weakref.ref(network.middle)
    twin: Any = own_copy(network)
    assert twin.activation is function
    assert twin.reference() is twin.middle


def test_a_function_of_its_own_may_have_what_cannot_be_copied() -> None:
    @functools.singledispatch
    def chosen(h: Any) -> Any:
        return h

    network: Any = Body()
    network.chosen = chosen
    twin: Any = own_copy(network)
    assert twin.chosen(1) == 1


class LeavesItsLockOut(Body):
    def __init__(self) -> None:
        super().__init__()
        vars(self)["lock"] = threading.Lock()
        self.scaled = lambda h: self.middle(h)

    def __deepcopy__(self, memo: dict[int, Any]) -> "LeavesItsLockOut":
        twin = LeavesItsLockOut()
        memo[id(self)] = twin
        for name in ("first", "middle", "last"):
            setattr(twin, name, copy.deepcopy(getattr(self, name), memo))
        return twin


def test_a_network_with_a_way_of_its_own_is_copied_in_that_way() -> None:
    network: Any = LeavesItsLockOut()
    twin: Any = own_copy(network)
    assert twin.lock is not network.lock
    assert torch.equal(twin.middle.weight, network.middle.weight)
    assert twin.middle.weight is not network.middle.weight
    user = User(LeavesItsLockOut)
    assert_trains_like_the_plain_loop(user, user.split())


def test_nesting_may_be_deep() -> None:
    network: nn.Module = nn.Linear(2, 2)
    for _ in range(80):
        network = nn.Sequential(network)
    assert isinstance(own_copy(network), nn.Sequential)


def test_what_is_held_may_be_a_cycle() -> None:
    class Tree(Body):
        def __init__(self) -> None:
            super().__init__()
            root: dict[str, Any] = {"scale": torch.tensor(2.0)}
            root["child"] = {"parent": root, "all": [root]}
            self.root: dict[str, Any] = root

        def between(self, h: Tensor) -> Any:
            return h * self.root["child"]["parent"]["scale"].to(h.dtype)

    user = User(Tree)
    assert_trains_like_the_plain_loop(user, user.split())


def test_copies_are_gone_when_nobody_has_them() -> None:
    class Large:
        pass

    network: Any = Body()
    large = Large()
    network.middle.register_forward_hook(lambda module, inputs, output: output if large else None)
    copies: list[weakref.ref[Any]] = []
    gc.disable()
    try:
        for _ in range(3):
            twin: Any = own_copy(network)
            (hook,) = twin.middle._forward_hooks.values()
            copies.append(weakref.ref(hook.__closure__[0].cell_contents))
            del twin, hook
        assert [reference() for reference in copies] == [None] * 3
    finally:
        gc.enable()


def test_what_is_not_the_networks_is_referred_to_as_before() -> None:
    class Outside:
        pass

    outside, network = Outside(), Body()
    vars(network)["reference"] = weakref.ref(outside)
    vars(network)["proxy"] = weakref.proxy(outside)
    twin: Any = own_copy(network)
    assert twin.reference() is outside
    assert twin.proxy.__repr__.__self__ is outside


def test_what_cannot_be_copied_is_shared_unless_it_leads_to_the_network() -> None:
    network: Any = Body()
    lock = threading.Lock()
    network.guard = lambda: lock
    twin: Any = own_copy(network)
    assert twin.guard() is lock
    trainer = Holder(network.middle)
    vars(trainer)["lock"] = lock
    network.guard = lambda: trainer
    with pytest.raises(ProfileError, match=r"Body cannot be copied .*lock"):
        own_copy(network)


def test_attributes_of_parameters_and_their_hooks_are_not_shared() -> None:
    network: Any = Body()
    calls = [0]

    def count(gradient: Tensor) -> None:
        calls[0] += 1

    network.middle.weight.history = []
    weight: Any = network.middle.weight
    weight.register_hook(count)
    network.middle.register_forward_hook(lambda module, inputs, output: module.weight.history.append(output))
    profile(network, (6,))
    assert network.middle.weight.history == []
    assert calls == [0]
