"""The wireless channel: path loss, shadowing, fading and mobility as swappable parts, and their composite."""

from sfl_env.channel.fading import NoFading, Rayleigh, Rician, jakes_correlation
from sfl_env.channel.mobility import Annulus, GaussMarkov, RandomWaypoint, Static
from sfl_env.channel.model import Channel, ChannelModel, ChannelState
from sfl_env.channel.path_loss import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.channel.shadowing import CorrelatedShadowing, NoShadowing

__all__ = [
    "Annulus",
    "Channel",
    "ChannelModel",
    "ChannelState",
    "ClassicMacro",
    "CorrelatedShadowing",
    "GaussMarkov",
    "NoFading",
    "NoShadowing",
    "PathLoss",
    "RandomWaypoint",
    "Rayleigh",
    "Rician",
    "Static",
    "UrbanMacro",
    "UrbanMicro",
    "jakes_correlation",
]
