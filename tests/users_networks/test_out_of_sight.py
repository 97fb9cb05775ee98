"""Numbers that leave torch, other threads, batches that only some sizes fit, and what a run leaves behind."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sfl_env.dnn import watch
from sfl_env.dnn.measure import profile
from sfl_env.errors import ProfileError, TrainingError
from sfl_env.learning import LocalTraining, NumberFormats, SplitFederatedTraining, scheme
from tests.users_networks.bodies import Body, chain
from tests.users_networks.plain_loop import K, User, assert_is_the_users_own

pytestmark = pytest.mark.usefixtures("one_thread")


class ThroughNumpy(Body):
    """What the first layer tells is needed at the end, and comes there through NumPy."""

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        aside = h.detach().numpy().copy()
        return self.last(torch.tanh(self.middle(h)) + torch.from_numpy(aside))


class ThroughAList(ThroughNumpy):
    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        aside = h.tolist()
        return self.last(torch.tanh(self.middle(h)) + torch.tensor(aside))


class RawThroughNumpy(Body):
    def forward(self, x: Tensor) -> Any:
        aside = x.numpy().copy()
        h = torch.tanh(self.middle(torch.tanh(self.first(x))))
        return self.last(h + torch.from_numpy(aside).mean(dim=1, keepdim=True))


@pytest.mark.parametrize("kind", [ThroughNumpy, ThroughAList])
def test_what_leaves_torch_may_be_needed_to_the_end(kind: type[nn.Module]) -> None:
    # Before it leaves there is one tensor, behind that two.
    assert profile(kind(), (6,)).device_forward_flops.tolist() == [96, 272]


def test_the_raw_input_does_not_leave_through_numpy() -> None:
    with pytest.raises(ProfileError, match="no legal cut"):
        profile(RawThroughNumpy(), (6,))


def test_modules_in_other_threads_are_refused() -> None:
    class Threaded(Body):
        def between(self, h: Tensor) -> Any:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self.middle, h).result()

    with pytest.raises(ProfileError, match="'middle' of Threaded runs in another thread"):
        profile(Threaded(), (6,))


class InPairs(Body):
    """Takes batches of even size alone."""

    def between(self, h: Tensor) -> Any:
        return h.view(-1, 2, 8).flip(1).reshape(h.shape)


def test_a_batch_size_that_fits_is_looked_for() -> None:
    assert profile(InPairs(), (6,)).device_forward_flops.tolist() == [96, 224, 272]


def test_a_network_that_fails_later_is_told() -> None:
    class Fails(Body):
        def between(self, h: Tensor) -> Any:
            if len(h) == 3 or len(h) > 5:
                raise OSError("the disk is full")
            return h

    with pytest.raises(ProfileError, match="OSError: the disk is full"):
        profile(Fails(), (6,))


def test_a_run_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Any]] = []

    class Noted(watch._Watch):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            alive.append(weakref.ref(self))

    monkeypatch.setattr(watch, "_Watch", Noted)
    for network in (chain(), AsksForValues()):
        profile(network, (6,))
    gc.collect()
    assert alive
    assert all(reference() is None for reference in alive)


class AsksForValues(Body):
    def between(self, h: Tensor) -> Any:
        return h if float(h.detach().sum()) > -1e9 else -h


def of_operations_that_save_what_they_return() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3), nn.LogSoftmax(1)
    )


def halved(module: nn.Module, inputs: Any, outputs: Any) -> Any:
    return (inputs[0] * 0.5,)


def doubled(module: nn.Module, outputs: Any) -> Any:
    return (outputs[0] * 2.0,)


class ScalesGradients(Body):
    """Full backward hooks, which the graph keeps."""

    def __init__(self, *, asks_for_values: bool) -> None:
        super().__init__()
        self.asks_for_values = asks_for_values
        self.middle.register_full_backward_hook(halved)
        self.last.register_full_backward_pre_hook(doubled)

    def between(self, h: Tensor) -> Any:
        return h if not self.asks_for_values or float(h.detach().sum()) > -1e9 else -h


def scales_gradients() -> nn.Module:
    return ScalesGradients(asks_for_values=False)


def scales_gradients_by_values() -> nn.Module:
    return ScalesGradients(asks_for_values=True)


def tensors_alive() -> int:
    gc.collect()
    return sum(issubclass(type(each), Tensor) for each in gc.get_objects())


@pytest.mark.parametrize(
    "make",
    [
        chain,
        of_operations_that_save_what_they_return,
        AsksForValues,
        scales_gradients,
        scales_gradients_by_values,
    ],
)
def test_no_tensor_of_a_run_stays(make: Callable[[], nn.Module]) -> None:
    network = make()
    profile(network, (6,))  # what torch makes once and keeps
    before = tensors_alive()
    for _ in range(3):
        profile(network, (6,))
    assert tensors_alive() == before


def masked(layers: int) -> nn.Module:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(11, 16)
            layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            self.last = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Any:
            return self.last(self.encoder(self.embed(x), src_key_padding_mask=x == 0)[:, 0])

    return Masked()


def test_a_mask_is_sent_once_however_many_layers_read_it() -> None:
    costs = profile(masked(4), (12,))
    sent = costs.smashed_elements - costs.smashed_gradient_elements
    # Behind the last attention nobody reads it.
    assert sent.tolist() == [12.0] * (2 * 4 - 2) + [0.0] * (costs.num_cuts - (2 * 4 - 2))


def test_formats_that_cannot_be_are_refused() -> None:
    broken: list[Any] = [
        NumberFormats(activation_bits=-1),
        NumberFormats(parameter_bits=0),
        NumberFormats(label_bits=2.5),  # type: ignore[arg-type]
        NumberFormats(frozen_weights_travel="no"),  # type: ignore[arg-type]
        (32, 32),
    ]
    for formats in broken:
        with pytest.raises(TrainingError, match=r"_bits is|frozen_weights_travel is|formats is"):
            SplitFederatedTraining(
                chain,
                User(chain).data(),
                scheme("iid", K),
                executor="message-passing",
                formats=formats,
                device="cpu",
            )


def frozen() -> nn.Module:
    return chain().requires_grad_(False)


def test_arguments_of_other_kinds_are_named() -> None:
    data: Any = User(chain).data()
    draw: Any = scheme("iid", K)
    cases: list[tuple[str, Any]] = [
        ("network returned", lambda: SplitFederatedTraining(lambda: None, data, draw)),  # type: ignore[arg-type, return-value]
        ("network is Sequential", lambda: SplitFederatedTraining(chain(), data, draw)),
        ("data is NoneType", lambda: SplitFederatedTraining(chain, None, draw)),  # type: ignore[arg-type]
        ("partition is 'iid'", lambda: SplitFederatedTraining(chain, data, "iid")),  # type: ignore[arg-type]
        ("local is 5", lambda: SplitFederatedTraining(chain, data, draw, 5)),  # type: ignore[arg-type]
        ("dtype is torch.int64", lambda: SplitFederatedTraining(chain, data, draw, dtype=torch.int64)),
        ("Nothing in the Sequential trains", lambda: SplitFederatedTraining(frozen, data, draw)),
        ("no weights before", lambda: SplitFederatedTraining(chain, data, draw, device="cpu").weights()),
        ("input_dtype is 'int64'", lambda: profile(chain(), (6,), input_dtype="int64")),  # type: ignore[arg-type]
    ]
    for message, call in cases:
        with pytest.raises((TrainingError, ProfileError, ValueError), match=message):
            call()


def test_sizes_of_numpy_are_sizes() -> None:
    local = LocalTraining(iterations=1, batch_size=np.int64(4))  # type: ignore[arg-type]
    training = SplitFederatedTraining(chain, User(chain).data(), scheme("iid", K), local, device="cpu")
    training.reset(0)
    assert training.run_round([0] * K).round == 1


class SparseAside(Body):
    """A sparse tensor of the first layer's result is needed behind the second."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(self.first(x))
        aside = h.detach().to_sparse()
        return self.last(torch.cat([torch.tanh(self.middle(h)), aside.to_dense()], dim=1))


