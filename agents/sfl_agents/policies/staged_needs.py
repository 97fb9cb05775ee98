"""What cuts need of the band for given lengths of a round's stages, by Shannon's formula with a ceiling."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfl_agents.policies.stage_columns import StageColumns, taken

_LEAST_SLACK = 0.02
"""Of a stage. Where a cut leaves less of it to send, its need rises steeply on a straight line."""

_STEEPNESS = 10.0
_SHORTEST = 1e-7
LARGEST_NEED = 20.0
_LARGEST_STEP = 0.5
_SHANNON_STEPS = 2
_LEAST_WORTH = 0.05
_LEAST_TOTAL = 1e-6


def log_seconds(log_share: Tensor, log_snr: Tensor, uplink_part: Tensor, log_ceiling: Tensor) -> Tensor:
    """Return the logarithm of seconds on the air over those at an equal share: Shannon's formula, with a ceiling.

    Parameters
    ----------
    log_share : tensor (...)
        Logarithm of the share over an equal one.
    log_snr : tensor (...)
        Logarithm of the signal-to-noise ratio at an equal share.
    uplink_part : tensor (...)
        Of the seconds; the downlink's go by the share alone.
    log_ceiling : tensor ()
        Logarithm of the ratio above which a hertz carries no more.

    Examples
    --------
    >>> half, weak, clear, ceiling = torch.tensor([0.5, 10.0, 1e6, 100.0]).log()
    >>> [round(float(log_seconds(half, snr, torch.tensor(1.0), ceiling).exp()), 2) for snr in (weak, clear)]
    [1.58, 2.0]
    """
    held, equal = (torch.minimum(log_ratio, log_ceiling) for log_ratio in (log_snr - log_share, log_snr))
    carried = _log_efficiency(held) - _log_efficiency(equal)
    return -log_share - uplink_part * carried


def _log_efficiency(log_snr: Tensor) -> Tensor:
    return nn.functional.softplus(log_snr).clamp_min(1e-12).log()


def _spent_on_noise(log_ratio: Tensor, log_ceiling: Tensor) -> Tensor:
    """Return by how many per cent a per cent more of the band lets each hertz of the uplink carry less."""
    spent = log_ratio.sigmoid() / nn.functional.softplus(log_ratio).clamp_min(1e-12)
    return torch.where(log_ratio < log_ceiling, spent, 0.0)


class Need(NamedTuple):
    """What the cuts need of the band for given lengths of the stages."""

    log_share: Tensor  # (B, K, M) over an equal share, by the stage that asks for most
    elasticity: Tensor  # (B, K, M) by how many per cent it falls where all stages last one per cent longer
    uplink_part: Tensor  # (B, K, M) of the seconds on the air in that stage


def possible(now: StageColumns, log_lengths: Tensor) -> Tensor:
    """Return lengths' logarithm, (B, J), none below what the stage takes of computing whatever is decided.

    A stage in which devices compute alone is as long as it is: no scale of all lengths may cut into it.
    """
    return torch.maximum(log_lengths, (now.shortest / (1.0 - _LEAST_SLACK)).clamp_min(_SHORTEST).log())


def stage_needs(now: StageColumns, log_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """(B, J, K, M) each: logarithm of the share that each stage asks for, and its part that is left to send."""
    log_lengths = log_lengths.clamp(-15.0, 15.0)[..., None, None]
    slack = 1.0 - now.fixed * (-log_lengths).exp()
    beyond = (_LEAST_SLACK - slack).clamp_min(0.0) * (_STEEPNESS / _LEAST_SLACK)
    need = now.log_air - log_lengths - slack.clamp_min(_LEAST_SLACK).log() + beyond
    return need.clamp(-LARGEST_NEED, LARGEST_NEED), slack


def need_of(now: StageColumns, log_lengths: Tensor, log_ceiling: Tensor) -> Need:
    """Return what cuts need by Shannon's formula up to the ceiling."""
    needs, slack = stage_needs(now, log_lengths)
    straight, stage = needs.max(dim=1)
    left, uplink_part = (values.gather(1, stage.unsqueeze(1)).squeeze(1) for values in (slack, now.uplink_part))
    log_share, worth = _with_shannon(straight, now.columns.log_snr.unsqueeze(-1), uplink_part, log_ceiling)
    log_share = torch.where(now.fits, log_share, LARGEST_NEED)
    return Need(log_share, 1.0 / (left * worth).detach().clamp_min(_LEAST_SLACK), uplink_part)


def _with_shannon(
    straight: Tensor, log_snr: Tensor, uplink_part: Tensor, log_ceiling: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logarithm of shares that do what ``straight`` would do with proportional rates, and their worth.

    That is by how many per cent a per cent more of the band shortens the seconds on the air.
    """
    bounded = straight.clamp(-8.0, 8.0)
    log_share = bounded
    for _ in range(_SHANNON_STEPS):
        worth = 1.0 - uplink_part * _spent_on_noise(log_snr - log_share, log_ceiling)
        missing = log_seconds(log_share, log_snr, uplink_part, log_ceiling) + bounded
        log_share = (log_share + missing / worth.clamp_min(_LEAST_WORTH)).clamp(-12.0, 12.0)
    return log_share + (straight - bounded), worth.clamp_min(_LEAST_WORTH)


@torch.no_grad()
def log_expected(now: StageColumns, logits: Tensor, log_share: Tensor, log_ceiling: Tensor) -> Tensor:
    """(B,): logarithm of the round's length under the likeliest decision, by Shannon's formula."""
    cut = logits.argmax(dim=-1, keepdim=True)
    own = log_share.gather(-1, cut).log_softmax(dim=1) + math.log(logits.shape[1])
    fixed, log_air, uplink_part = (taken(values, cut) for values in (now.fixed, now.log_air, now.uplink_part))
    longer = log_seconds(own.unsqueeze(1), now.columns.log_snr[:, None, :, None], uplink_part, log_ceiling)
    seconds = fixed + (log_air + longer).clamp_max(LARGEST_NEED).exp() * now.takes_part[:, None, :, None]
    jobs = now.log_jobs.gather(-1, cut).exp().mean(dim=(1, 2))
    return (seconds.amax(dim=(2, 3)).sum(dim=-1) + jobs).log()


def newton_step(need: Need, now: StageColumns) -> tuple[Tensor, Tensor]:
    """Return the step of all lengths' logarithm, (B, 1), towards shares that sum to one, and their sum's, (B,)."""
    picked = need.log_share.argmin(dim=-1, keepdim=True)
    own, elasticity = (values.gather(-1, picked).squeeze(-1) for values in (need.log_share, need.elasticity))
    share = own.exp() * now.takes_part
    total = share.sum(dim=-1).clamp_min(_LEAST_TOTAL)
    mean = (share * elasticity).sum(dim=-1).detach() / total.detach()
    log_excess = total.log() - math.log(share.shape[-1])
    return (log_excess / mean.clamp_min(1.0)).clamp(-_LARGEST_STEP, _LARGEST_STEP).unsqueeze(-1), log_excess
