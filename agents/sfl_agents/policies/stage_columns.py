"""Rounds in stages as a policy reads them: what every stage takes each device at each cut."""

from typing import NamedTuple

import torch
from torch import Tensor

from sfl_agents.policies.problem_columns import ProblemColumns
from sfl_env.rounds.amounts import DOWNLOADS, UPLOADS
from sfl_env.rounds.latency import SERVER_COMPUTE
from sfl_env.rounds.stages import STAGES, Stages
from sfl_env.scenario import Barriers

_LEAST_S = 1e-6
"""Stands for the seconds of what takes none, over the sensible round's."""


def waiting_stages(barriers: Barriers) -> Stages:
    """Return the stages that devices wait in, all but the server's.

    Examples
    --------
    >>> len(waiting_stages("adaptsfl")), len(waiting_stages("every-phase")), len(waiting_stages("none"))
    (4, 6, 0)
    """
    return tuple(stage for stage in STAGES[barriers] if stage != (SERVER_COMPUTE,))


class StageColumns(NamedTuple):
    """What B rounds of K devices take in J stages at the cuts worth a thought, M a device at most.

    Seconds are over the sensible round's. A cut that another one beats in every stage is left out.
    """

    columns: ProblemColumns
    fixed: Tensor  # (B, J, K, M) seconds that no band shortens
    log_air: Tensor  # (B, J, K, M) logarithm of those on the air at an equal share, messages' own time included
    uplink_part: Tensor  # (B, J, K, M) of the seconds on the air
    log_jobs: Tensor  # (B, K, M) logarithm of the server's seconds for K jobs like the device's
    cut: Tensor  # (B, K, M) which cut it is
    fits: Tensor  # (B, K, M) whether it is one of them, and no padding
    takes_part: Tensor  # (B, K)
    shortest: Tensor  # (B, J) seconds that no decision gets below: each device's least that no band shortens

    @classmethod
    def of(cls, columns: ProblemColumns, barriers: Barriers) -> "StageColumns":
        """Group the phases of rows that tell of them by stages."""
        assert columns.phases is not None
        phases, stages = columns.phases, waiting_stages(barriers)
        fixed = _summed(
            phases, [[phase for phase in stage if phase not in UPLOADS + DOWNLOADS] for stage in stages]
        )
        uplink = _summed(phases, [[phase for phase in stage if phase in UPLOADS] for stage in stages])
        downlink = _summed(phases, [[phase for phase in stage if phase in DOWNLOADS] for stage in stages])
        air = (uplink + downlink).clamp_min(_LEAST_S)
        jobs = (phases[:, :, SERVER_COMPUTE] * phases.shape[1]).clamp_min(_LEAST_S)
        worth = _unbeaten(fixed, air, columns.fits)
        most = max(1, int(worth.sum(dim=-1).max()))
        cut = worth.byte().sort(dim=-1, descending=True, stable=True).indices[..., :most]
        fixed, air, uplink = (taken(values, cut) for values in (fixed, air, uplink))
        fits, takes_part = worth.gather(-1, cut), columns.takes_part
        least = torch.where(fits.unsqueeze(1), fixed, torch.inf).amin(dim=-1)
        return cls(
            columns=columns,
            fixed=fixed,
            log_air=air.log(),
            uplink_part=uplink / air,
            log_jobs=jobs.gather(-1, cut).log(),
            cut=cut,
            fits=fits,
            takes_part=takes_part,
            shortest=torch.where(takes_part.unsqueeze(1), least, 0.0).amax(dim=-1),
        )

    def lengths(self) -> Tensor:
        """Return how long each stage would last with equal shares, (B, J).

        Every device takes its own fastest cut there, as if nobody waited.
        """
        seconds = self.fixed + self.log_air.exp()
        cut = torch.where(self.fits, seconds.sum(dim=1), torch.inf).argmin(dim=-1, keepdim=True)
        return taken(seconds, cut).amax(dim=(2, 3))

    def at_every_cut(self, values: Tensor, elsewhere: float) -> Tensor:
        """Return values (B, K, M) as (B, K, C), with a number at the cuts that were left out."""
        kept = torch.where(self.fits, values, elsewhere)
        return torch.full(self.columns.fits.shape, elsewhere).scatter(-1, self.cut, kept)


def taken(values: Tensor, cut: Tensor) -> Tensor:
    """Return values (B, J, K, C) at places (B, K, M) of the last axis, (B, J, K, M)."""
    return values.gather(-1, cut.unsqueeze(1).expand(-1, values.shape[1], -1, -1))


def _summed(phases: Tensor, groups: list[list[int]]) -> Tensor:
    """(B, J, K, C): the seconds of each group's phases together."""
    return torch.stack([phases[:, :, group].sum(dim=2) for group in groups], dim=1)


def _unbeaten(fixed: Tensor, air: Tensor, fits: Tensor) -> Tensor:
    """(B, K, C): cuts that fit and that no other one which does equals or beats in every stage.

    That is at an equal share. Where a narrower band carries more for each hertz, one left out may need less,
    if it sends more up and receives less, which is rare.
    """
    beats = fits.unsqueeze(-1).expand(*fits.shape, fits.shape[-1])
    for values in (*fixed.unbind(1), *air.unbind(1)):
        beats = beats & (values.unsqueeze(-1) <= values.unsqueeze(-2))
    order = torch.arange(fits.shape[-1])
    # Of equal ones, the first stays.
    beats = beats & ((order.unsqueeze(-1) < order) | ~beats.transpose(-1, -2))
    return fits & ~beats.any(dim=-2)
