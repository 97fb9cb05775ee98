"""What is counted by hand, numbers of all types, and what profiling leaves alone."""

import copy
import random
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sfl_env.dnn.measure import profile
from sfl_env.dnn.split import as_chain
from sfl_env.errors import ProfileError
from sfl_env.learning import LocalTraining, SplitFederatedTraining, scheme
from tests.users_networks.bodies import between
from tests.users_networks.plain_loop import K, User, assert_is_the_users_own

pytestmark = pytest.mark.usefixtures("one_thread")

ENDS = 2 * 6 * 8 + 2 * 8 * 3
"""FLOPs of a first layer of 6 to 8 and a last one of 8 to 3."""


# K13: products that torch's own counter does not know.


class Between(nn.Module):
    """A first and a last layer, and a product between them."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
        self.weight, self.product = nn.Parameter(0.3 * torch.randn(*shape)), product

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.tanh(self.product(torch.tanh(self.first(x)), self.weight)))


def distances(mode: str) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda h, w: torch.cdist(h, w, compute_mode=mode)


PRODUCTS: dict[str, tuple[Any, float]] = {
    "matrix and vector": (lambda: Between(lambda h, w: h * (h @ w).unsqueeze(1), 8), 2 * 8),
    "einsum": (lambda: Between(lambda h, w: torch.einsum("ni,ij->nj", h, w), 8, 8), 2 * 64),
    "einsum of three": (lambda: Between(lambda h, w: torch.einsum("ni,ij,nj->nj", h, w, h), 8, 8), 2 * 64),
    "tensordot": (lambda: Between(lambda h, w: torch.tensordot(h, w, dims=1), 8, 8), 2 * 64),
    "bilinear": (lambda: Between(lambda h, w: nn.functional.bilinear(h, h, w), 8, 8, 8), 2 * (8 * 64 + 8 * 8)),
    "distances to vectors": (lambda: Between(torch.cdist, 8, 8), 3 * 64),
    "distances one by one": (lambda: Between(distances("donot_use_mm_for_euclid_dist"), 8, 8), 3 * 64),
    "products in one order": (
        lambda: Between(lambda h, w: torch.linalg.multi_dot([h, w.T, w]), 1, 8),
        2 * 8 + 2 * 8,
    ),
    "distances by a product": (lambda: Between(distances("use_mm_for_euclid_dist"), 8, 8), 2 * 8 * (8 + 2)),
    "distances within each sample": (
        lambda: Between(lambda h, w: torch.cdist(h.view(-1, 4, 2), w.view(32, 2)[:2]).flatten(1), 8, 8),
        3 * 8 * 2,
    ),
    "distances in sums": (lambda: Between(lambda h, w: torch.cdist(h, w, p=1.0), 8, 8), 3 * 64),
    "product of weights alone": (
        lambda: Between(lambda h, w: h * torch.linalg.multi_dot([w, w.T, w]).sum(), 8, 3),
        0,
    ),
    "inner products of pairs": (
        lambda: Between(lambda h, w: h * (h.unsqueeze(1) @ w @ h.unsqueeze(2))[:, 0], 8, 8),
        144,
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_all_products_are_counted(name: str) -> None:
    make, flops = PRODUCTS[name]
    assert profile(make(), (6,)).device_forward_flops[-1] == ENDS + flops
    assert_is_the_users_own(User(make), by_hand=False)


CHOOSING: dict[str, tuple[Any, str]] = {
    "products": (lambda h, w: torch.linalg.multi_dot([h, w, w]), "linalg_multi_dot.*in the order that you want"),
    "a chain": (lambda h, w: torch.chain_matmul(h, w, w), "chain_matmul.*in the order that you want"),
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated:UserWarning")
@pytest.mark.parametrize("name", CHOOSING)
def test_what_chooses_by_the_size_of_the_batch_how_it_computes_is_refused(name: str) -> None:
    product, message = CHOOSING[name]
    with pytest.raises(ProfileError, match=message):
        profile(Between(product, 8, 8), (6,))


def test_distances_to_many_vectors_are_a_product_whatever_the_batch() -> None:
    assert profile(Between(lambda h, w: torch.cdist(h, w)[:, :8], 30, 8), (6,)).device_forward_flops[
        -1
    ] == ENDS + 2 * 30 * (8 + 2)


def test_an_optimised_einsum_chooses_by_the_size_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Between(lambda h, w: torch.einsum("ni,ij,jk->nk", h, w, w), 8, 8)
    assert profile(network, (6,)).device_forward_flops[-1] == ENDS + 2 * 128
    limit = 1000

    def path(equation: str, *operands: Tensor, optimize: Any) -> Any:
        return [(1, 2), (0, 1)] if len(operands[0]) > limit else [(0, 1), (0, 1)], None

    library: Any = torch.backends.opt_einsum
    monkeypatch.setattr(library.m, "_opt_einsum", SimpleNamespace(contract_path=path))
    monkeypatch.setattr(library.m, "is_available", lambda: True)
    monkeypatch.setattr(library.m, "enabled", True)
    assert profile(network, (6,)).device_forward_flops[-1] == ENDS + 2 * 128
    limit = 8
    with pytest.raises(ProfileError, match=r"einsum.*in the order that you want"):
        profile(network, (6,))


def test_what_a_checkpoint_computes_anew_is_the_work_of_the_side_that_it_lies_on() -> None:
    class Saves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh())

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=False)

    costs = profile(between(Saves()), (6,))
    inside = profile(nn.Sequential(OrderedDict(a=nn.Linear(6, 8), b=Saves(), c=nn.Linear(8, 3))), (6,))
    for each in (costs, inside):
        # First layer: its weight's gradient; the block: all of its forward pass again, and both gradients.
        assert each.device_backward_flops.tolist()[-2:] == [96 + 2 * 128 + 4 * 128, 96 + 6 * 128 + 2 * 48]
    whole = as_chain(InOne(Saves()), (6,))
    names = [cut.name for cut in whole.cuts]
    if "block.inner.1" in names:  # where the block itself is cut, each side computes its own part anew
        at = names.index("block.inner.1")
        assert whole.costs.backward_flops.per_sample[at] == 96 + 128 + 2 * 128


class InOne(nn.Module):
    """A block between two layers, which may be cut inside."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.first, self.block, self.last = nn.Linear(6, 8), block, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.block(torch.tanh(self.first(x))))


