"""A pointer for rounds in stages: lengths for the stages, and the share that every cut needs to keep them."""

import math

import torch
from torch import Tensor, nn

from sfl_agents.policies.pointer_network import Pointer, features_of_share
from sfl_agents.policies.problem_columns import DEVICE_FEATURES, SPREAD, ProblemColumns
from sfl_agents.policies.rows import EquivariantLayer, pooled, zeroed
from sfl_agents.policies.stage_columns import StageColumns, taken, waiting_stages
from sfl_agents.policies.staged_needs import (
    LARGEST_NEED,
    Need,
    log_expected,
    need_of,
    newton_step,
    possible,
    stage_needs,
)
from sfl_env.errors import TrainingError
from sfl_env.rounds.curves import TruncatedShannon
from sfl_env.scenario import Barriers

_LARGEST_GAP = 10.0
_NEVER = -1e4
_ROUGH_STEPS, _CORRECTED_STEPS = 3, 1

_PROPOSALS, _FIRST_SPREAD = 8, 0.3
"""How many ratios of the stages' lengths are weighed up in a round, and how far apart they are at first."""

_FIRST_SHARPNESS = 2.5
_FIRST_LOG_CEILING = TruncatedShannon().max_sinr_db * math.log(10.0) / 10.0


class StagedPointerNetwork(nn.Module):
    r"""Aim at lengths of all stages; every cut then needs a share, and the cut that needs least is pointed at.

    Parameters
    ----------
    width : int
        Of the layers.
    activation : type of torch.nn.Module
        Non-linearity.
    barriers : str
        Where devices wait for each other.

    Raises
    ------
    TrainingError
        If they do not.

    Notes
    -----
    Built in is the round's physics as far as rows tell of it. A device with fixed seconds :math:`f_j` and air
    seconds :math:`a_j` at an equal share (1/K of the band) in stage j needs, for lengths :math:`t_j`,

    .. math:: x = \max_j \frac{a_j}{t_j - f_j}

    times that share where its rate is proportional to its share; Shannon's formula with a ceiling makes of it what
    it needs where a narrower band carries more for each hertz. Shares sum to one, by which Newton steps find the
    lengths from their ratios. And the length of the round that comes of a ratio is known as well: of eight ratios
    that the network proposes, that with the shortest round is taken.

    Learnt are these ratios, from what the devices have in common; the ceiling, what else a share is worth, what a
    second of the server costs beside the band, and what a device's features say for or against a cut and a larger
    share. At first the proposals are the ratios of the stages with equal shares and each device's own fastest cut,
    times numbers drawn around one, the ceiling is that of :class:`~sfl_env.rounds.curves.TruncatedShannon`, and
    all else that is learnt of the decision is zero. No weight belongs to a device, a number of devices, a cut or a
    number of cuts.
    """

    def __init__(self, width: int, activation: type[nn.Module], barriers: Barriers) -> None:
        super().__init__()
        self.barriers, stages = barriers, len(waiting_stages(barriers))
        if not stages:
            raise TrainingError(
                "staged: true is for rounds in which devices wait for each other; here barriers='none'. Make the "
                "environment with barriers='adaptsfl' or 'every-phase', or leave staged out."
            )
        self.device = EquivariantLayer(DEVICE_FEATURES + 2 * stages, width, activation)
        self.steady = zeroed(nn.Linear(stages, _PROPOSALS * stages))
        nn.init.normal_(self.steady.bias, std=_FIRST_SPREAD)
        self.ratios = nn.Sequential(
            nn.Linear(2 * width + stages, width), activation(), zeroed(nn.Linear(width, _PROPOSALS * stages))
        )
        self.correction = nn.Sequential(nn.Linear(5, width), activation(), zeroed(nn.Linear(width, 1)))
        self.preference = zeroed(nn.Linear(width, 3))
        self.sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS))
        self.log_second = nn.Parameter(torch.tensor(0.0))
        self.log_ceiling = nn.Parameter(torch.tensor(_FIRST_LOG_CEILING))

    def forward(self, columns: ProblemColumns) -> Pointer:
        """Return logits and shares for all cuts."""
        now = StageColumns.of(columns, self.barriers)
        log_first = now.lengths().clamp_min(1e-6).log()
        device = self.device(self._features(now, log_first))
        told = log_first - log_first.logsumexp(dim=-1, keepdim=True)
        change = self.steady(told) + self.ratios(torch.cat([pooled(device), told], dim=-1))
        proposals = log_first.unsqueeze(1) + change.clamp(-5.0, 5.0).unflatten(-1, (_PROPOSALS, -1))
        log_lengths, log_excess = self._scaled(now, self._picked(now, proposals))
        need = self._need(now, log_lengths).log_share
        log_total = log_lengths.logsumexp(dim=-1)
        cost = torch.logaddexp(need, now.log_jobs + (self.log_second - log_total)[:, None, None])
        gap = (cost - cost.amin(dim=-1, keepdim=True)).clamp_max(_LARGEST_GAP)
        for_fixed, for_air, for_share = self.preference(device).unsqueeze(-2).unbind(-1)
        logits = -self.sharpness.exp() * gap + for_fixed * now.fixed.sum(dim=1).clamp_max(2.0)
        logits = logits + for_air * now.log_air.logsumexp(dim=1).clamp(-8.0, 8.0)
        logits = torch.where(now.fits, logits, _NEVER)
        log_share = (need + for_share).clamp(-LARGEST_NEED, LARGEST_NEED)
        log_length = log_expected(now, logits, log_share, self.log_ceiling)
        logits, log_share = now.at_every_cut(logits, _NEVER), now.at_every_cut(log_share, 0.0)
        return Pointer(logits, log_share, device, log_length, log_excess)

    def _features(self, now: StageColumns, log_first: Tensor) -> Tensor:
        """(B, K, F): what the device needs in each stage at the first lengths, and what no band shortens of it."""
        need, slack = stage_needs(now, log_first)
        cut = torch.where(now.fits, need.amax(dim=1), LARGEST_NEED).argmin(dim=-1, keepdim=True)
        own = taken(need, cut).squeeze(-1).clamp(-6.0, 6.0) / 3.0
        fixed = (1.0 - taken(slack, cut).squeeze(-1)).clamp(-2.0, 2.0)
        return torch.cat([now.columns.device, own.transpose(1, 2), fixed.transpose(1, 2)], dim=-1)

    def _picked(self, now: StageColumns, proposals: Tensor) -> Tensor:
        """Return of several ratios for each round, (B, P, J), those (B, J) with which it should be shortest.

        They come scaled to where shares sum to about one.
        """
        with torch.no_grad():
            scaled, expected = [], []
            for proposal in proposals.detach().unbind(1):
                log_lengths = possible(now, proposal)
                for _ in range(_ROUGH_STEPS):
                    need = need_of(now, log_lengths, self.log_ceiling)
                    log_lengths = possible(now, log_lengths + newton_step(need, now)[0])
                log_share = need_of(now, log_lengths, self.log_ceiling).log_share
                expected.append(log_expected(now, -log_share, log_share, self.log_ceiling))
                scaled.append(log_lengths)
            best = torch.stack(expected, dim=1).argmin(dim=1)[:, None, None].expand(-1, 1, proposals.shape[2])
            scale = (torch.stack(scaled, dim=1) - proposals).gather(1, best).squeeze(1)
        return proposals.gather(1, best).squeeze(1) + scale

    def _scaled(self, now: StageColumns, log_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithmic lengths (B, J) at which shares sum to one, and what is still missing, (B,)."""
        with torch.no_grad():
            log_scale = torch.zeros_like(log_lengths[:, :1])
            for _ in range(_CORRECTED_STEPS):
                need = self._need(now, possible(now, log_lengths + log_scale))
                log_scale = log_scale + newton_step(need, now)[0]
        # Once more, so that lengthening one stage is seen to shorten the others.
        step, log_excess = newton_step(self._need(now, possible(now, log_lengths + log_scale)), now)
        return possible(now, log_lengths + log_scale + step), log_excess

    def _need(self, now: StageColumns, log_lengths: Tensor) -> Need:
        first, columns = need_of(now, log_lengths, self.log_ceiling), now.columns
        log_snr, spread = (
            part.unsqueeze(-1).expand_as(first.log_share)
            for part in (columns.log_snr, columns.device[..., SPREAD])
        )
        bounded = first.log_share.clamp(-6.0, 6.0)
        seen = features_of_share(bounded, log_snr, first.uplink_part, spread)
        # Seconds are those at an equal share, so for that one there is nothing to correct.
        log_share = first.log_share + bounded * self.correction(seen).squeeze(-1)
        return first._replace(log_share=torch.where(now.fits, log_share, LARGEST_NEED))
