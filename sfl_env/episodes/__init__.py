"""N episodes side by side: what the single and the vector environment both are, without Gymnasium's shells."""

from sfl_env.episodes.access import ProblemAccess
from sfl_env.episodes.making import OPTIONS
from sfl_env.episodes.running import Episodes, Now, Transition

__all__ = ["OPTIONS", "Episodes", "Now", "ProblemAccess", "Transition"]
