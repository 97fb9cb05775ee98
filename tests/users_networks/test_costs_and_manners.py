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
