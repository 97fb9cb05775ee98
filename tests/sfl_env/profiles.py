"""Profiles that have everything a profile may have: work per batch, frozen weights, buffers that stay."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from sfl_env.dnn.profile import DNNProfile

COUNTS = st.integers(0, 10**9)

ODD: dict[str, Any] = {
    "name": "odd",
    "input_shape": (7,),
    "cut_names": ("frozen", "adapter", "head"),
    "device_forward_flops": [3e8, 4e8, 9e8],
    "device_backward_flops": [0, 1e8, 7e8],
    "server_forward_flops": [6e8, 5e8, 0],
    "server_backward_flops": [8e8, 7e8, 0],
    "smashed_elements": [700, 1100, 0],
    "device_parameters": [50_000, 50_400, 61_000],
    "device_buffers": [300, 420, 450],
    "device_activation_elements": [10, 900, 2_000],
    "device_forward_flops_per_batch": [0, 2e10, 2.5e10],
    "device_backward_flops_per_batch": [0, 3e10, 5e10],
    "server_forward_flops_per_batch": [2.5e10, 5e9, 0],
    "server_backward_flops_per_batch": [5.5e10, 2e10, 0],
    "smashed_gradient_elements": [0, 1100, 0],
    "device_frozen_parameters": [50_000, 50_000, 50_100],
    "device_constant_buffers": [300, 310, 310],
}
"""A frozen backbone with a position table, an adapter whose weight is a product of two, and a head."""


def odd(**changes: Any) -> DNNProfile:
    """Return the profile of :data:`ODD` with some fields changed."""
    return DNNProfile(**{**ODD, **changes})


@st.composite
def profiles(draw: st.DrawFn) -> DNNProfile:
    """Draw a profile of up to 6 cuts in whole numbers, every field at random."""
    num_cuts = draw(st.integers(1, 6))

    def steps(counts: st.SearchStrategy[int] = COUNTS) -> np.ndarray:
        return np.array(draw(st.lists(counts, min_size=num_cuts, max_size=num_cuts)), dtype=float)

    def both_sides(work: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return work.cumsum(), work.sum() - work.cumsum()

    forward, forward_after = both_sides(steps())
    per_batch, per_batch_after = both_sides(steps())
    smashed = np.append(steps(st.integers(1, 10**7))[1:], 0.0)
    frozen, constant = steps().cumsum(), steps().cumsum()
    return DNNProfile(
        name="drawn",
        input_shape=(3,),
        cut_names=tuple(f"block {cut}" for cut in range(num_cuts)),
        device_forward_flops=forward,
        device_backward_flops=steps().cumsum(),
        server_forward_flops=forward_after,
        server_backward_flops=both_sides(steps())[1],
        smashed_elements=smashed,
        device_parameters=frozen + steps().cumsum(),
        device_buffers=constant + steps().cumsum(),
        device_activation_elements=steps(),
        device_forward_flops_per_batch=per_batch,
        device_backward_flops_per_batch=steps().cumsum(),
        server_forward_flops_per_batch=per_batch_after,
        server_backward_flops_per_batch=both_sides(steps())[1],
        smashed_gradient_elements=smashed * steps(st.integers(0, 1)),
        device_frozen_parameters=frozen,
        device_constant_buffers=constant,
    )
