"""What products with sparse matrices cost, which depends on how many values these hold."""

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from sfl_env.errors import ProfileError

SPARSE_PRODUCTS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "mv": ("self", "vec"),
    "addmm": ("mat1", "mat2"),
    "addmv": ("mat", "vec"),
    "_sparse_addmm": ("mat1", "mat2"),
    "_sparse_mm_reduce_impl": ("self", "other"),
}
"""The factors of products that take sparse matrices."""


def stored(matrix: Tensor) -> int:
    """Return how many values a sparse matrix holds.

    Raises
    ------
    ProfileError
        If its values are not there, as in a run without values.
    """
    if isinstance(matrix, FakeTensor) or matrix.is_meta:
        raise ProfileError(
            "How many values a sparse matrix holds, values alone tell. Build the network on the CPU."
        )
    values = matrix._values() if matrix.layout is torch.sparse_coo else matrix.values()
    return int(values.numel())


def sparse_product_flops(left: Tensor, right: Tensor) -> int:
    """Return the FLOPs of a sparse matrix times a dense one: each stored value meets a row of the other.

    Raises
    ------
    ProfileError
        If both are sparse, since then the cost depends on where their values lie.
    """
    if is_sparse(left) and is_sparse(right):
        raise ProfileError("The FLOPs of two sparse matrices' product are not known. Make one of them dense.")
    if is_sparse(left):
        return int(2 * stored(left) * (right.shape[-1] if right.dim() > 1 else 1))
    return int(2 * stored(right) * left.shape[-2])


def is_sparse(tensor: Tensor) -> bool:
    """Return whether a tensor stores its values in one of torch's sparse layouts."""
    return tensor.layout in _SPARSE


_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
