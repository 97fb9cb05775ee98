"""Distributions over cuts with the share that each cut needs, in the environment's own action spaces."""

from typing import Any, Self

import torch
from gymnasium import spaces
from torch import Tensor

from sfl_agents.policies.distributions import Categories, Choices, CutFirst, DeviceDistribution
from sfl_env.errors import TrainingError
from sfl_env.spaces.action import ContinuousAction, DiscreteAction


class PointedShare(CutFirst):
    """A categorical cut and a Gaussian log-share around the one that the cut needs.

    Parameters
    ----------
    num_cuts : int
        C.
    """

    def proba_distribution(self, params: Tensor, log_spread: Tensor) -> Self:
        """Take C logits and C log-shares for every device, and the logarithm of the column's deviation."""
        logits, log_share = params.chunk(2, dim=-1)
        return self.take(logits, log_share / ContinuousAction.share_log_range, log_spread)


class PointedCut(Choices):
    """A categorical cut alone; the environment splits the band."""

    def proba_distribution(self, params: Tensor, *_: Tensor) -> Self:
        """Take C logits and C log-shares, which are not asked for, for every device."""
        return super().proba_distribution(params.chunk(2, dim=-1)[0])


class PointedLevel(DeviceDistribution):
    """A categorical cut and a categorical level of the share around the one that the cut needs.

    Levels have the probabilities of a Gaussian over their numbers.

    Parameters
    ----------
    num_cuts, num_levels : int
        Options of both choices.
    """

    def __init__(self, num_cuts: int, num_levels: int) -> None:
        self.num_cuts, self.num_levels = num_cuts, num_levels

    def proba_distribution(self, params: Tensor, log_spread: Tensor) -> Self:
        """Take C logits and C log-shares for every device, and the logarithm of the deviation of log-shares."""
        logits, self.log_share = params.chunk(2, dim=-1)
        self.cut = Categories(logits)
        self.log_spread = log_spread
        return self

    def _levels(self, cut: Tensor) -> Categories:
        """Return the distribution of levels at cuts (B, K)."""
        log_share = self.log_share.gather(-1, cut.unsqueeze(-1)).squeeze(-1)
        wanted = log_share - log_share.mean(dim=-1, keepdim=True)
        high = DiscreteAction.share_log_range
        there = torch.linspace(-high, high, self.num_levels, dtype=wanted.dtype, device=wanted.device)
        off = (wanted.clamp(-high, high).unsqueeze(-1) - there) * (-self.log_spread).exp()
        return Categories(-0.5 * off.square())

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return (B,) log-likelihoods of (B, 2 K) actions."""
        cut, level = actions.long().chunk(2, dim=-1)
        return (self.cut.log_prob(cut) + self._levels(cut).log_prob(level)).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Return (B,) entropies, that of the levels at the likeliest cuts."""
        return (self.cut.entropy() + self._levels(self.cut.mode()).entropy()).sum(dim=-1)

    def sample(self) -> Tensor:
        """Draw (B, 2 K) actions."""
        cut = self.cut.sample()
        return torch.cat([cut, self._levels(cut).sample()], dim=-1)

    def mode(self) -> Tensor:
        """Return the likeliest cuts and their likeliest levels."""
        cut = self.cut.mode()
        return torch.cat([cut, self._levels(cut).mode()], dim=-1)


Pointed = PointedShare | PointedCut | PointedLevel


def pointed_for(action_space: spaces.Space[Any], num_devices: int, num_cuts: int) -> Pointed:
    """Return the distribution that fits an action space of the environment.

    Raises
    ------
    TrainingError
        For another space, or for actions that are relative to a sensible decision.

    Examples
    --------
    >>> type(pointed_for(spaces.MultiDiscrete([4] * 3), num_devices=3, num_cuts=4)).__name__
    'PointedCut'
    """
    if isinstance(action_space, spaces.MultiDiscrete):
        choices = [int(count) for count in action_space.nvec.reshape(-1, num_devices)[:, 0]]
        if choices == [num_cuts]:
            return PointedCut(choices)
        if len(choices) == 2 and choices[0] == num_cuts:
            return PointedLevel(*choices)
    if action_space == ContinuousAction(num_cuts).space(num_devices):
        return PointedShare(num_cuts)
    raise TrainingError(
        "CutPointerPolicy decides on cuts and shares themselves, by action_mode continuous, cut or discrete, and "
        f"not through {action_space}."
    )
