"""FLOPs of whole modules, added up over the operations that they run, against counts made by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch import library as operators
from torch.nn import functional
from torch.utils import flop_counter
from torch.utils._python_dispatch import TorchDispatchMode

from sfl_env.dnn.flops import counted_flops, operation_flops
from sfl_env.dnn.networks import build
from sfl_env.errors import ProfileError

sizes = st.integers(1, 6)
DEVICES = ["cpu", "meta"]


class Tally(TorchDispatchMode):
    """What a user of ``operation_flops`` writes: the sum over all operations that run inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.flops += operation_flops(func, args, kwargs or {}, out)
        return out


def flops_of(run: Callable[..., Any], *inputs: Any) -> int:
    with Tally() as tally:
        run(*inputs)
    return int(tally.flops)


def forward_and_backward(run: Callable[..., Any], *inputs: Any) -> tuple[int, int]:
    with Tally() as forward:
        out = run(*inputs)
    first = out[0] if isinstance(out, tuple) else out
    with Tally() as backward:
        first.sum().backward()
    return forward.flops, backward.flops


def leaf(*shape: int, device: str = "cpu") -> Tensor:
    return torch.rand(*shape, device=device, requires_grad=True)


@settings(max_examples=25, deadline=None)
@given(rows=sizes, inner=st.integers(2, 6), columns=sizes)  # to einsum, a sum of one term is a pointwise product
def test_one_product_costs_the_same_however_it_is_written(rows: int, inner: int, columns: int) -> None:
    x, w = torch.rand(rows, inner), torch.rand(inner, columns)
    written: list[Callable[[], object]] = [
        lambda: x.mm(w),
        lambda: x @ w,
        lambda: [w.T.mv(row) for row in x],
        lambda: [[row.dot(column) for column in w.T] for row in x],
        lambda: torch.einsum("ri,ic->rc", x, w),
        lambda: torch.tensordot(x, w, dims=1),
        lambda: functional.linear(x, w.T),
        lambda: torch.bmm(x[None], w[None]),
        lambda: torch.addmm(torch.zeros(columns), x, w),
        lambda: torch.zeros(rows, columns).addmm_(x, w),
        lambda: functional.conv1d(x[:, :, None], w.T[:, :, None]),
        lambda: torch.linalg.multi_dot([x, w]),
    ]
    assert [flops_of(run) for run in written] == [2 * rows * inner * columns] * len(written)


@pytest.mark.parametrize(
    ("equation", "shapes", "multiply_accumulates"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 6 * 5),
        ("bi,ij,bj->b", [(2, 3), (3, 4), (2, 4)], 2 * 3 * 4 + 2 * 4),
        ("ij,j->i", [(3, 4), (4,)], 3 * 4),
        ("i,i->", [(5,), (5,)], 5),
        ("bii,bij->bj", [(2, 3, 3), (2, 3, 4)], 2 * 3 * 4),
        ("...ij,jk->...ik", [(2, 5, 3, 4), (4, 6)], 2 * 5 * 3 * 4 * 6),
        # Nothing is summed: pointwise work, free as every other.
        ("i,j->ij", [(3,), (4,)], 0),
        ("bij,bij->bij", [(2, 3, 4), (2, 3, 4)], 0),
        ("ii->i", [(3, 3)], 0),
        ("ij->j", [(3, 4)], 0),
    ],
)
@pytest.mark.parametrize("device", DEVICES)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], multiply_accumulates: int, device: str) -> None:
    operands = [torch.rand(shape, device=device) for shape in shapes]
    assert flops_of(torch.einsum, equation, *operands) == 2 * multiply_accumulates


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "transformer"])
def test_networks_cost_what_torch_counts(name: str) -> None:
    with torch.device("meta"):
        module, x = build(name), torch.empty(2, 3, 32, 32)
    with counted_flops() as forward, Tally() as tally:
        loss = module(x).sum()
    assert tally.flops == forward.get_total_flops() > 0
    with counted_flops() as backward, Tally() as tally:
        loss.backward()
    assert tally.flops == backward.get_total_flops() > 0


