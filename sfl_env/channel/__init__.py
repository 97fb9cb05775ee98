"""The wireless channel: path loss, shadowing, fading and mobility as swappable parts, and their composite."""

from sfl_env.channel.fading import Fading, NoFading, Rayleigh, Rician, jakes_correlation
from sfl_env.channel.mobility import Annulus, GaussMarkov, Mobility, RandomWaypoint, Static
from sfl_env.channel.model import Channel, ChannelModel, ChannelState
from sfl_env.channel.path_loss import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.channel.shadowing import CorrelatedShadowing, NoShadowing, Shadowing

__all__ = [
    "Annulus",
    "Channel",
    "ChannelModel",
    "ChannelState",
    "ClassicMacro",
    "CorrelatedShadowing",
    "Fading",
    "GaussMarkov",
    "Mobility",
    "NoFading",
    "NoShadowing",
    "PathLoss",
    "RandomWaypoint",
    "Rayleigh",
    "Rician",
    "Shadowing",
    "Static",
    "UrbanMacro",
    "UrbanMicro",
    "jakes_correlation",
]
