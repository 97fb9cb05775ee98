"""The modes that training runs in, whatever the caller has switched on."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def training_modes(device_type: str = "cpu") -> Iterator[None]:
    """Have torch compute with gradients and in the numbers' own precision, whatever the caller has switched on.

    Those who collect an agent's experience step under ``torch.no_grad``, and those who evaluate under autocast. A
    default device that is neither the CPU nor the one to compute on is left for a while, too.

    Parameters
    ----------
    device_type : str
        Where to compute: "cpu" or "cuda".

    Examples
    --------
    >>> with torch.no_grad(), training_modes():
    ...     torch.is_grad_enabled()
    True
    """
    usual = torch.get_default_device().type in ("cpu", device_type)
    with (
        nullcontext() if usual else torch.device(device_type),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch.autocast(device_type, enabled=False),
    ):
        yield