@pytest.mark.parametrize("device", DEVICES)
def test_bilinear_layers_cost_the_products_of_their_kernel(device: str) -> None:
    b, o, i, j = 2, 3, 5, 7
    layer = nn.Bilinear(i, j, o, device=device)
    forward, backward = forward_and_backward(layer, leaf(b, i, device=device), leaf(b, j, device=device))
    x, w, y = torch.rand(b, i), torch.rand(o, i, j), torch.rand(b, j)
    in_parts = flops_of(lambda: torch.einsum("boj,bj->bo", torch.einsum("bi,oij->boj", x, w), y))
    assert forward == in_parts == 2 * (b * o * i * j + b * o * j)
    # Each gradient is one product that sums; the others of the kernel are pointwise.
    assert backward == 3 * 2 * b * o * i * j


def test_a_bilinear_layer_without_samples_costs_nothing() -> None:
    assert flops_of(nn.Bilinear(5, 7, 3), torch.rand(0, 5), torch.rand(0, 7)) == 0


def matrix_elements(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() > 1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_networks_use_every_weight_in_every_step(
    kind: Any, both_ways: bool, layers: int, device: str
) -> None:
    batch, steps, hidden = 3, 4, 7
    module = kind(5, hidden, layers, batch_first=True, bidirectional=both_ways, device=device)
    forward, backward = forward_and_backward(module, leaf(batch, steps, 5, device=device))
    assert forward == 2 * batch * steps * matrix_elements(module)
    recurrent = sum(weight.numel() for name, weight in module.named_parameters() if "weight_hh" in name)
    # A fused kernel works out the gradient of the first state, which nobody asked for.
    fused = kind is nn.LSTM and device == "cpu" and torch.backends.mkldnn.is_available()
    assert backward == 2 * forward - (0 if fused else 2 * batch * recurrent)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_recurrent_cells(kind: Any, device: str) -> None:
    cell = kind(5, 7, device=device)
    assert flops_of(cell, torch.rand(3, 5, device=device)) == 2 * 3 * matrix_elements(cell)


def test_packed_sequences_cost_their_own_steps() -> None:
    module = nn.LSTM(5, 7)
    packed = nn.utils.rnn.pack_sequence([torch.rand(4, 5), torch.rand(2, 5)])
    assert flops_of(module, packed) == 2 * (4 + 2) * matrix_elements(module)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("inference", [False, True])
def test_multi_head_attention(device: str, inference: bool) -> None:
    batch, tokens, width = 2, 6, 8
    module = nn.MultiheadAttention(width, 2, batch_first=True, device=device).train(not inference)
    x = torch.rand(batch, tokens, width, device=device)
    with torch.inference_mode(inference):
        flops = flops_of(module, x, x, x)
    assert flops == 2 * batch * (4 * tokens * width**2 + 2 * tokens**2 * width)


def test_the_fast_path_of_a_transformer_costs_what_its_parts_cost() -> None:
    layer, x = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), torch.rand(2, 6, 8)
    with torch.no_grad():
        assert flops_of(layer.eval(), x) == flops_of(layer.train(), x) > 0


