"""A round as a picture; the only door to matplotlib, which is imported only when one is drawn."""

from sfl_env.render.drawing import DOTS_PER_INCH, FIGURE_SIZE_INCHES, draw_round, draw_rounds
from sfl_env.render.last_round import picture_of
from sfl_env.render.picture import RoundPicture, schedule
from sfl_env.render.screen import RENDER_MODES, Frame, Screen, screen

__all__ = [
    "DOTS_PER_INCH",
    "FIGURE_SIZE_INCHES",
    "RENDER_MODES",
    "Frame",
    "RoundPicture",
    "Screen",
    "draw_round",
    "draw_rounds",
    "picture_of",
    "schedule",
    "screen",
]
