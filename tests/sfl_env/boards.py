"""Devices that are all alike, for tests that bring their own population."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sfl_env.devices import DeviceBatch
from sfl_env.episodes import Episodes

PLAIN: dict[str, float] = {
    "forward_flops_per_s": 1e10,
    "forward_bytes_per_s": 1e8,
    "backward_flops_per_s": 5e9,
    "backward_bytes_per_s": 5e7,
    "transmit_power_w": 0.1,
    "idle_w": 1.0,
    "computing_w": 5.0,
    "transmitting_w": 2.0,
    "receiving_w": 1.5,
    "memory_bytes": 4e9,
    "battery_j": 1e5,
}


def boards(n: int, num_devices: int, **changed: float) -> DeviceBatch:
    """Return devices (N, K) of :data:`PLAIN`, with some figures changed."""
    shape = (n, num_devices)
    fields: dict[str, Any] = {name: np.full(shape, value) for name, value in (PLAIN | changed).items()}
    return DeviceBatch(type_index=np.zeros(shape, np.intp), **fields)


def end_when_all_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let episodes terminate when all batteries are empty: the package's own end by goal or by rounds alone."""

    def terminated(episodes: Episodes, state: object, learning: object) -> NDArray[np.bool_]:
        return np.asarray(~(episodes.now.state.charge > 0.0).any(axis=-1))

    monkeypatch.setattr(Episodes, "_terminated", terminated)


ON_BATTERY: dict[str, Any] = {
    "device_types": ("pi-zero-2", "raspberry-pi-4", "flagship-phone", "laptop"),
    "device_weights": (1.0, 1.0, 1.0, 1.0),
}
"""Scenario fields under which every device may run empty."""
