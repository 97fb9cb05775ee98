"""The wireless channel: path loss, link statistics, blockage, fading and mobility as parts of one whole."""

from sfl_env.channel.area import Annulus
from sfl_env.channel.blockage import Blockage, NoBlockage, TwoStateBlockage
from sfl_env.channel.drift import GaussMarkov
from sfl_env.channel.fading import AveragedFading, BlockFading, Fading, NoFading, jakes_correlation
from sfl_env.channel.mobility import Mobility, Static
from sfl_env.channel.model import Channel, ChannelModel, ChannelState
from sfl_env.channel.path_loss import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.channel.statistics import ByView, LinkStatistics
from sfl_env.channel.waypoints import RandomWaypoint

__all__ = [
    "Annulus",
    "AveragedFading",
    "BlockFading",
    "Blockage",
    "ByView",
    "Channel",
    "ChannelModel",
    "ChannelState",
    "ClassicMacro",
    "Fading",
    "GaussMarkov",
    "LinkStatistics",
    "Mobility",
    "NoBlockage",
    "NoFading",
    "PathLoss",
    "RandomWaypoint",
    "Static",
    "TwoStateBlockage",
    "UrbanMacro",
    "UrbanMicro",
    "jakes_correlation",
]
