"""Curves as they might have been measured."""

import numpy as np

from sfl_lab.compare.curves.curve import Curve


def curve(accuracy: list[float], latency_s: list[float]) -> Curve:
    """A curve as it might have been measured; the first accuracy is the start's."""
    return Curve(
        np.array(accuracy),
        np.zeros(len(accuracy)),
        np.array([0.0, *latency_s]),
        np.zeros(len(latency_s), dtype=np.int64),
    )


FAST = curve([0.1, 0.6, 0.9, 0.8], [2.0, 3.0, 4.0])
SLOW = curve([0.1, 0.3, 0.5, 0.9], [4.0, 6.0, 8.0])
NEVER = curve([0.1, 0.3, 0.5, 0.7], [4.0, 6.0, 8.0])
