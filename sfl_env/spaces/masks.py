"""Which options of discrete actions make sense, as agents that mask actions want to know."""

import numpy as np
from numpy.typing import NDArray

from sfl_env.rounds.conditions import Conditions

Masks = NDArray[np.bool_]


def of_cuts(seen: Conditions, num_cuts: int) -> Masks:
    """Return (N, K, C): whether a cut's device side fits the device's memory.

    A device that takes no part has one option, the first: what it does has no effect, so nothing is to be
    explored or learnt of it.

    Parameters
    ----------
    seen : Conditions
        Of N rounds, as they are observed.
    num_cuts : int
        C.

    Examples
    --------
    >>> seen = Conditions(*[None] * 6, np.ones((1, 2)), np.array([[2, 0]]), None, None)
    >>> of_cuts(seen, 3).astype(int)
    array([[[1, 1, 1],
            [1, 0, 0]]])
    """
    return _first_alone(np.arange(num_cuts) <= seen.deepest_cut[..., None], seen)


def of_levels(seen: Conditions, num_levels: int) -> Masks:
    """Return (N, K, L): every level, but for a device that takes no part the first alone."""
    return _first_alone(np.ones((*seen.samples.shape, num_levels), dtype=np.bool_), seen)


def flat(*choices: Masks) -> Masks:
    """Return (N, M) masks of a ``MultiDiscrete`` action: one choice of all devices after another."""
    return np.concatenate([masks.reshape(len(masks), -1) for masks in choices], axis=-1)


def _first_alone(masks: Masks, seen: Conditions) -> Masks:
    """Leave only the first option to devices that take no part."""
    if seen.takes_part is not None:
        masks[..., 1:] &= seen.takes_part[..., None]
    return masks
