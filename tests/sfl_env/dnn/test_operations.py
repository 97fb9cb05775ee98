"""FLOPs of single operations, also those that only a GPU or another library runs: shapes are enough."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import library as operators
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sfl_env.dnn.flops import operation_flops
from sfl_env.dnn.operations import ESTIMATES, FORMULAS, MENDED
from sfl_env.dnn.sparse import SPARSE_PRODUCTS
from sfl_env.errors import ProfileError

aten = torch.ops.aten
M, K, N = 3, 4, 5


def hollow(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


def known_flops(run: Any) -> int:
    """Count with torch's own counter."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("operation", "arguments", "out"),
    [
        (aten.mm.dtype, (hollow(M, K), hollow(K, N), torch.float32), hollow(M, N)),
        (aten.addmm.dtype, (hollow(N), hollow(M, K), hollow(K, N), torch.float32), hollow(M, N)),
        (aten.bmm.dtype, (hollow(1, M, K), hollow(1, K, N), torch.float32), hollow(1, M, N)),
        (aten.baddbmm.dtype, (hollow(1), hollow(1, M, K), hollow(1, K, N), torch.float32), hollow(1, M, N)),
        (aten.addmm_.default, (hollow(M, N), hollow(M, K), hollow(K, N)), hollow(M, N)),
        (aten.baddbmm_.default, (hollow(1, M, N), hollow(1, M, K), hollow(1, K, N)), hollow(1, M, N)),
        (aten._addmm_activation.default, (hollow(N), hollow(M, K), hollow(K, N)), hollow(M, N)),
        (aten._int_mm.default, (hollow(M, K), hollow(K, N)), hollow(M, N)),
        (aten._scaled_mm.default, (hollow(M, K), hollow(K, N), hollow(1), hollow(1)), hollow(M, N)),
        (aten._weight_int8pack_mm.default, (hollow(M, K), hollow(N, K), hollow(N)), hollow(M, N)),
        (aten.linear.default, (hollow(M, K), hollow(N, K)), hollow(M, N)),
        (aten.mkldnn_linear.default, (hollow(M, K), hollow(N, K)), hollow(M, N)),
        (aten.mkldnn_linear_backward_input.default, ([M, K], hollow(M, N), hollow(N, K)), hollow(M, K)),
        (
            aten.mkldnn_linear_backward_weights.default,
            (hollow(M, N), hollow(M, K), hollow(N, K), False),
            (hollow(N, K), hollow(N)),
        ),
    ],
    ids=str,
)
def test_one_matrix_product_in_many_forms(operation: Any, arguments: tuple[Any, ...], out: Any) -> None:
    assert operation_flops(operation, arguments, {}, out) == 2 * M * K * N


def test_sums_of_batches_and_lists_of_products() -> None:
    batch = hollow(7, M, K), hollow(7, K, N)
    assert operation_flops(aten.addbmm.default, (hollow(M, N), *batch), {}, hollow(M, N)) == 7 * 2 * M * K * N
    lists = [hollow(M, K), hollow(2, 3)], [hollow(K, N), hollow(3, 6)]
    assert operation_flops(aten._foreach_mm.default, lists, {}, []) == 2 * M * K * N + 2 * 2 * 3 * 6


@pytest.mark.parametrize(
    ("operation", "arguments", "flops"),
    [
        (aten.mv.default, (hollow(M, K), hollow(K)), 2 * M * K),
        (aten.addmv.default, (hollow(M), hollow(M, K), hollow(K)), 2 * M * K),
        (aten.addmv_.default, (hollow(M), hollow(M, K), hollow(K)), 2 * M * K),
        (aten.dot.default, (hollow(K), hollow(K)), 2 * K),
        (aten.vdot.default, (hollow(K), hollow(K)), 2 * K),
        (aten.addr.default, (hollow(M, K), hollow(M), hollow(K)), 2 * M * K),
        (aten.mul.Tensor, (hollow(M, 1), hollow(1, K)), 0),
    ],
    ids=str,
)
def test_products_with_vectors(operation: Any, arguments: tuple[Any, ...], flops: int) -> None:
    assert operation_flops(operation, arguments, {}, operation(*arguments)) == flops


