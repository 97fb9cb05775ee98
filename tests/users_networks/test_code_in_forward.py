"""Code that users write in ``forward``: gradients switched off, steps in place, Python on shapes."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sfl_env.dnn.measure import profile
from sfl_env.learning import SplitFederatedTraining, scheme
from sfl_env.learning.plan import LocalTraining
from tests.users_networks.bodies import Body
from tests.users_networks.plain_loop import (
    K,
    User,
    assert_is_the_users_own,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# K03: regions in which torch computes otherwise.


class Detached(Body):
    def between(self, h: Tensor) -> Any:
        return h.detach()


class PartlyDetached(Body):
    """Half of the activation takes no gradient back."""

    def between(self, h: Tensor) -> Any:
        return torch.cat([h[:, :4].detach(), h[:, 4:]], dim=1)


class ByData(Body):
    def between(self, h: Tensor) -> Any:
        return h * h.data.sigmoid()


class NoGradBackbone(Body):
    @torch.no_grad()
    def features(self, x: Tensor) -> Any:
        return torch.tanh(self.first(x))

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.middle(self.features(x))))


class GradSwitchedOffAndOn(Body):
    def between(self, h: Tensor) -> Any:
        torch.set_grad_enabled(False)
        scale = h.abs().mean(dim=1, keepdim=True)
        torch.set_grad_enabled(True)
        return h / (1.0 + scale)


class Target(Body):
    """A slow copy of a layer, run in inference mode: its result only scales."""

    def __init__(self) -> None:
        super().__init__()
        self.slow = nn.Linear(8, 8).requires_grad_(False)

    def between(self, h: Tensor) -> Any:
        with torch.inference_mode():
            scale = self.slow(h).sigmoid()
        return h * scale.clone()


class Assigned(Body):
    """Assignments by index, in place."""

    def between(self, h: Tensor) -> Any:
        out = torch.zeros_like(h)
        out[:, ::2] = h[:, 1::2]
        out[:, 1::2] = 2.0 * h[:, ::2]
        return out


class BareInPlace(Body):
    def forward(self, x: Tensor) -> Any:
        h = self.first(x)
        torch.tanh_(h)
        h = self.middle(h)
        h.mul_(0.5).add_(0.1)
        functional.elu(h, inplace=True)
        return self.last(h)


class Masked(Body):
    def between(self, h: Tensor) -> Any:
        return h.clone().masked_fill_(h < 0.0, 0.1).clamp_(max=0.8)


class Checkpointed(Body):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.reentrant = reentrant

    def between(self, h: Tensor) -> Any:
        return checkpoint(self.block, h, use_reentrant=self.reentrant)


class Autocast(Body):
    def between(self, h: Tensor) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.middle(h)


class Doubler(torch.autograd.Function):
    """Its gradient is another than that of what it computes (a straight-through estimator)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round(decimals=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return 2.0 * gradients[0]


class OwnFunction(Body):
    def between(self, h: Tensor) -> Any:
        return Doubler.apply(h)  # type: ignore[no-untyped-call]  # torch's own


REGIONS: dict[str, Any] = {
    "detach": Detached,
    "detach of a part": PartlyDetached,
    ".data": ByData,
    "a method under no_grad": NoGradBackbone,
    "set_grad_enabled": GradSwitchedOffAndOn,
    "inference mode": Target,
    "assignment by index": Assigned,
    "bare calls in place": BareInPlace,
    "masks in place": Masked,
    "checkpoint": lambda: Checkpointed(False),
    "reentrant checkpoint": lambda: Checkpointed(True),
    "autocast": Autocast,
    "own autograd function": OwnFunction,
}


UNCOUNTED = {"inference mode", "checkpoint", "reentrant checkpoint"}
"""What torch's own counter fails on, and what a backward pass in two parts computes anew in both."""


@pytest.mark.parametrize("name", REGIONS)
def test_the_networks_own_code_runs_as_it_is_written(name: str) -> None:
    assert_is_the_users_own(User(REGIONS[name]), by_hand=name not in UNCOUNTED)


# K05 and K11: steps in place at the start of the network, of a block, of the server side.


class Standardised(Body):
    def forward(self, x: Tensor) -> Any:
        x -= x.mean(dim=1, keepdim=True)
        x.div_(1.0 + x.abs().amax(dim=1, keepdim=True))
        return super().forward(x)


class FillsGaps(Body):
    def forward(self, x: Tensor) -> Any:
        x[x < -1.0] = 0.0
        return super().forward(torch.dropout(x, 0.0, True))


def in_place_blocks() -> nn.Module:
    blocks = [nn.Sequential(nn.ELU(inplace=True), nn.Linear(8, 8), nn.Hardtanh(inplace=True)) for _ in range(3)]
    return nn.Sequential(nn.Linear(6, 8), *blocks, nn.Sequential(nn.LeakyReLU(0.1, inplace=True), nn.Linear(8, 3)))


class Accumulates(nn.Module):
    """A residual sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        y = self.inner(x)
        y += x
        return y.relu_()


def residual_sums_in_place() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), Accumulates(), Accumulates(), nn.Linear(8, 3))


IN_PLACE: dict[str, Any] = {
    "standardises its input": Standardised,
    "fills gaps of its input": FillsGaps,
    "blocks that begin in place": in_place_blocks,
    "sums in place": residual_sums_in_place,
    "first step in place": lambda: nn.Sequential(
        nn.ReLU(inplace=True), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)
    ),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_steps_in_place_are_taken_and_spoil_nothing(name: str) -> None:
    user = User(IN_PLACE[name])
    assert_is_the_users_own(user)
    data = user.data()
    mine = [tensor.clone() for tensor in (data.train_features, data.test_features)]
    training = SplitFederatedTraining(
        user.make, data, scheme("iid", K), LocalTraining(1, 4), device="cpu", dtype=torch.float64
    )
    training.reset(0)
    assert training.evaluate() == training.evaluate()
    training.run_round([0] * K)
    for tensor, before in zip((data.train_features, data.test_features), mine, strict=True):
        assert torch.equal(tensor, before)


# K14 and K15: Python that asks about modes, shapes and numbers.


class AsksWhetherItTrains(Body):
    def between(self, h: Tensor) -> Any:
        if not self.training:
            return h
        return h * 0.5 if torch.is_grad_enabled() else h * 2.0


class ReadsShapes(Body):
    def between(self, h: Tensor) -> Any:
        batch, width = h.shape
        assert width == 8, f"{width} features of {len(h)} samples ({h.dtype})"
        if h.dim() != 2 or h.size(-1) != self.middle.in_features:
            raise ValueError(f"{batch} samples of {width}")
        pairs = h.reshape(batch, 2, -1).transpose(1, 2).contiguous()
        return pairs.view(len(pairs), -1) * torch.arange(1, width + 1).to(h)


class Loops(Body):
    def between(self, h: Tensor) -> Any:
        parts = [part * (i + 1) for i, part in enumerate(h.unbind(dim=1))]
        return torch.stack([*parts[1:], parts[0]], dim=1)


class ReadsNumbers(Body):
    def between(self, h: Tensor) -> Any:
        scale = float(h.detach().abs().max().item())
        assert scale < 100.0
        if not torch.isfinite(h).all():
            return torch.nan_to_num(h)
        return h


class ManyArguments(nn.Module):
    """Blocks called by keyword, with dictionaries and lists between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)})

    def step(self, *, state: dict[str, Any], name: str, **options: float) -> dict[str, Any]:
        return {**state, "h": torch.tanh(self.blocks[name](input=state["h"])) * options.get("scale", 1.0)}

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        state: dict[str, Any] = {"h": self.first(x), "depth": [0]}
        for name in ("a", "b"):
            state = self.step(state=state, name=name, scale=0.5)
        return self.last(state["h"])


PYTHON: dict[str, Any] = {
    "training and gradient modes": AsksWhetherItTrains,
    "shapes, assertions and texts": ReadsShapes,
    "loops over features": Loops,
    "numbers of the activation": ReadsNumbers,
    "keywords and dictionaries": ManyArguments,
}


@pytest.mark.parametrize("name", PYTHON)
def test_python_in_forward_is_no_hindrance(name: str) -> None:
    user = User(PYTHON[name])
    assert profile(user.network(), (6,)).num_cuts >= 3
    assert_is_the_users_own(user)
