"""FLOPs of a network's forward pass as torch counts them, and the products that it counts as nothing."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

_PRODUCTS = ("mv", "addmv", "dot", "vdot", "ger", "addr", "cdist", "trilinear", "mkldnn_rnn", "fft")
"""How the names of operations begin that multiply and add, if torch counts nothing for them."""


def forward_flops(network: nn.Module, inputs: Tensor) -> tuple[int, str]:
    """Return the forward FLOPs of a batch in training, and where they were counted: "meta", or "cpu".

    On the meta device nothing is computed, and attention is counted whichever kernel would compute it. A network
    that does not run there is counted on real numbers; attention is then spelt out in matrix products first.
    """
    try:
        counted = _counted(copy.deepcopy(network).to("meta"), inputs.to("meta"))
    except (RuntimeError, NotImplementedError):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return _counted(copy.deepcopy(network), inputs.clone()), "cpu"
    return counted, "meta"


def uncounted_products(network: nn.Module, inputs: Tensor) -> dict[str, int]:
    """Return how often each operation runs that is a product, but for which torch's counter has no formula."""
    with _Operations() as seen, torch.no_grad():
        copy.deepcopy(network).train()(inputs.clone())
    return {name: count for name, count in sorted(seen.uncounted.items()) if _is_product(name)}


def _counted(network: nn.Module, inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        network.train()(inputs)
    return int(counter.get_total_flops())


class _Operations(TorchDispatchMode):
    """Counts the operations that torch's counter of FLOPs does not know."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no annotation here
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket not in flop_registry:
            self.uncounted[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def _is_product(name: str) -> bool:
    return name.lstrip("_").startswith(_PRODUCTS)
