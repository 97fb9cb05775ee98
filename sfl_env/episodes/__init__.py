"""N episodes side by side: what the single and the vector environment both are, without Gymnasium's shells."""

from sfl_env.episodes.access import ProblemAccess
from sfl_env.episodes.making import OPTIONS
from sfl_env.episodes.running import Episodes, Now, Transition
from sfl_env.episodes.undoing import AllOrNothing, can_fail

__all__ = ["OPTIONS", "AllOrNothing", "Episodes", "Now", "ProblemAccess", "Transition", "can_fail"]
