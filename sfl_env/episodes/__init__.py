"""N episodes side by side: what the single and the vector environment both are, without Gymnasium's shells."""

from sfl_env.episodes.access import ProblemAccess
from sfl_env.episodes.making import OPTIONS
from sfl_env.episodes.masking import action_masks
from sfl_env.episodes.running import Episodes
from sfl_env.episodes.undoing import AllOrNothing
from sfl_env.episodes.values import Now, Transition

__all__ = ["OPTIONS", "AllOrNothing", "Episodes", "Now", "ProblemAccess", "Transition", "action_masks"]
