"""Operations that run outside of torch's own functions, and what forward computes and writes besides."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sfl_env.dnn.measure import profile
from sfl_env.errors import ProfileError
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import (
    User,
    assert_is_the_users_own,
    assert_trains_like_the_plain_loop,
    split_by_hand,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
]


# Operations below no function of torch. What follows them is cut at a function of the network's own forward.


class FromNumPy(Body):
    def between(self, h: Tensor) -> Any:
        return h * torch.from_numpy(np.linspace(0.5, 1.5, 8))


class ThroughNumPy(Body):
    def between(self, h: Tensor) -> Any:
        return h + 0.1 * torch.from_numpy(h.detach().numpy().mean(1, keepdims=True).copy())


class FromList(Body):
    def between(self, h: Tensor) -> Any:
        return h * torch.tensor([0.5, 1.5] * 4, dtype=h.dtype) + torch.as_tensor([1.0], dtype=h.dtype)


def three_steps(h: Tensor) -> Tensor:
    h = torch.sin(h)
    h = h * 0.7
    return h + 0.1


class Scripted(Body):
    def __init__(self) -> None:
        super().__init__()
        self.steps = torch.jit.script(three_steps)

    def between(self, h: Tensor) -> Any:
        return self.steps(h)


class Operators(Body):
    def between(self, h: Tensor) -> Any:
        return torch.ops.aten.add.Tensor(torch.ops.aten.sin(h), h)


class ThreeStepsBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.save_for_backward(h)
        return three_steps(h)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (h,) = ctx.saved_tensors
        return 0.7 * gradients[0] * torch.cos(h)


class OwnFunction(Body):
    def between(self, h: Tensor) -> Any:
        return ThreeStepsBack.apply(h)  # type: ignore[no-untyped-call]  # torch's own


class Mapped(Body):
    """A function of one sample, mapped over the batch by ``torch.func``."""

    def between(self, h: Tensor) -> Any:
        return torch.func.vmap(three_steps)(h)


class OfOneSampleAtATime(Body):
    def between(self, h: Tensor) -> Any:
        return torch.cat([three_steps(h[row : row + 1]) for row in range(len(h))])


UNSEEN: dict[str, Any] = {
    "an array of NumPy": FromNumPy,
    "through NumPy": ThroughNumPy,
    "a list": FromList,
    "a scripted function": Scripted,
    "operators by name": Operators,
    "an autograd function": OwnFunction,
    "a mapped function": Mapped,
    "samples in turn": OfOneSampleAtATime,
}


@pytest.mark.parametrize("name", UNSEEN)
def test_networks_with_unseen_operations_train(name: str) -> None:
    user = User(UNSEEN[name])
    assert_trains_like_the_plain_loop(user, user.split())


@pytest.mark.parametrize("name", UNSEEN)
def test_each_side_of_every_cut_trains_its_own_parameters(name: str) -> None:
    """So it is cut where the profile says, and not a few functions later."""
    user = User(UNSEEN[name])
    split = user.split()
    x = user.data().train_features[:4]
    for cut in range(split.num_cuts - 1):
        seen = split_by_hand(split, cut, x.clone())
        assert seen.elements == 4 * split.costs.smashed_elements[cut], split.cuts[cut].name
        assert {split.block[each] <= cut for each in seen.device_gradients} == {True}, split.cuts[cut].name
        assert {split.block[each] > cut for each in seen.server_gradients} == {True}, split.cuts[cut].name


# Weights that forward writes itself.


class ClipsInPlace(Body):
    def between(self, h: Tensor) -> Any:
        with torch.no_grad():
            self.middle.weight.clamp_(-0.2, 0.2)
        return h


class ClipsData(Body):
    def between(self, h: Tensor) -> Any:
        self.middle.weight.data.clamp_(-0.2, 0.2)
        return h


class ClipsIntoNewData(Body):
    def between(self, h: Tensor) -> Any:
        self.middle.weight.data = self.middle.weight.data.clamp(-0.2, 0.2)
        return h


class NormalisesFrozen(Body):
    """Puts a frozen weight anew in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8), requires_grad=False)

    def between(self, h: Tensor) -> Any:
        self.scale.data = 0.9 * self.scale.data + 0.1 * h.detach().abs().mean(0)
        return h * self.scale


class BufferData(Body):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))
        self.mean: Tensor

    def between(self, h: Tensor) -> Any:
        if self.training:
            self.mean.data = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return h - self.mean


@pytest.mark.parametrize("make", [ClipsInPlace, ClipsData, ClipsIntoNewData, NormalisesFrozen, BufferData])
def test_weights_that_forward_writes_are_the_devices(make: Any) -> None:
    user = User(make)
    assert_trains_like_the_plain_loop(user, user.split())


# Gradients within forward.


class DescendsAnEnergy(Body):
    """Takes a step along the gradient of an energy, with which it is trained."""

    def between(self, h: Tensor) -> Any:
        with torch.enable_grad():
            energy = torch.tanh(self.middle(h)).square().sum()
            (step,) = torch.autograd.grad(energy, h, create_graph=True)
        return h - 0.1 * step