@pytest.mark.parametrize(
    ("left", "right", "flops"),
    [
        ((9, K), (2, K, N), 2 * 9 * K * N),  # groups of the 9 rows
        ((2, M, K), (K, 9), 2 * M * K * 9),  # groups of the 9 columns
        ((M, 9), (9, N), 2 * M * 9 * N),  # groups of the 9 terms
        ((2, M, K), (2, K, N), 2 * 2 * M * K * N),
    ],
)
def test_grouped_products_cost_the_sum_of_their_groups(left: Any, right: Any, flops: int) -> None:
    arguments = hollow(*left), hollow(*right), hollow(2, dtype=torch.int32)
    assert operation_flops(aten._grouped_mm.default, arguments, {}, None) == flops


PLAIN = ([1, 1], [0, 0], [1, 1])  # stride, padding, dilation


@pytest.mark.parametrize("groups", [1, 3])
def test_convolutions_of_every_library_cost_the_same(groups: int) -> None:
    x, weight = hollow(2, 6, 9, 9), hollow(12, 6 // groups, 3, 3)
    out = functional.conv2d(x, weight, groups=groups)
    flops = known_flops(lambda: functional.conv2d(x, weight, groups=groups))
    assert flops == 2 * out.numel() * 6 // groups * 9
    stride, padding, dilation = PLAIN
    calls: dict[Any, tuple[Any, ...]] = {
        aten.cudnn_convolution.default: (padding, stride, dilation, groups, True, False, True),
        aten.cudnn_convolution_relu.default: (None, stride, padding, dilation, groups),
        aten.miopen_convolution.default: (None, padding, stride, dilation, groups, True, False),
        aten.mkldnn_convolution.default: (None, padding, stride, dilation, groups),
        aten._convolution.default: (None, *PLAIN, False, [0, 0], groups, True, False, True, True),
        aten.convolution.default: (None, *PLAIN, False, [0, 0], groups),
    }
    if groups == 1:
        calls[aten._slow_conv2d_forward.default] = ([3, 3], None, stride, padding)
        calls[aten.slow_conv_dilated2d.default] = ([3, 3], None, stride, padding, dilation)
        calls[aten._nnpack_spatial_convolution.default] = (None, padding)
    for operation, rest in calls.items():
        assert operation_flops(operation, (x, weight, *rest), {}, out) == flops, operation


def test_gradients_of_a_slow_convolution_cost_what_the_layer_does_each() -> None:
    x, weight, grad = hollow(2, 6, 9, 9), hollow(12, 6, 3, 3), hollow(2, 12, 7, 7)
    one = operation_flops(aten._slow_conv2d_forward.default, (x, weight, [3, 3], None, *PLAIN[:2]), {}, grad)
    for mask in ([True, True, True], [False, True, True], [True, False, False], [False, False, True]):
        given = (grad, x, weight, [3, 3], *PLAIN[:2], mask)
        assert operation_flops(aten._slow_conv2d_backward.output_mask, given, {}, None) == one * sum(mask[:2])


@pytest.mark.parametrize("groups", [1, 3])
def test_transposed_convolutions_place_their_filter_at_each_input(groups: int) -> None:
    x, weight = hollow(2, 6, 5, 5), hollow(6, 12 // groups, 3, 3)
    out = functional.conv_transpose2d(x, weight, groups=groups)
    flops = known_flops(lambda: functional.conv_transpose2d(x, weight, groups=groups))
    assert flops == 2 * x.numel() * 12 // groups * 9
    rest = ([0, 0], [0, 0], [1, 1], [1, 1], groups, True, False, True)
    assert operation_flops(aten.cudnn_convolution_transpose.default, (x, weight, *rest), {}, out) == flops
    if groups == 1:
        assert operation_flops(aten.slow_conv_transpose2d.default, (x, weight, [3, 3]), {}, out) == flops


def test_convolution_over_time_first_sequences() -> None:
    x, weight, bias = torch.rand(9, 2, 4), torch.rand(3, 4, 5), torch.rand(5)
    flops = operation_flops(aten.conv_tbc.default, (x, weight, bias), {}, torch.conv_tbc(x, weight, bias))
    assert flops == known_flops(lambda: functional.conv1d(x.permute(1, 2, 0), weight.permute(2, 1, 0)))


def plain_attention_flops(query: Tensor, key: Tensor, value: Tensor) -> int:
    def run() -> None:
        grouped = query.shape[1] != key.shape[1]
        functional.scaled_dot_product_attention(query, key, value, enable_gqa=grouped)

    with sdpa_kernel(SDPBackend.MATH):
        return known_flops(run)


@pytest.mark.parametrize("key_heads", [6, 2])
def test_fused_attention_costs_its_products(key_heads: int) -> None:
    query, key, value = hollow(2, 6, 10, 8), hollow(2, key_heads, 12, 8), hollow(2, key_heads, 12, 4)
    plain = plain_attention_flops(query, key, value)
    assert plain == 2 * 2 * 6 * 10 * 12 * (8 + 4)
    for operation in (
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        aten._scaled_dot_product_flash_attention.default,
        aten._scaled_dot_product_fused_attention_overrideable.default,
    ):
        assert operation_flops(operation, (query, key, value), {}, None) == plain, operation
    tokens_first = [x.transpose(1, 2) for x in (query, key, value)]
    flash = (*tokens_first, None, None, 10, 12, 0.0, False, False)
    assert operation_flops(aten._flash_attention_forward.default, flash, {}, None) == plain
    efficient = (*tokens_first, None, None, None, 10, 12, 0.0, 0)
    assert operation_flops(aten._efficient_attention_forward.default, efficient, {}, None) == plain


def test_attention_of_packed_sequences_costs_each_of_them() -> None:
    lengths = torch.tensor([0, 3, 10])
    packed = [torch.rand(10, 6, 8)] * 3
    flops = operation_flops(
        aten._flash_attention_forward.default, (*packed, lengths, lengths, 7, 7, 0.0, False, False), {}, None
    )
    assert flops == sum(plain_attention_flops(*[hollow(1, 6, tokens, 8)] * 3) for tokens in (3, 7))


def test_fused_attention_runs_its_first_product_again_backwards() -> None:
    grad, query, key = hollow(2, 6, 10, 8), hollow(2, 6, 10, 8), hollow(2, 6, 12, 8)
    five_products = 5 * 2 * 2 * 6 * 10 * 12 * 8
    log_sums = hollow(2, 6, 10)
    cpu = (grad, query, key, key, grad, log_sums, 0.0, False)
    backward = aten._scaled_dot_product_flash_attention_for_cpu_backward.default
    assert operation_flops(backward, cpu, {}, None) == five_products
    out, query_t, key_t = (x.transpose(1, 2) for x in (grad, query, key))
    flash = (out, query_t, key_t, key_t, out, log_sums, None, None, 10, 12, 0.0, False, log_sums, log_sums)
    assert operation_flops(aten._flash_attention_backward.default, flash, {}, None) == five_products
    efficient = (
        out,
        query_t,
        key_t,
        key_t,
        None,
        out,
        None,
        None,
        10,
        12,
        log_sums,
        0.0,
        log_sums,
        log_sums,
        0,
        False,
    )
    assert operation_flops(aten._efficient_attention_backward.default, efficient, {}, None) == five_products


@pytest.mark.parametrize("projection", [0, 3])
def test_recurrent_kernels_of_gpus_cost_what_their_steps_do(projection: int) -> None:
    with torch.device("meta"):
        module = nn.LSTM(5, 7, 2, bidirectional=True, proj_size=projection)
        x, state = hollow(4, 2, 5), hollow(4, 2, projection or 7)
    steps = known_flops(lambda: module(x))
    weights = list(module.parameters())
    rest: tuple[Any, ...] = (2, 7, projection, 2, False, 0.0, True, True, [], None)
    forward = (x, weights, 4, None, state, state, *rest)
    assert operation_flops(aten._cudnn_rnn.default, forward, {}, None) == steps
    for mask, passes in (([True, True, True, True], 2), ([True, True, True, False], 1)):
        backward = (x, weights, 4, x, state, state, x, x, None, None, *rest, x, mask)
        assert operation_flops(aten._cudnn_rnn_backward.default, backward, {}, None) == passes * steps


def test_affine_grids_are_products_with_their_matrices() -> None:
    theta = torch.rand(2, 2, 3)
    grid = functional.affine_grid(theta, [2, 1, 5, 6], align_corners=False)
    flops = operation_flops(aten.affine_grid_generator.default, (theta, [2, 1, 5, 6], False), {}, grid)
    assert flops == known_flops(lambda: torch.rand(2, 30, 3) @ theta.mT)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sampled_products_cost_the_samples() -> None:
    pattern = torch.eye(4).to_sparse_csr()
    arguments = pattern, torch.rand(4, 6), torch.rand(6, 4)
    assert operation_flops(aten.sparse_sampled_addmm.default, arguments, {}, None) == 2 * 4 * 6


def test_two_numbers_may_share_an_element() -> None:
    left = hollow(M, K // 2, dtype=torch.float4_e2m1fn_x2)
    right = hollow(K // 2, N, dtype=torch.float4_e2m1fn_x2)
    given = left, right, hollow(1), hollow(1)
    assert operation_flops(aten._scaled_mm.default, given, {}, None) == 2 * M * K * N


def names_of_torch() -> set[str]:
    """Return the names of all operations of torch's own namespaces."""
    return {schema.name for schema in torch._C._jit_get_all_schemas()}


def test_every_formula_is_of_an_operation_that_torch_has() -> None:
    names = {name.partition("::")[2] for name in names_of_torch() if name.startswith(("aten::", "prims::"))}
    assert {*ESTIMATES, *FORMULAS, *MENDED, *SPARSE_PRODUCTS} <= names


WHOLE_FAMILIES = [
    *(
        "attention",
        "conv1d",
        "conv2d",
        "conv3d",
        "convolution",
        "einsum",
        "matmul",
        "multi_dot",
        "tensordot",
        "kron",
    ),
    *("gru", "lstm", "rnn_", "cholesky", "geqrf", "householder", "ldl_", "linalg_eig", "linalg_lu", "lstsq"),
    *("matrix_exp", "orgqr", "ormqr", "pinv", "slogdet", "solve", "svd"),
]
FREE_OF_THEM = ("resolve_", "mkldnn_reorder_", "thnn_fused", "flatten_weight", "fused_sdp_choice")


@pytest.mark.parametrize("family", WHOLE_FAMILIES)
def test_no_member_of_a_family_of_products_or_solvers_is_free(family: str) -> None:
    """Called with nothing, each is counted, taken apart or refused, all of which fail; what is free returns 0."""
    members = {name.removeprefix("aten::") for name in names_of_torch() if name.startswith("aten::")}
    for member in members:
        if family not in member or any(word in member for word in FREE_OF_THEM):
            continue
        packet = getattr(aten, member)
        for overload in packet.overloads():
            with pytest.raises(ProfileError):
                operation_flops(getattr(packet, overload), (), {}, None)


def test_operations_over_boxes_are_pooling() -> None:
    with operators._scoped_library("torchvision", "FRAGMENT") as torchvision:
        torchvision.define("ps_roi_pool(Tensor boxes) -> Tensor")
        assert operation_flops(torch.ops.torchvision.ps_roi_pool.default, (hollow(3, 4),), {}, hollow(3)) == 0
        torchvision.define("deform_conv2d(Tensor x) -> Tensor")
        with pytest.raises(ProfileError, match=r"torch\.ops\.torchvision\.deform_conv2d"):
            operation_flops(torch.ops.torchvision.deform_conv2d.default, (hollow(3, 4),), {}, hollow(3))


def test_operations_of_higher_order() -> None:
    flex = torch.ops.higher_order.flex_attention
    query = hollow(2, 6, 10, 8)
    assert operation_flops(flex, (query, query, query), {}, None) == plain_attention_flops(query, query, query)
    with pytest.raises(ProfileError, match=r"torch\.ops\.higher_order\.cond"):
        operation_flops(torch.ops.higher_order.cond, (), {}, None)
