"""Which options of the coming round's actions make sense."""

import numpy as np
from numpy.typing import NDArray

from sfl_env.episodes.running import Episodes
from sfl_env.errors import ScenarioError


def action_masks(episodes: Episodes) -> NDArray[np.bool_]:
    """Return (N, M): for every entry of a ``MultiDiscrete`` action which of its options make sense.

    They follow from what is observed.

    Raises
    ------
    ScenarioError
        If the actions are none to be masked.
    StateError
        If no episode has started.
    """
    encoder = episodes.action_encoder
    if not hasattr(encoder, "masks"):
        raise ScenarioError(
            f"Actions by {type(encoder).__name__} have no masks: those are for choices among options. Make the "
            "environment with action_mode='cut' or action_mode='discrete', or give an action encoder of your own "
            "a method masks(seen)."
        )
    masks: NDArray[np.bool_] = encoder.masks(episodes.now.observed)
    return masks
