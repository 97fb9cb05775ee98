"""What a device's battery is worth to it now: a learnt price of every round's budget."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfl_agents.policies.problem_columns import DEVICE_FEATURES, ProblemColumns
from sfl_agents.policies.rows import EquivariantLayer

_FIRST_LOG_PRICE = math.log(0.06)
"""A budget's price at first, in lengths of the round."""

_FIRST_LIMIT = math.log(1.5)
"""Of the budgets that a round may take without being far dearer, logarithmic."""

_STEEPNESS = 6.0
_STEP = 2.0
_JUST_BELOW = 0.03
"""Power by which a round that takes more than the limit is dearer."""

_LEAST_SLACK = 0.02
_LEAST_DRAIN = 1e-3
_DRAIN_FEATURES = 9


class Told(NamedTuple):
    """What the price is of, and what it is."""

    features: Tensor  # (B, K, W)
    log_price: Tensor  # (B, K) logarithm of a budget's price in lengths of the round, times the number of devices
    limit: Tensor  # (B, K) logarithm of the budgets that a round may take without being far dearer


def log_budgets(columns: ProblemColumns, fixed: Tensor, log_target: Tensor) -> Tensor:
    """Return (B, K, C): the logarithm of the budgets that each cut takes if the device finishes just in time.

    All seconds that no band shortens count as computing, which is most of them; what is left until the target is
    sent and received in.

    Parameters
    ----------
    columns : ProblemColumns
        With batteries.
    fixed : (B, K, C) tensor
        Seconds that no band shortens, over the sensible round's.
    log_target : (B,) tensor
        Logarithm of the target, over the sensible round.
    """
    assert columns.log_drain is not None
    computing, sending, receiving = columns.log_drain.exp().unsqueeze(-2).unbind(-1)
    on_air = (log_target.exp()[:, None, None] - fixed).clamp_min(_LEAST_SLACK)
    air = (columns.uplink + columns.downlink).clamp_min(1e-6)
    on_air_drain = (sending * columns.uplink + receiving * columns.downlink) / air * on_air
    return (computing * fixed + on_air_drain).clamp(_LEAST_DRAIN, 1e3).log()


class PriceNetwork(nn.Module):
    r"""A price for every device's battery, that its cuts are then chosen by beside the share that they need.

    Parameters
    ----------
    width : int
        Of the layer.
    activation : type of torch.nn.Module
        Non-linearity.

    Notes
    -----
    Built in is the form of a price: with the share x over an equal one, the part D of a round's budget and the
    price p, a cut costs :math:`x + K p D`, and much more from a limit of D on. What the price is, how it depends
    on the device's scarcity, on what is left and on the other devices, and where the limit is, is learnt.
    """

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.layer = EquivariantLayer(DEVICE_FEATURES + _DRAIN_FEATURES, width, activation)
        self.price = nn.Linear(width, 2)
        nn.init.zeros_(self.price.weight)
        nn.init.zeros_(self.price.bias)
        self.log_price = nn.Parameter(torch.tensor(_FIRST_LOG_PRICE))
        self.exponent = nn.Parameter(torch.tensor(0.0))
        self.limit = nn.Parameter(torch.tensor(_FIRST_LIMIT))

    def forward(self, columns: ProblemColumns, fastest: Tensor, log_target: Tensor) -> Told:
        """Return prices; ``fastest`` (B, K) is the logarithm of the budgets that the fastest round takes."""
        assert columns.log_drain is not None
        part_left = ((1.0 - columns.progress) / 2.0).clamp_min(0.01).log()[:, None]
        charge = ((columns.device[..., 7] + 1.0) / 2.0).clamp_min(1e-3).log()
        extra = [
            *(columns.log_drain / 2.0).unbind(-1),
            fastest,
            (charge - part_left).clamp(-3.0, 3.0),
            (-columns.log_rounds_left).exp()[:, None].expand_as(fastest),
            columns.log_fixed.clamp(-7.0, 7.0).mean(dim=-1) + 1.0,
            log_target[:, None].expand_as(fastest),
            columns.log_length[:, None].expand_as(fastest),
        ]
        features = self.layer(torch.cat([columns.device, torch.stack(extra, dim=-1)], dim=-1))
        for_price, for_limit = self.price(features).unbind(-1)
        log_price = self.log_price + self.exponent * fastest + for_price
        most = columns.log_rounds_left[:, None] - _JUST_BELOW
        return Told(features, log_price + math.log(fastest.shape[-1]), torch.minimum(self.limit + for_limit, most))

    def cost(self, need: Tensor, budgets: Tensor, told: Told) -> Tensor:
        """Return (B, K, C): the logarithm of what each cut costs, its need and the price of what it takes."""
        over = budgets - told.limit.unsqueeze(-1)
        beyond = torch.where(over > 0.0, _STEEPNESS * over + _STEP, 0.0)
        return torch.logaddexp(need, told.log_price.unsqueeze(-1) + budgets + beyond)
