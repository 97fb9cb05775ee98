"""What a device's battery is worth to it now: a learnt price of every round's budget."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfl_agents.policies.problem_columns import DEVICE_FEATURES, BatteryColumns, ProblemColumns
from sfl_agents.policies.rows import EquivariantLayer, pooled, zeroed

_FIRST_LOG_PRICE = math.log(0.06)
"""A budget's price at first, in lengths of the round: so dear that hardly anyone leaves."""

_FIRST_LOG_LIMIT = math.log(2.0)
"""Of the budgets that a round may take without being far dearer."""

_PACE = 10.0
"""So many times faster than weights of layers move the three numbers that hold for all devices: an optimiser's
step is about as long for every parameter, and these have farther to go."""

_STEP, _STEEPNESS = 2.0, 6.0
"""The logarithm of how much dearer it is beyond the limit, and by which power it rises from there."""

_BELOW_CHARGE = 0.03
"""The limit is at least so much, logarithmic, below all of the charge."""

_LEAST_SLACK = 0.02
_LEAST_AIR = 1e-6
_BUDGETS = (1e-3, 1e3)
_SCARCITY_FEATURES = 9

_ROUNDS_UNIT = 10.0
"""Rounds to come are counted in so many."""


class Told(NamedTuple):
    """What the price is, and what else is known of what it is for."""

    features: Tensor  # (B, K, W)
    log_price: Tensor  # (B, K) logarithm of a budget's price in lengths of the round, times the number of devices
    log_limit: Tensor  # (B, K) logarithm of the budgets that a round may take without being far dearer


def log_budgets(columns: ProblemColumns, fixed: Tensor, log_target: Tensor) -> Tensor:
    """Return (B, K, C): the logarithm of the budgets that each cut takes if the device finishes just in time.

    All seconds that no band shortens are taken for computing, which nearly all of them are; in what is left until
    the target, the device sends and receives.

    Parameters
    ----------
    columns : ProblemColumns
        With batteries.
    fixed : (B, K, C) tensor
        Seconds that no band shortens, over the sensible round's.
    log_target : (B,) tensor
        Logarithm of the target, over the sensible round.
    """
    computing, sending, receiving = _batteries(columns).log_drain.exp().unsqueeze(-2).unbind(-1)
    on_air = (log_target.exp()[:, None, None] - fixed).clamp_min(_LEAST_SLACK)
    air = (columns.uplink + columns.downlink).clamp_min(_LEAST_AIR)
    drain = computing * fixed + (sending * columns.uplink + receiving * columns.downlink) / air * on_air
    return drain.clamp(*_BUDGETS).log()


class PriceNetwork(nn.Module):
    r"""A price for every device's battery, which its cuts are chosen by beside the share that they need.

    Parameters
    ----------
    width : int
        Of the layer.
    activation : type of torch.nn.Module
        Non-linearity.

    Notes
    -----
    Built in is the form of a price: where a cut needs the share x over an equal one and takes the part D of a
    round's budget, it costs :math:`x + K p D` at the price p, and far more beyond a limit of D, which is never
    above the charge. What the price is, how it depends on the device's scarcity, on what is left and on the other
    devices is learnt. At first it is the same number for all. The limit may be learnt, too, but cuts beyond it are
    hardly ever drawn, so that it stays about where it starts.
    """

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.layer = EquivariantLayer(DEVICE_FEATURES + _SCARCITY_FEATURES, width, activation)
        self.change = zeroed(nn.Linear(width, 2))
        self.preference = zeroed(nn.Linear(width, 3))
        self.for_all = nn.Parameter(torch.zeros(3))

    def forward(self, columns: ProblemColumns, fastest: Tensor, log_target: Tensor) -> Told:
        """Return prices; ``fastest`` (B, K) is the logarithm of the budgets that the fastest round takes."""
        batteries = _batteries(columns)
        scarcity = torch.stack(_scarcity_features(columns, fastest, log_target), dim=-1)
        features = self.layer(torch.cat([columns.device, scarcity], dim=-1))
        for_price, for_limit = self.change(features).unbind(-1)
        price, exponent, limit = _PACE * self.for_all
        log_price = _FIRST_LOG_PRICE + price + math.log(fastest.shape[-1]) + exponent * fastest + for_price
        most = batteries.log_rounds_left[:, None] - _BELOW_CHARGE
        return Told(
            features, log_price.clamp(-15.0, 15.0), torch.minimum(_FIRST_LOG_LIMIT + limit + for_limit, most)
        )

    def cost(self, need: Tensor, log_taken: Tensor, told: Told) -> Tensor:
        """Return (B, K, C): the logarithm of what each cut costs, for the logarithms of its share and drain."""
        over = log_taken - told.log_limit.unsqueeze(-1)
        beyond = torch.where(over > 0.0, _STEP + _STEEPNESS * over, 0.0)
        return torch.logaddexp(need, told.log_price.unsqueeze(-1) + log_taken + beyond)


class BatteryValue(nn.Module):
    """What the value of a state is computed from where what is spent now is missing later.

    Parameters
    ----------
    width : int
        Of the layers.
    activation : type of torch.nn.Module
        Non-linearity.

    Notes
    -----
    Built in is that there is nothing to come after the last round: all but the round's own length is in proportion
    to what is left.
    """

    first_weights = (-1.0, 0.0, 0.0)
    """Of the last three columns, for a reward of this round's excess over the sensible one."""

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.device = EquivariantLayer(DEVICE_FEATURES + 3, width, activation)
        self.state = nn.Sequential(nn.Linear(2 * width + 4, width), activation())

    def forward(self, columns: ProblemColumns, log_target: Tensor, log_excess: Tensor) -> Tensor:
        """Return (B, W + 3)."""
        batteries = _batteries(columns)
        device = self.device(torch.cat([columns.device, batteries.log_drain / 2.0], dim=-1))
        state = torch.stack([columns.progress, columns.log_length, log_target, log_excess], dim=-1)
        hidden = self.state(torch.cat([pooled(device), state], dim=-1))
        left = ((1.0 - columns.progress) / 2.0).unsqueeze(-1)
        excess = (columns.log_length.exp() * (log_target.exp() - 1.0)).unsqueeze(-1)
        ahead = (batteries.log_rounds_left.exp() - 1.0).unsqueeze(-1) / _ROUNDS_UNIT
        return torch.cat([hidden * left, excess * (left > 0.0), ahead, excess * left], dim=-1)


def _scarcity_features(columns: ProblemColumns, fastest: Tensor, log_target: Tensor) -> list[Tensor]:
    batteries = _batteries(columns)
    part_left = ((1.0 - columns.progress) / 2.0).clamp_min(0.01).log().unsqueeze(-1)
    ahead_of_even = batteries.charge.clamp_min(1e-3).log() - part_left
    shared = [(-batteries.log_rounds_left).exp(), log_target, columns.log_length]
    return [
        *(batteries.log_drain / 2.0).unbind(-1),
        fastest,
        ahead_of_even.clamp(-3.0, 3.0),
        columns.log_fixed.clamp(-7.0, 7.0).mean(dim=-1) + 1.0,
        *(part.unsqueeze(-1).expand_as(fastest) for part in shared),
    ]


def _batteries(columns: ProblemColumns) -> BatteryColumns:
    assert columns.batteries is not None
    return columns.batteries