# K17: numbers of other types, for the network and for its input.


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_costs_do_not_depend_on_the_precision(dtype: torch.dtype) -> None:
    assert profile(between(nn.LayerNorm(8)).to(dtype), (6,)) == profile(between(nn.LayerNorm(8)), (6,))
    images = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    assert profile(copy.deepcopy(images).to(dtype), (2, 6, 6)) == profile(images, (2, 6, 6))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.inner, self.out = nn.Embedding(11, 6), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Any:
        assert not ids.is_floating_point()
        return self.out(torch.tanh(self.inner(self.words(ids))).mean(1))


@pytest.mark.parametrize("dtype", [None, torch.int64, torch.int32])
def test_tokens_are_an_input_like_any_other(dtype: torch.dtype | None) -> None:
    costs = profile(Tokens(), (7,), input_dtype=dtype)
    assert costs.device_forward_flops.tolist() == [7 * 2 * 6 * 8, 7 * 2 * 6 * 8 + 2 * 8 * 3]


def test_pixels_as_bytes_are_taken_where_they_are_named() -> None:
    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = between()

        def forward(self, x: Tensor) -> Any:
            return self.body(x.float() / 255.0)

    assert profile(Bytes(), (6,), input_dtype=torch.uint8) == profile(Bytes(), (6,))


def test_complex_parameters_are_counted_in_real_products() -> None:
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 3)
            self.mix = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Any:
            h = self.first(x)
            return self.last((torch.complex(h, h) @ self.mix).abs())

    assert profile(Spectral(), (6,)).device_forward_flops[-1] == ENDS + 4 * 2 * 64


# K04 and K19: the caller's modes don't matter, and everything is left as it was.


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
        lambda: torch.random.fork_rng(devices=[]),
    ],
    ids=["no_grad", "inference_mode", "autocast", "default device", "forked generators"],
)
def test_the_callers_modes_change_nothing(mode: Any) -> None:
    network = between(nn.BatchNorm1d(8))
    wanted = profile(network, (6,))
    with mode():
        assert profile(network, (6,)) == wanted
    data = User(between).data()

    def training() -> SplitFederatedTraining:
        return SplitFederatedTraining(between, data, scheme("iid", K), LocalTraining(1, 4), device="cpu")

    outside, inside = training(), training()
    outside.reset(0)
    outside.run_round([0] * K)
    with mode():
        inside.reset(0)
        inside.run_round([0] * K)
    assert all(torch.equal(tensor, inside.weights()[name]) for name, tensor in outside.weights().items())


def test_the_default_type_of_numbers_changes_nothing() -> None:
    network = between()
    wanted = profile(network, (6,))
    torch.set_default_dtype(torch.float64)
    try:
        assert profile(network, (6,)) == wanted
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


class Busy(nn.Module):
    """Draws, counts, remembers and writes whatever it can."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.words = nn.Embedding(4, 8, max_norm=0.5)
        self.register_buffer("calls", torch.zeros(1))
        self.calls: Tensor
        self.seen: list[Tensor] = []
        self.cache: dict[str, Any] = {"count": 0}
        self.last_output: Tensor | None = None

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        self.cache["count"] += 1
        h = self.norm(self.first(x)) + self.words(torch.zeros(len(x), dtype=torch.int64))
        h = h + random.random() + float(np.random.rand()) + torch.rand(())  # noqa: NPY002
        self.seen.append(h)
        self.last_output = self.last(torch.dropout(torch.tanh(h), 0.5, self.training))
        return self.last_output


@pytest.mark.parametrize("training", [True, False])
def test_profiling_leaves_everything_alone(training: bool) -> None:
    network = Busy().train(training)
    network.norm.train(not training)
    network.first.requires_grad_(False)
    network.last.weight.grad = torch.ones_like(network.last.weight)
    handle = network.first.register_forward_hook(lambda module, inputs, output: None)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()]
    drawn = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    profile(network, (6,))
    assert [each.training for each in (network, network.first, network.norm)] == [training, training, not training]
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    now = [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in network.modules()]
    assert now == hooks
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert (random.getstate(), repr(np.random.get_state())) == drawn[1:]  # noqa: NPY002
    assert (network.seen, network.cache, network.last_output) == ([], {"count": 0}, None)
    assert not network.first.weight.requires_grad
    assert network.first.weight.grad is None
    assert torch.equal(network.last.weight.grad, torch.ones_like(network.last.weight))
    assert torch.is_grad_enabled()
    handle.remove()