@pytest.mark.parametrize(
    ("run", "inputs"),
    [
        (torch.matmul, [(2, 3, 4), (4, 5)]),
        (functional.bilinear, [(2, 5), (2, 7), (3, 5, 7)]),
        (functional.conv2d, [(2, 3, 8, 8), (4, 3, 3, 3)]),
        (functional.conv_transpose1d, [(2, 3, 8), (3, 4, 3)]),
        (functional.scaled_dot_product_attention, [(2, 3, 4, 8), (2, 3, 6, 8), (2, 3, 6, 8)]),
        (torch.cdist, [(3, 4), (5, 4)]),
        (torch.cdist, [(30, 4), (5, 4)]),
        (torch.einsum, ["bi,ij,bj->b", (2, 3), (3, 4), (2, 4)]),
        (lambda x, y: torch.tensordot(x, y), [(3, 4, 5), (4, 5, 6)]),
        (torch.outer, [(3,), (4,)]),
    ],
)
def test_inference_mode_costs_what_training_does(run: Any, inputs: list[Any]) -> None:
    """Autograd takes these operations apart; in inference mode they arrive whole."""
    tensors = [shape if isinstance(shape, str) else torch.rand(shape) for shape in inputs]
    training = flops_of(run, *tensors)
    assert (training > 0) == (run is not torch.outer)
    with torch.inference_mode():
        assert flops_of(run, *tensors) == training


@pytest.mark.parametrize(("x", "y"), [((2, 3, 4), (2, 5, 4)), ((3, 4), (5, 4))])
def test_distances_cost_three_flops_for_each_coordinate_of_each_pair(
    x: tuple[int, ...], y: tuple[int, ...]
) -> None:
    forward, backward = forward_and_backward(torch.cdist, leaf(*x), leaf(*y))
    batch = 2 if len(x) == 3 else 1
    assert (forward, backward) == (3 * batch * 3 * 5 * 4, 2 * 3 * batch * 3 * 5 * 4)


def test_distances_of_many_points_are_matrix_products() -> None:
    n, m, d = 30, 40, 4
    forward, backward = forward_and_backward(torch.cdist, leaf(n, d), leaf(m, d))
    # |x|^2 - 2 x y + |y|^2 as one product of rows with two elements more.
    assert (forward, backward) == (2 * n * m * (d + 2), 2 * 2 * n * m * d)


def test_distances_within_one_set() -> None:
    forward, backward = forward_and_backward(functional.pdist, leaf(6, 4))
    assert (forward, backward) == (3 * 15 * 4, 4 * 15 * 4)


def test_weighted_bags_are_products_and_plain_ones_sums() -> None:
    table, indices, weights = leaf(9, 5), torch.tensor([[0, 1, 3], [2, 1, 8]]), leaf(2, 3)

    def bags(weights: Tensor | None) -> Tensor:
        return functional.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")

    assert forward_and_backward(bags, None) == (0, 0)
    assert forward_and_backward(bags, weights) == (2 * 6 * 5, 2 * 2 * 6 * 5)


def test_a_complex_product_is_four_real_ones() -> None:
    x, y = torch.rand(3, 4, dtype=torch.complex64), torch.rand(4, 5, dtype=torch.complex64)
    in_parts = flops_of(lambda: (x.real @ y.real - x.imag @ y.imag, x.real @ y.imag + x.imag @ y.real))
    assert flops_of(torch.mm, x, y) == in_parts == 4 * 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    ("run", "x", "flops"),
    [
        (torch.fft.fft, torch.rand(8, dtype=torch.complex64), 5 * 8 * 3),
        (torch.fft.ifft, torch.rand(3, 8, dtype=torch.complex64), 3 * 5 * 8 * 3),
        (torch.fft.rfft, torch.rand(3, 8), 3 * 5 * 8 * 3 / 2),
        (torch.fft.irfft, torch.rand(3, 5, dtype=torch.complex64), 3 * 5 * 8 * 3 / 2),
        (torch.fft.fft2, torch.rand(3, 8, 4, dtype=torch.complex64), 3 * 5 * 32 * 5),
        (torch.fft.rfft2, torch.rand(3, 8, 4), 3 * 5 * 32 * 5 / 2),
        (torch.fft.fft, torch.rand(3, 1, dtype=torch.complex64), 0),
        (torch.fft.fftshift, torch.rand(3, 8), 0),
        (torch.fft.fftfreq, 8, 0),
    ],
)
def test_fourier_transforms_cost_their_stated_estimate(run: Any, x: Any, flops: float) -> None:
    assert flops_of(run, x) == flops


