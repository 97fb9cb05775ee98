"""What a network keeps from call to call starts afresh on each device in each round, whatever holds it."""

import array
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import (
    TOLERANCE,
    K,
    User,
    assert_trains_like_the_plain_loop,
    distance,
    federated,
    fused,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class HookWithACounter(Body):
    def __init__(self) -> None:
        super().__init__()
        calls = 0

        def scaled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return output * (1.0 + 0.1 * calls)

        self.middle.register_forward_hook(scaled)


class Tires(Body):
    """Its outputs grow with each call, which it counts in a way of its own."""

    def __init__(self, count: Callable[[], int]) -> None:
        super().__init__()
        self.count = count

    def between(self, h: Tensor) -> Any:
        return h * (1.0 + 0.1 * self.count())


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def count(self) -> int:
        self.calls += 1
        return self.calls


def by_a_bound_method() -> nn.Module:
    return Tires(Counter().count)


def by_a_partial() -> nn.Module:
    return Tires(functools.partial(Counter().count))


def by_an_iterator() -> nn.Module:
    return Tires(functools.partial(next, iter(range(1, 99))))


def by_an_array() -> nn.Module:
    held = array.array("i", [0])

    def count() -> int:
        held[0] += 1
        return held[0]

    return Tires(count)


def by_a_file_in_memory() -> nn.Module:
    held = io.StringIO()
    return Tires(lambda: held.write("x") and held.tell())


def by_a_default() -> nn.Module:
    def count(held: list[int] = [0]) -> int:  # noqa: B006  # what this is about
        held[0] += 1
        return held[0]

    # A default of its own for each network, as one made in a function has.
    return Tires(count)


def by_a_function() -> nn.Module:
    def count() -> int:
        count.calls += 1  # type: ignore[attr-defined]
        return int(count.calls)  # type: ignore[attr-defined]

    count.calls = 0  # type: ignore[attr-defined]
    return Tires(count)


def deep_within() -> nn.Module:
    held = [[[[[[[0]]]]]]]

    def count() -> int:
        held[0][0][0][0][0][0][0] += 1
        return held[0][0][0][0][0][0][0]

    return Tires(count)


class LeavesItsCounterOut(Counter):
    def __getstate__(self) -> dict[str, int]:
        return {}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.calls = 0


def by_what_a_copy_leaves_out() -> nn.Module:
    return Tires(LeavesItsCounterOut().count)


def by_an_array_of_objects() -> nn.Module:
    held = np.array([Counter(), None], dtype=object)
    return Tires(lambda: held[0].count())


class MovingMean(Body):
    """Adds a moving mean that it keeps outside of its own attributes, and writes to as torch doesn't see."""

    def __init__(self, write: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        mean = torch.zeros(8, dtype=torch.float64)

        def shifted(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
            result = output + mean.to(output.dtype)
            if module.training:
                write(mean, output.detach().mean(dim=0).double())
            return result

        self.middle.register_forward_hook(shifted)


def by_its_data() -> nn.Module:
    return MovingMean(lambda mean, new: mean.data.mul_(0.5).add_(new, alpha=0.5))


def by_numpy() -> nn.Module:
    def write(mean: Tensor, new: Tensor) -> None:
        mean.numpy()[:] = 0.5 * mean.numpy() + 0.5 * new.numpy()

    return MovingMean(write)


class OnAParameter(Body):
    def between(self, h: Tensor) -> Any:
        weight: Any = self.middle.weight
        weight.calls = getattr(weight, "calls", 0) + 1
        return h * (1.0 + 0.1 * weight.calls)


class InAnEmptyBuffer(Body):
    """Carries its last activation on, as recurrent networks do with their state."""

    last_seen: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last_seen", None, persistent=False)

    def between(self, h: Tensor) -> Any:
        before = self.last_seen
        self.last_seen = h.detach()
        return h if before is None or before.shape != h.shape else h + 0.5 * before


@pytest.mark.parametrize(
    "make",
    [
        HookWithACounter,
        by_a_bound_method,
        by_a_partial,
        by_an_iterator,
        by_an_array,
        by_a_file_in_memory,
        by_a_default,
        by_a_function,
        deep_within,
        by_what_a_copy_leaves_out,
        by_an_array_of_objects,
        by_its_data,
        by_numpy,
        OnAParameter,
        InAnEmptyBuffer,
    ],
)
def test_each_device_starts_from_the_network_as_it_was_made(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


class FreezesItself(Body):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)

    def between(self, h: Tensor) -> Any:
        h = self.norm(h)
        self.norm.eval()
        return h


class ReplacesALayer(Body):
    def __init__(self) -> None:
        super().__init__()
        self.step: nn.Module = nn.Tanh()

    def between(self, h: Tensor) -> Any:
        h = self.step(h)
        self.step = nn.Identity()
        return h


class AddsAHook(Body):
    def between(self, h: Tensor) -> Any:
        if not self.middle._forward_hooks:
            self.middle.register_forward_hook(lambda module, inputs, output: output * 1.5)
        return h


class CountsWholeBatches(Tires):
    def __init__(self) -> None:
        super().__init__(Counter().count)

    def between(self, h: Tensor) -> Any:
        return super().between(h) if len(h) >= 4 else h


@pytest.mark.parametrize("make", [FreezesItself, ReplacesALayer, AddsAHook, CountsWholeBatches])
def test_changes_that_only_a_step_shows_are_seen(make: Callable[[], nn.Module]) -> None:
    user = User(make)
    executor = fused(user)
    assert executor.keeps_state
    assert distance(trained(executor, user.split().network, user.plan([0] * K)), federated(user)) < TOLERANCE


@pytest.mark.parametrize("executor", ["fused", "message-passing"])
def test_a_buffer_that_is_empty_at_first_is_no_weight(executor: Any) -> None:
    local = LocalTraining(iterations=2, batch_size=4)
    training = SplitFederatedTraining(
        InAnEmptyBuffer, User(Body).data(), scheme("iid", K), local, executor=executor, device="cpu"
    )
    training.reset(0)
    for _ in range(2):
        training.run_round([0] * K)
    assert InAnEmptyBuffer().load_state_dict(training.weights())


def with_running_statistics() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))


def with_power_iteration() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.Linear(8, 3))


@pytest.mark.parametrize("make", [Body, with_running_statistics, with_power_iteration])
def test_numbers_in_buffers_are_no_state_of_this_kind(make: Callable[[], nn.Module]) -> None:
    assert not fused(User(make)).keeps_state
