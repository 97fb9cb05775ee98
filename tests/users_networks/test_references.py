"""Whatever refers to a part of a network refers, in a copy, to the copy's part."""

import functools
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


@pytest.mark.parametrize(
    "make", [ParentAsProxy, PatchedForward, HookReadingABuffer, HookReadingAParameter, OneCellForTwo]
)
def test_what_refers_to_the_network_from_within_is_copied_with_it(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


def test_functions_without_anything_of_their_own_are_shared() -> None:
    network: Any = Body()
    network.activation, network.reference = torch.nn.functional.gelu, weakref.ref(network.middle)
    twin: Any = own_copy(network)
    assert twin.activation is torch.nn.functional.gelu
    assert twin.reference() is twin.middle


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
