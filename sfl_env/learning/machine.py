"""Where and how torch computes: the device, the modes, and what of it the results can depend on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from sfl_env.dnn.modes import training_modes
from sfl_env.errors import TrainingError


class ComputedBy(NamedTuple):
    """What the last digits of a result can depend on, besides the seed.

    Kernels round sums in another order on another device, in another version of torch, and, in networks with large
    matrix products, on another number of threads.
    """

    torch_version: str
    torch_threads: int
    device: str  # type: "cpu" or "cuda"

    @classmethod
    def here(cls, device: torch.device) -> "ComputedBy":
        """Return what computes now."""
        return cls(str(torch.__version__), torch.get_num_threads(), device.type)


def resolve_device(name: str) -> torch.device:
    """Return the torch device of that name; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    TrainingError
        For an unknown name, or CUDA where there is none.

    Examples
    --------
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TrainingError(f"The torch device is {name!r}; it has to be 'auto', 'cpu' or 'cuda'.")
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise TrainingError(
            "This process was forked from one that has used CUDA, so it cannot use it. Start processes anew: "
            "vector_kwargs={'context': 'spawn'} for an asynchronous vector environment."
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            f"The torch device is {name!r}, but torch {torch.__version__} sees no CUDA device here; take 'auto' "
            "or 'cpu'."
        )
    return device


@contextmanager
def usual_modes(device: torch.device) -> Iterator[None]:
    """Have torch compute as it usually does, whatever the caller has switched on.

    With gradients (those who collect an agent's experience step under ``torch.no_grad``), in the numbers' own
    precision (no autocast), and by the same algorithm of cuDNN every time.

    Examples
    --------
    >>> with torch.no_grad(), usual_modes(torch.device("cpu")):
    ...     torch.is_grad_enabled()
    True
    """
    cudnn = torch.backends.cudnn
    with (
        training_modes(device.type),
        cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=cudnn.allow_tf32),
    ):
        yield