@pytest.mark.filterwarnings("ignore:Sparse CS[RC] tensor support")
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
def test_sparse_products_use_the_values_stored(layout: str) -> None:
    adjacency, features = torch.eye(6) + torch.eye(6).roll(1, 0), torch.rand(6, 5)
    sparse = getattr(adjacency, layout)()
    assert flops_of(torch.mm, sparse, features) == 2 * 12 * 5
    assert flops_of(torch.addmm, features, sparse, features) == 2 * 12 * 5
    if layout != "to_sparse_csc":
        assert flops_of(torch.mv, sparse, features[:, 0]) == 2 * 12
    assert flops_of(torch.sparse.mm, sparse, features) == 2 * 12 * 5
    with pytest.raises(ProfileError, match="two sparse matrices"):
        flops_of(torch.mm, sparse, sparse)


@pytest.mark.parametrize(
    ("run", "operation"),
    [
        (torch.linalg.qr, "aten.linalg_qr.default"),
        (torch.linalg.svd, "aten._linalg_svd.default"),
        (torch.linalg.eigh, "aten._linalg_eigh.default"),
        (torch.linalg.inv, "aten.linalg_inv_ex.default"),
        (torch.linalg.cholesky, "aten.linalg_cholesky_ex.default"),
        (torch.linalg.det, "aten._linalg_det.default"),
        (torch.linalg.pinv, "aten.linalg_pinv"),
        (torch.matrix_exp, "aten.linalg_matrix_exp.default"),
        (lambda x: torch.linalg.solve(x, x), "aten._linalg_solve_ex.default"),
    ],
)
def test_solvers_and_decompositions_are_refused_by_name(run: Any, operation: str) -> None:
    with pytest.raises(ProfileError, match=r"FLOPs of .* are not known.*register_flop_formula") as refused:
        flops_of(run, torch.eye(3))
    assert operation in str(refused.value) or operation == "aten.linalg_pinv"


def test_other_libraries_operations_need_a_formula() -> None:
    @operators.custom_op("sfl_test::twice", mutates_args=())
    def twice(x: Tensor) -> Tensor:
        return 2 * x

    packet = torch.ops.sfl_test.twice
    with pytest.raises(ProfileError, match=r"register_flop_formula\(torch\.ops\.sfl_test\.twice\)"):
        flops_of(twice, torch.ones(3))
    flop_counter.register_flop_formula(packet)(lambda shape, out_shape=None: 7 * shape[0])
    try:
        assert flops_of(twice, torch.ones(3)) == 21
    finally:
        del flop_counter.flop_registry[packet]


def test_a_formula_that_fails_is_told_with_its_operation() -> None:
    matrices = torch.empty(2, 3, 4, device="meta"), torch.empty(4, 5, device="meta")
    with pytest.raises(ProfileError, match=r"FLOPs of aten\.bmm\.default cannot be counted .*ValueError"):
        operation_flops(torch.ops.aten.bmm.default, matrices, {}, torch.empty(2, 3, 5, device="meta"))


@pytest.mark.parametrize(
    "module",
    [
        nn.BatchNorm2d(3),
        nn.GroupNorm(3, 3),
        nn.GELU(),
        nn.Softmax(1),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.PixelUnshuffle(2),
        nn.Dropout(),
        nn.Unfold(2),
        nn.PReLU(3),
        nn.Hardswish(),
        nn.LocalResponseNorm(2),
    ],
)
def test_pointwise_work_pooling_and_copies_are_free(module: nn.Module) -> None:
    assert forward_and_backward(module, leaf(2, 3, 8, 8)) == (0, 0)


def test_quantisation_in_training_is_free() -> None:
    def fake(x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255)

    assert forward_and_backward(fake, leaf(2, 3)) == (0, 0)
