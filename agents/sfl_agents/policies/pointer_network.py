"""From the round's relative columns to a preference among cuts and the share that every cut needs."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfl_agents.policies.price_network import PriceNetwork, Told, log_budgets
from sfl_agents.policies.problem_columns import DEVICE_FEATURES, SPREAD, ProblemColumns
from sfl_agents.policies.rows import zeroed

_FIRST_TARGET = 0.8
"""Length of the round that is aimed at first, over the sensible decision's."""

_LEAST_SLACK = 0.02
"""Where a cut leaves less time than this to send, its need goes on rising on a straight line in the logarithm."""

LEAST_AIR = 1e-6
"""Seconds that stand for those of a cut that sends nothing."""

_LARGEST_STEP = 0.5
_STRAIGHT_STEPS = 3
_CORRECTED_STEPS = 2
_PRICED_STEPS = 3
_LARGEST_NEED = 20.0
_LARGEST_GAP = 10.0
_FIRST_SHARPNESS = 2.5


class Pointer(NamedTuple):
    """What B decisions for K devices are drawn from."""

    logits: Tensor  # (B, K, C) of the cuts; far below all others where one does not fit
    log_share: Tensor  # (B, K, C) share that each cut needs over an equal one, logarithmic
    device: Tensor  # (B, K, W) the devices' features
    log_target: Tensor  # (B,) logarithm of the length that is aimed at, over the sensible round's
    log_excess: Tensor  # (B,) logarithm of the mean share that is needed for it; 0 where it can just be reached


class Hedge(nn.Module):
    """Take sending to last longer or shorter than over the channel that was observed late.

    What is learnt is a factor of the seconds of uplink and downlink at each cut, of the old fading's power, the
    link without it and the seconds themselves. It starts at 1, and is 1 where the channel is that of now.

    Parameters
    ----------
    width : int
        Of the layer.
    activation : type of torch.nn.Module
        Non-linearity.
    """

    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.factor = nn.Sequential(nn.Linear(6, width), activation(), zeroed(nn.Linear(width, 2)))

    def forward(self, columns: ProblemColumns) -> ProblemColumns:
        """Return the columns with other seconds of the links."""
        log_fading = columns.log_faded.clamp(-8.0, 8.0)
        without = columns.log_snr + log_fading
        # How much longer the old link took than the one without fading, by Shannon's formula at an equal share.
        longer = (
            (without.exp().log1p() / columns.log_snr.exp().log1p().clamp_min(LEAST_AIR)).log().clamp(-8.0, 8.0)
        )
        log_air = (columns.uplink + columns.downlink).clamp_min(LEAST_AIR).log().clamp(-8.0, 8.0)
        of_device = [log_fading / 3.0, longer / 3.0, without / 7.0, columns.log_snr / 7.0]
        features = [part.unsqueeze(-1).expand_as(log_air) for part in of_device]
        features += [log_air / 3.0, columns.log_fixed.clamp(-8.0, 2.0) / 3.0]
        late = (columns.log_faded != 0.0)[..., None, None]
        factor = torch.where(late, self.factor(torch.stack(features, dim=-1)).clamp(-5.0, 5.0), 0.0).exp()
        return columns._replace(uplink=columns.uplink * factor[..., 0], downlink=columns.downlink * factor[..., 1])


class PointerNetwork(nn.Module):
    r"""Aim at a length of the round; every cut then needs a share, and the cut that needs least is pointed at.

    Parameters
    ----------
    width : int
        Of the layers.
    activation : type of torch.nn.Module
        Non-linearity.
    hedge : bool
        Whether to learn how long sending is to be taken to last where the channel is an old one.
    price : bool
        Whether to learn what batteries are worth, where there are some; see :class:`.price_network.PriceNetwork`.

    Notes
    -----
    Built in is that a device with fixed seconds f and air seconds a at an equal share (1/K of the band) needs, for
    a target :math:`\tau`,

    .. math:: x = \frac{a}{\tau - f}

    times that share, which takes its rate to be proportional to its share, and that shares sum to one: Newton
    steps on :math:`\sum_k \min_c x_{kc} = K` find the target. Not built in, and learnt, is that a narrower band
    carries more for each hertz (one small network, of a cut's need under the straight law, the link and the
    fading), and what else a device's features say for or against a cut and a larger share. All that is learnt of
    the decision starts as zeros. No weight belongs to a device, a number of devices, a cut or a number of cuts.
    """

    def __init__(
        self, width: int, activation: type[nn.Module], *, hedge: bool = False, price: bool = False
    ) -> None:
        super().__init__()
        self.device = nn.Sequential(nn.Linear(DEVICE_FEATURES, width), activation())
        self.correction = nn.Sequential(nn.Linear(5, width), activation(), zeroed(nn.Linear(width, 1)))
        self.preference = zeroed(nn.Linear(width, 3))
        self.sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS + 1.0 * price))
        self.hedge = Hedge(width, activation) if hedge else None
        self.price = PriceNetwork(width, activation) if price else None

    def forward(self, columns: ProblemColumns) -> Pointer:
        """Return logits and shares for all cuts."""
        now = _Round.of(columns if self.hedge is None else self.hedge(columns))
        device = self.device(now.columns.device)
        preference, told = self.preference(device), None
        log_target = _straight_target(now)
        if self.price is not None and now.columns.batteries is not None:
            told = self.price(now.columns, _fastest(now, log_target), log_target)
            preference = preference + self.price.preference(told.features)
        log_target, log_excess = self._target(now, log_target, told)
        need = self._need(now, log_target)
        cost = self._cost(now, need.detach(), log_target, told)
        gap = (cost - cost.amin(dim=-1, keepdim=True)).clamp_max(_LARGEST_GAP)
        for_fixed, for_air, for_share = preference.unsqueeze(-2).unbind(-1)
        logits = -self.sharpness.exp() * gap
        logits = logits + for_fixed * now.fixed.clamp_max(2.0) + for_air * now.log_air.clamp(-8.0, 8.0)
        logits = torch.where(now.columns.fits, logits, -1e4)
        return Pointer(logits, (need + for_share).clamp(-20.0, 20.0), device, log_target, log_excess)

    @torch.no_grad()
    def _target(self, now: "_Round", log_target: Tensor, told: Told | None) -> tuple[Tensor, Tensor]:
        """Return the logarithmic target at which shares sum to one, and what they still miss of it, (B,).

        Shares are weights over their sum, so what the target does to all of them alike is nothing to learn from.
        """
        for _ in range(_CORRECTED_STEPS if told is None else _PRICED_STEPS):
            need = self._need(now, log_target)
            picked = self._cost(now, need, log_target, told).argmin(dim=-1, keepdim=True)
            step, log_excess = _newton_step(need, now, log_target, picked)
            log_target = log_target + step
        return log_target, log_excess

    def _cost(self, now: "_Round", need: Tensor, log_target: Tensor, told: Told | None) -> Tensor:
        """(B, K, C): logarithm of what each cut costs, its need alone unless there is a price."""
        if told is None or self.price is None:
            return need
        cost = self.price.cost(need, log_budgets(now.columns, now.fixed, log_target), told)
        return torch.where(now.columns.fits, cost, 2.0 * _LARGEST_NEED)

    def _need(self, now: "_Round", log_target: Tensor) -> Tensor:
        """(B, K, C): logarithm of the share that each cut needs."""
        straight, columns = _straight_need(now, log_target), now.columns
        log_snr, spread = (
            part.unsqueeze(-1).expand_as(straight) for part in (columns.log_snr, columns.device[..., SPREAD])
        )
        bounded = straight.clamp(-6.0, 6.0)
        seen = features_of_share(bounded, log_snr, columns.uplink / now.log_air.exp(), spread)
        # Seconds are those at an equal share, so for that one there is nothing to correct.
        corrected: Tensor = straight + bounded * self.correction(seen).squeeze(-1)
        return torch.where(columns.fits, corrected, _LARGEST_NEED)


