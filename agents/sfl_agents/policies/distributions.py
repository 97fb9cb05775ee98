"""Distributions over one decision for each device, in the environment's own action spaces."""

import itertools
import math
from typing import Any, Self

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from torch import Tensor, nn

from sfl_env.errors import TrainingError

_SHARE_SCALE = 0.2
"""One unit of the network's output moves a share by this much of its action column."""


class DeviceDistribution(Distribution):
    """Independent choices for every device given the observation.

    Sampling, likelihood and entropy need the parameters of :meth:`proba_distribution`: a tensor
    (B, K, ``outputs``) from the action network.
    """

    outputs: int

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Return the layer that turns a device's latent row into its parameters."""
        return nn.Linear(latent_dim, self.outputs)

    def actions_from_params(self, *args: Any, deterministic: bool = False, **kwargs: Any) -> Tensor:
        """Return actions for parameters."""
        return self.proba_distribution(*args, **kwargs).get_actions(deterministic=deterministic)

    def log_prob_from_params(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Return sampled actions and their log-likelihood."""
        actions = self.proba_distribution(*args, **kwargs).sample()
        return actions, self.log_prob(actions)


class Categories:
    """Independent categorical variables.

    Parameters
    ----------
    logits : (..., C) tensor
        Unnormalised log-probabilities.
    """

    def __init__(self, logits: Tensor) -> None:
        self.log_probabilities = logits.log_softmax(dim=-1)

    def log_prob(self, index: Tensor) -> Tensor:
        """Return the log-probability (...) of category indices (...)."""
        return self.log_probabilities.gather(-1, index.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Return the entropies (...)."""
        return -(self.log_probabilities.exp() * self.log_probabilities).sum(dim=-1)

    def sample(self) -> Tensor:
        """Draw indices (...), as the first of independent arrivals."""
        arrival = torch.empty_like(self.log_probabilities).exponential_()
        return (self.log_probabilities - arrival.log()).argmax(dim=-1)

    def mode(self) -> Tensor:
        """Return the likeliest indices (...)."""
        return self.log_probabilities.argmax(dim=-1)


class CutFirst(DeviceDistribution):
    """A categorical cut and, given the cut, a Gaussian log-share, as the numbers of the continuous action space.

    A Gaussian over the cut's column would have to cross the bins of bad cuts between two good ones. Here
    the cut is drawn among its C bins and stands for the middle of its bin.

    Parameters
    ----------
    num_cuts : int
        C, the number of bins of column 0.
    """

    def __init__(self, num_cuts: int) -> None:
        self.num_cuts = num_cuts

    def take(self, logits: Tensor, share_mean: Tensor, log_std: Tensor) -> Self:
        """Take C logits and as many means of the share's column for every device, and one deviation for all.

        Shares do not change when all log-shares move together, so those of the cuts that are drawn are centred.
        """
        self.cut = Categories(logits)
        self.share_mean = share_mean
        self.log_std = log_std
        return self

    def _mean(self, cut: Tensor) -> Tensor:
        """Return the means (B, K) of the share's column for cuts (B, K)."""
        mean = self.share_mean.gather(-1, cut.unsqueeze(-1)).squeeze(-1)
        return mean - mean.mean(dim=-1, keepdim=True)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return (B,) log-likelihoods of (B, K, 2) or flattened actions."""
        pairs = actions.reshape(*self.share_mean.shape[:-1], 2)
        bins = ((pairs[..., 0] + 1.0) * (self.num_cuts / 2.0)).long().clamp(0, self.num_cuts - 1)
        deviation = (pairs[..., 1] - self._mean(bins)) * (-self.log_std).exp()
        share = -0.5 * (deviation.square() + math.log(2.0 * math.pi)) - self.log_std
        return (self.cut.log_prob(bins) + share).sum(dim=-1)

    def entropy(self) -> Tensor:
        """Return (B,) entropies, the shares' being differential."""
        share = 0.5 * (1.0 + math.log(2.0 * math.pi)) + self.log_std
        return (self.cut.entropy() + share).sum(dim=-1)

    def sample(self) -> Tensor:
        """Draw (B, K, 2) actions."""
        cut = self.cut.sample()
        mean = self._mean(cut)
        return self._actions(cut, mean + torch.randn_like(mean) * self.log_std.exp())

    def mode(self) -> Tensor:
        """Return the likeliest cuts with the mean log-shares."""
        cut = self.cut.mode()
        return self._actions(cut, self._mean(cut))

    def _actions(self, cut: Tensor, share: Tensor) -> Tensor:
        return torch.stack([(cut + 0.5) * (2.0 / self.num_cuts) - 1.0, share], dim=-1)


class CutAndShare(CutFirst):
    """A categorical cut and a Gaussian log-share with the same mean at every cut.

    Parameters
    ----------
    num_cuts : int
        C, the number of bins of column 0.
    """

    def __init__(self, num_cuts: int) -> None:
        super().__init__(num_cuts)
        self.outputs = num_cuts + 1

    def proba_distribution(self, params: Tensor, log_std: Tensor) -> Self:
        """Take C logits and the log-share's mean for every device, and one deviation for all shares."""
        mean = params[..., -1:] * _SHARE_SCALE
        return self.take(params[..., :-1], mean.expand(*mean.shape[:-1], self.num_cuts), log_std)


class CutAndItsShare(CutFirst):
    """A categorical cut and a Gaussian log-share with a mean for each cut.

    Where devices wait for each other between stages, what a device needs of the band goes by its cut more than by
    anything else.

    Parameters
    ----------
    num_cuts : int
        C, the number of bins of column 0.
    """

    def __init__(self, num_cuts: int) -> None:
        super().__init__(num_cuts)
        self.outputs = 2 * num_cuts

    def proba_distribution(self, params: Tensor, log_std: Tensor) -> Self:
        """Take C logits and as many means of the log-share for every device, and one deviation for all shares."""
        logits, mean = params.chunk(2, dim=-1)
        return self.take(logits, mean * _SHARE_SCALE, log_std)


class Choices(DeviceDistribution):
    """One or more categorical choices for each device, as the entries of a ``MultiDiscrete`` space.

    Parameters
    ----------
    counts : list of int
        Options of each choice; the action holds the first choice of all devices, then the second, ...
    """

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts
        self.outputs = sum(counts)

    def proba_distribution(self, params: Tensor) -> Self:
        """Take the logits of all choices, one after another, for every device."""
        edges = [0, *itertools.accumulate(self.counts)]
        self.choices = [Categories(params[..., i:j]) for i, j in itertools.pairwise(edges)]
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return (B,) log-likelihoods of (B, choices * K) actions."""
        parts = actions.long().chunk(len(self.counts), dim=-1)
        terms = [choice.log_prob(part) for choice, part in zip(self.choices, parts, strict=True)]
        return torch.stack(terms).sum(dim=(0, -1))

    def entropy(self) -> Tensor:
        """Return (B,) entropies."""
        return torch.stack([choice.entropy() for choice in self.choices]).sum(dim=(0, -1))

    def sample(self) -> Tensor:
        """Draw (B, choices * K) actions."""
        return torch.cat([choice.sample() for choice in self.choices], dim=-1)

    def mode(self) -> Tensor:
        """Return the likeliest options."""
        return torch.cat([choice.mode() for choice in self.choices], dim=-1)


def for_space(
    action_space: spaces.Space[Any], num_devices: int, num_cuts: int | None, *, share_per_cut: bool = False
) -> DeviceDistribution:
    """Return the distribution that fits an action space of the environment.

    Parameters
    ----------
    action_space : Box (K, 2) or MultiDiscrete of K or 2 K entries
        One of the environment's action spaces.
    num_devices : int
        K.
    num_cuts : int or None
        C, which a ``Box`` does not tell.
    share_per_cut : bool
        Whether the log-share has a mean for each cut (``Box`` alone).

    Raises
    ------
    TrainingError
        For another space, or a ``Box`` without the number of cuts.
    """
    if isinstance(action_space, spaces.MultiDiscrete):
        counts = action_space.nvec.reshape(-1, num_devices)
        return Choices([int(count) for count in counts[:, 0]])
    if action_space == spaces.Box(-1.0, 1.0, (num_devices, 2)):
        if num_cuts is None:
            raise TrainingError("DevicePolicy needs num_cuts in its policy_kwargs for continuous actions.")
        return CutAndItsShare(num_cuts) if share_per_cut else CutAndShare(num_cuts)
    raise TrainingError(
        f"DevicePolicy knows the environment's own action spaces, not {action_space}; take policy: MlpPolicy."
    )