class OverAGraph(Body):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("neighbours", torch.eye(8).to_sparse())

    def between(self, h: Tensor) -> Any:
        return torch.sparse.mm(self.neighbours, h.T).T


def test_sparse_tensors_cross_like_all_others() -> None:
    # Behind the second layer alone there would be 8 numbers to send, but the sparse ones cross there, too.
    assert profile(SparseAside(), (6,)).smashed_elements.tolist() == [8, 16, 0]


def test_a_sparse_buffer_is_a_constant() -> None:
    # 8 numbers of the graph, each with a sample's one number.
    assert profile(OverAGraph(), (6,)).device_forward_flops.tolist() == [96, 96 + 16, 240, 288]
    with pytest.raises(TrainingError, match=r"'neighbours' of the network is torch\.sparse_coo"):
        SplitFederatedTraining(OverAGraph, User(chain).data(), scheme("iid", K), device="cpu")


STORED = 11
"""Values that the matrix of a graph holds."""


class MakesASparseMatrix(Body):
    """Its graph is a dense buffer, of which each call makes a sparse matrix."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("graph", (torch.arange(64) % 6 == 0).view(8, 8).to(torch.get_default_dtype()))
        self.graph: Tensor
        self.product = product

    def between(self, h: Tensor) -> Any:
        return self.product(self.graph, h.T).T


def of_coordinates(graph: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(graph.nonzero().T, graph[graph > 0], graph.shape)


SPARSE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "by coordinates": lambda graph, h: graph.to_sparse() @ h,
    "by rows": lambda graph, h: graph.to_sparse_csr() @ h,
    "made of coordinates": lambda graph, h: of_coordinates(graph) @ h,
    "summed up": lambda graph, h: torch.sparse.mm(of_coordinates(graph).coalesce(), h),
    "transposed": lambda graph, h: (graph.to_sparse().t() * 0.5) @ h,
}


@pytest.mark.filterwarnings("ignore:Sparse .* support is in beta:UserWarning")
@pytest.mark.parametrize("name", SPARSE)
def test_a_sparse_matrix_made_of_a_buffer_is_a_constant_whose_product_counts(name: str) -> None:
    def make() -> nn.Module:
        return MakesASparseMatrix(SPARSE[name])

    costs = profile(make(), (6,))
    assert costs.device_forward_flops.tolist() == [96, 96 + 2 * STORED, 224 + 2 * STORED, 272 + 2 * STORED]
    assert costs.device_backward_flops[-1] == 96 + 2 * STORED + 256 + 96
    assert_is_the_users_own(User(make), by_hand=False)


class ByRows(Body):
    """Holds a sparse matrix as a buffer."""

    def __init__(self, layout: torch.layout) -> None:
        super().__init__()
        block = (2, 2) if layout in (torch.sparse_bsr, torch.sparse_bsc) else None
        self.register_buffer("graph", torch.eye(8).to_sparse(layout=layout, blocksize=block))
        self.graph: Tensor

    def between(self, h: Tensor) -> Any:
        return (self.graph @ h.T).T


@pytest.mark.filterwarnings("ignore:Sparse .* support is in beta:UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr])
def test_a_sparse_buffer_that_cannot_be_copied_is_named(layout: torch.layout) -> None:
    network = nn.Sequential(ByRows(layout), nn.LogSoftmax(1))
    with pytest.raises(ProfileError, match=rf"0\.graph of Sequential has the layout {layout}.*Keep it dense"):
        profile(network, (6,))


def test_a_sparse_matrix_without_values_is_refused() -> None:
    with torch.device("meta"):
        network = MakesASparseMatrix(SPARSE["by coordinates"])
    with pytest.raises(ProfileError, match=r"sparse matrix .* on the CPU"):
        profile(network, (6,))