def features_of_share(log_share: Tensor, log_snr: Tensor, uplink_part: Tensor, spread: Tensor) -> Tensor:
    """Return what a share's worth is learnt from, (..., 5).

    Parameters
    ----------
    log_share : tensor (...)
        Logarithm of the share over an equal one.
    log_snr : tensor (...)
        Logarithm of the signal-to-noise ratio at an equal share.
    uplink_part : tensor (...)
        Of the air seconds.
    spread : tensor (...)
        Of the fading, -1 to 1.
    """
    at_share = log_snr - log_share
    features = [log_share / 3.0, log_snr / 7.0, (at_share / 3.0).tanh(), uplink_part, spread]
    return torch.stack(features, dim=-1)


class _Round(NamedTuple):
    """B rounds as the pointer reads them; seconds over the sensible round's."""

    columns: ProblemColumns
    fixed: Tensor  # (B, K, C) seconds that no band shortens
    log_air: Tensor  # (B, K, C) logarithm of those on the air at an equal share
    takes_part: Tensor  # (B, K)

    @classmethod
    def of(cls, columns: ProblemColumns) -> "_Round":
        air = (columns.uplink + columns.downlink).clamp_min(LEAST_AIR)
        return cls(columns, columns.log_fixed.exp(), air.log(), columns.takes_part)


@torch.no_grad()
def _straight_target(now: _Round) -> Tensor:
    """(B,): the logarithmic target if rates were proportional to shares and batteries worth nothing."""
    log_target = torch.full_like(now.columns.log_length, math.log(_FIRST_TARGET))
    for _ in range(_STRAIGHT_STEPS):
        need = _straight_need(now, log_target)
        log_target = log_target + _newton_step(need, now, log_target, need.argmin(dim=-1, keepdim=True))[0]
    return log_target


@torch.no_grad()
def _fastest(now: _Round, log_target: Tensor) -> Tensor:
    """(B, K): logarithm of the budgets that each device takes at the cut that needs the smallest share."""
    picked = _straight_need(now, log_target).argmin(dim=-1, keepdim=True)
    return log_budgets(now.columns, now.fixed, log_target).gather(-1, picked).squeeze(-1)


def _straight_need(now: _Round, log_target: Tensor) -> Tensor:
    """(B, K, C): logarithm of the share that each cut needs if rates were proportional to shares."""
    slack = log_target.exp()[:, None, None] - now.fixed
    beyond = (_LEAST_SLACK - slack).clamp_min(0.0) / _LEAST_SLACK
    need = now.log_air - slack.clamp_min(_LEAST_SLACK).log() + beyond
    return torch.where(now.columns.fits, need, _LARGEST_NEED).clamp_max(_LARGEST_NEED)


def _newton_step(need: Tensor, now: _Round, log_target: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithmic target's step towards shares that sum to one, and their sum's logarithm, (B,)."""
    share = need.gather(-1, picked).squeeze(-1).exp() * now.takes_part
    target = log_target.exp().unsqueeze(-1)
    slack = (target - now.fixed.gather(-1, picked).squeeze(-1)).clamp_min(_LEAST_SLACK)
    total = share.sum(dim=-1).clamp_min(LEAST_AIR)
    elasticity = (share * target / slack).sum(dim=-1) / total
    log_excess = (total / need.shape[-2]).log()
    return (log_excess / elasticity.clamp_min(1.0)).clamp(-_LARGEST_STEP, _LARGEST_STEP), log_excess