class DescendsApart(Body):
    def between(self, h: Tensor) -> Any:
        apart = h.detach().requires_grad_()
        with torch.enable_grad():
            (step,) = torch.autograd.grad(self.middle(apart).square().sum(), apart)
        return h - 0.1 * step


class DescendsByFunction(DescendsAnEnergy):
    """The same, by a transform of ``torch.func``."""

    def energy(self, h: Tensor) -> Tensor:
        return torch.tanh(self.middle(h)).square().sum()

    def between(self, h: Tensor) -> Any:
        return h - 0.1 * torch.func.grad(self.energy)(h)


class DescendsSampleBySample(DescendsByFunction):
    def between(self, h: Tensor) -> Any:
        return h - 0.1 * torch.func.vmap(torch.func.grad(self.energy))(h)


class PullsBack(Body):
    def between(self, h: Tensor) -> Any:
        value, back, *_ = torch.func.vjp(three_steps, h)
        return value + back(torch.ones_like(h))[0]


class Jacobian(Body):
    def between(self, h: Tensor) -> Any:
        return h + torch.func.vmap(torch.func.jacrev(three_steps))(h).sum(1)


class Hessian(Body):
    def between(self, h: Tensor) -> Any:
        return h + torch.func.vmap(torch.func.jacrev(torch.func.jacrev(lambda z: three_steps(z).square().sum())))(
            h
        ).sum(1)


class LearnsInside(Body):
    """Takes a step of the middle layer's weights for a goal of their own, and goes on with these."""

    def between(self, h: Tensor) -> Any:
        weights = dict(self.middle.named_parameters())

        def goal(given: Any) -> Tensor:
            got: Tensor = torch.func.functional_call(self.middle, given, (h,))
            return got.square().mean(0).sum()

        steps = torch.func.grad(goal)(weights)
        return torch.func.functional_call(
            self.middle, {name: weight - 0.1 * steps[name] for name, weight in weights.items()}, (h,)
        )


class FixedPoint(Body):
    """Iterates without gradients, and takes the last step with them."""

    def between(self, h: Tensor) -> Any:
        z = torch.zeros_like(h)
        with torch.no_grad():
            for _ in range(3):
                z = torch.tanh(self.middle(z) + h)
        return torch.tanh(self.middle(z) + h)


class AuxiliaryHead(nn.Module):
    """A second head whose logits are added in training."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.aux, self.last = (
            nn.Linear(6, 8),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        logits = self.last(torch.tanh(self.inner(h)))
        return logits + 0.3 * self.aux(h) if self.training else logits


class Experts(nn.Module):
    """Each sample goes to the expert that its gate likes most; an expert may get none."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.last = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        weight, best = self.gate(h).softmax(-1).max(1)
        out = h
        for number, expert in enumerate(self.experts):
            rows = (best == number).nonzero()[:, 0]
            if len(rows):
                out = out.index_add(0, rows, weight[rows, None] * functional.elu(expert(h[rows])))
        return self.last(out)


WITHIN: dict[str, Any] = {
    "an energy": DescendsAnEnergy,
    "an energy apart": DescendsApart,
    "an energy by torch.func": DescendsByFunction,
    "an energy of each sample": DescendsSampleBySample,
    "a product with a jacobian": PullsBack,
    "jacobians": Jacobian,
    "hessians": Hessian,
    "weights learnt inside": LearnsInside,
    "a fixed point": FixedPoint,
    "an auxiliary head": AuxiliaryHead,
    "experts": Experts,
}


@pytest.mark.parametrize("name", WITHIN)
def test_networks_that_compute_in_unusual_ways_train(name: str) -> None:
    by_hand = name in ("a fixed point", "an auxiliary head")
    assert_is_the_users_own(User(WITHIN[name]), by_hand=by_hand)


class ForwardOverBackward(Body):
    def between(self, h: Tensor) -> Any:
        return h + torch.func.vmap(torch.func.hessian(lambda z: three_steps(z).square().sum()))(h).sum(1)


def test_a_gradient_within_a_forward_derivative_is_refused_for_that() -> None:
    with pytest.raises(ProfileError, match=r"torch.func.hessian.*jacrev\(jacrev"):
        profile(ForwardOverBackward(), (6,))


def test_a_gradient_costs_the_same_however_it_is_taken() -> None:
    usual = torch.autograd.graph.disable_saved_tensors_hooks
    by_function, by_autograd = (profile(each(), (6,), "net") for each in (DescendsByFunction, DescendsAnEnergy))
    assert by_function == by_autograd
    # First layer, then forward, gradient and forward again of the middle one.
    assert by_function.device_forward_flops.tolist() == [96, 96 + 3 * 128, 96 + 3 * 128 + 48]
    assert torch.autograd.graph.disable_saved_tensors_hooks is usual
