"""Networks whose numbers, or chance, decide what runs."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn.measure import profile
from sfl_env.dnn.split import SplitNetwork
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from sfl_env.learning.executors.fused import FusedExecutor
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
    assert_trains_like_the_plain_loop,
    message_passing,
    trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class RandomDepth(nn.Module):
    """Leaves whole layers out by chance, which PyTorch, Python, NumPy or a generator of its own decides."""

    def __init__(self, generator: Any = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.generator = generator

    def draw(self) -> float:
        if isinstance(self.generator, torch.Generator):
            return float(torch.rand((), generator=self.generator))
        if callable(self.generator):
            return float(self.generator())
        return float(torch.rand(())) if self.generator is None else float(self.generator.random())

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        for layer in self.layers:
            if not self.training or self.draw() > 0.5:
                h = h + torch.tanh(layer(h))
        return self.last(h)


GENERATORS: dict[str, Any] = {
    "torch": RandomDepth,
    "Python": lambda: RandomDepth(lambda: random.random()),
    "NumPy": lambda: RandomDepth(lambda: np.random.rand()),  # noqa: NPY002
    "a generator of torch": lambda: RandomDepth(torch.Generator().manual_seed(3)),
    "a generator of Python": lambda: RandomDepth(random.Random(3)),
    "a generator of NumPy": lambda: RandomDepth(np.random.default_rng(3)),
    "an old generator of NumPy": lambda: RandomDepth(np.random.RandomState(3)),
}


def at_boundaries(split: SplitNetwork) -> bool:
    return all(cut.place is None or cut.place.step is None for cut in split.cuts)


@pytest.mark.parametrize("name", GENERATORS)
def test_random_depth_is_cut_at_boundaries_of_modules_that_every_run_has(name: str) -> None:
    split = User(GENERATORS[name]).split()
    assert at_boundaries(split)
    # Any layer may be left out, so nothing between the first and the last one is there in every run.
    assert [cut.name for cut in split.cuts] == ["first", "last"]


@pytest.mark.parametrize(
    ("name", "executor"),
    [
        ("torch", "fused"),
        ("torch", "message-passing"),
        ("Python", "message-passing"),
        ("NumPy", "message-passing"),
        ("a generator of torch", "message-passing"),
        ("a generator of Python", "fused"),
        ("a generator of NumPy", "message-passing"),
    ],
)
def test_random_depth_trains_by_the_seed_alone(name: str, executor: Any) -> None:
    def weights() -> dict[str, Tensor]:
        made = SplitFederatedTraining(
            GENERATORS[name],
            User(RandomDepth).data(),
            scheme("iid", K),
            LocalTraining(2, 4),
            executor=executor,
            device="cpu",
        )
        made.reset(0)
        for cuts in ([0, 1, 0], [1, 1, 1]):
            made.run_round(cuts)
        return made.weights()

    here, again = weights(), weights()
    fresh = GENERATORS[name]().state_dict()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in here.values())
    assert all(not torch.equal(tensor, fresh[each]) for each, tensor in here.items())
    assert all(torch.equal(tensor, again[each]) for each, tensor in here.items())


class CheapOrDear(nn.Module):
    """Tosses a coin over a layer of eight times the work."""

    def __init__(self, toss: Any) -> None:
        super().__init__()
        self.first, self.last, self.toss = nn.Linear(6, 8), nn.Linear(8, 3), toss
        self.cheap, self.dear = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8))

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        return self.last((self.dear if self.toss() < 0.5 else self.cheap)(h))


TOSSES: dict[str, Any] = {
    "torch": lambda: float(torch.rand(())),
    "Python": lambda: random.random(),
    "NumPy": lambda: float(np.random.rand()),  # noqa: NPY002
}


@pytest.mark.parametrize("name", TOSSES)
def test_the_profile_is_that_of_the_run_which_costs_most(name: str) -> None:
    ends = 2 * 6 * 8 + 2 * 8 * 3
    costs = profile(CheapOrDear(TOSSES[name]), (6,))
    assert costs.device_forward_flops[-1] == ends + 2 * 2 * 8 * 32
    assert costs.device_parameters[-1] == 56 + 72 + (288 + 264) + 27


@pytest.mark.parametrize("name", TOSSES)
def test_a_toss_costs_nobody_elses_draws(name: str) -> None:
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    made = SplitFederatedTraining(
        lambda: CheapOrDear(TOSSES[name]), User(Body).data(), scheme("iid", K), LocalTraining(1, 4), device="cpu"
    )
    made.reset(0)
    after = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


class Shuffles(Body):
    """Permutes features at random: what runs is always the same."""

    def between(self, h: Tensor) -> Any:
        return h[:, torch.randperm(8)] if self.training else h


class DropsPaths(nn.Module):
    """Leaves a branch out for some of the samples, by numbers alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        for layer in self.layers:
            kept = torch.rand(len(h), 1, dtype=h.dtype, device=h.device) < 0.8
            h = h + torch.tanh(layer(h)) * kept / 0.8 if self.training else h + torch.tanh(layer(h))
        return self.last(h)


@pytest.mark.parametrize(("make", "num_cuts"), [(Shuffles, 3), (DropsPaths, 5)])
def test_chance_that_decides_nothing_but_numbers_costs_no_cut(make: Any, num_cuts: int) -> None:
    user = User(make)
    split = user.split()
    assert split.num_cuts == num_cuts
    after = trained(message_passing(user), split.network, user.plan([0, num_cuts - 2, num_cuts - 1]))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())


class Routed(Body):
    def between(self, h: Tensor) -> Any:
        return h * 2.0 if float(h.detach().sum()) > 0.0 else h


class Halts(nn.Module):
    """Repeats a layer until its output is small enough, as adaptive computation does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        for _ in range(4):
            h = torch.tanh(self.again(h))
            if float(h.detach().abs().mean()) < 0.3:
                break
        return self.last(h)


@pytest.mark.parametrize("make", [Routed, Halts])
def test_branches_that_the_numbers_choose_train(make: Any) -> None:
    user = User(make)
    assert at_boundaries(user.split())
    assert_is_the_users_own(user, by_hand=False)


class SometimesUsed(nn.Module):
    """Leaves a layer out of the first call: it gets its first gradient when others have momentum already."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rest, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("calls", torch.tensor(0))
        self.calls: Tensor

    def forward(self, x: Tensor) -> Any:
        if self.training:
            self.calls += 1
        h = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.rest(h)) if int(self.calls) % 2 == 0 else h)


def test_a_layer_may_get_its_first_gradient_late_in_a_round() -> None:
    user = User(SometimesUsed)
    assert_trains_like_the_plain_loop(user, user.split())


@pytest.mark.parametrize("draw", [random.random, np.random.random], ids=["Python", "NumPy"])
def test_what_threads_would_draw_from_together_keeps_a_network_on_one(draw: Any, two_threads: None) -> None:
    class Noisy(Body):
        def between(self, h: Tensor) -> Any:
            return h * (1.0 + 0.1 * draw())

    executor = FusedExecutor(User(Noisy).split(), User(Noisy).data(), User(Noisy).local(), "loop")
    assert executor.choose((4,) * 4).workers == 1
    calm = FusedExecutor(User(Body).split(), User(Body).data(), User(Body).local(), "loop")
    assert calm.choose((4,) * 4).workers == 2
