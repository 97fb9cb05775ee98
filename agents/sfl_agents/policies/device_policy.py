"""An actor-critic policy that shares one small network among all devices."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from sfl_agents.policies.distributions import (
    Choices,
    CutAndItsShare,
    CutAndShare,
    CutFirst,
    DeviceDistribution,
    for_space,
)
from sfl_agents.policies.rows import RowNetworks, StandardisedRows


class DevicePolicy(ActorCriticPolicy):
    """Decide for every device from its own row and what the rows have in common.

    A flat network over (K, F) has to learn for each of the K places anew what a weak device needs, and knows
    nothing about a cell with its devices renumbered. This one is equivariant: renumbering the devices
    renumbers the decisions, so K devices give K examples a round, and the same weights serve any K.

    Parameters
    ----------
    observation_space : Box
        (K, F), one row a device.
    action_space : Box or MultiDiscrete
        One of the environment's.
    lr_schedule : callable
        Learning rate.
    num_cuts : int, optional
        C; needed for continuous actions.
    net_arch : list of int
        Width of each layer, for actor and critic alike.
    share_per_cut : bool
        Whether the log-share has a mean for each cut instead of one for all (continuous actions).
    activation_fn : type of torch.nn.Module
        Non-linearity.
    log_std_init : float
        Logarithm of the deviation that the log-share's column starts with (continuous actions).
    **kwargs
        As for :class:`stable_baselines3.common.policies.ActorCriticPolicy`.

    Raises
    ------
    TrainingError
        If the action space is none of the environment's.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        num_cuts: int | None = None,
        net_arch: list[int] | None = None,
        share_per_cut: bool = False,
        activation_fn: type[nn.Module] = nn.ReLU,
        log_std_init: float = -2.0,
        **kwargs: Any,
    ) -> None:
        self.num_cuts, self.share_per_cut = num_cuts, share_per_cut
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=net_arch or [64, 64],
            activation_fn=activation_fn,
            log_std_init=log_std_init,
            **(kwargs | {"features_extractor_class": StandardisedRows}),
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"num_cuts": self.num_cuts, "share_per_cut": self.share_per_cut}
        return super()._get_constructor_parameters() | own

    def _build(self, lr_schedule: Schedule) -> None:
        devices = (self.observation_space.shape or (0,))[0]
        distribution = for_space(self.action_space, devices, self.num_cuts, share_per_cut=self.share_per_cut)
        build_networks(self, distribution, lr_schedule)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        params = self.action_net(latent_pi)
        if isinstance(self.action_dist, CutAndShare | CutAndItsShare):
            return self.action_dist.proba_distribution(params, self.log_std)
        assert isinstance(self.action_dist, Choices)
        return self.action_dist.proba_distribution(params)


def build_networks(policy: Any, distribution: DeviceDistribution, lr_schedule: Schedule) -> None:
    """Give an actor-critic policy its networks, which keep the devices' rows apart, and its optimiser.

    Parameters
    ----------
    policy : ActorCriticPolicy or MaskableActorCriticPolicy
        With ``observation_space``, ``net_arch``, a list of widths, and ``activation_fn``.
    distribution : DeviceDistribution
        Of its actions.
    lr_schedule : callable
        Learning rate.
    """
    networks = RowNetworks(policy.observation_space.shape[1], policy.net_arch, policy.activation_fn)
    policy.mlp_extractor = networks  # same interface as Stable-Baselines3's
    policy.action_dist = distribution
    policy.action_net = distribution.proba_distribution_net(networks.latent_dim_pi)
    if isinstance(distribution, CutFirst):
        policy.log_std = nn.Parameter(torch.tensor(float(policy.log_std_init)))
    policy.value_net = nn.Linear(networks.latent_dim_vf, 1)
    # Gains as in Stable-Baselines3: hardly any preference at the start.
    for module, gain in ((networks, np.sqrt(2.0)), (policy.action_net, 0.01), (policy.value_net, 1.0)):
        for layer in module.modules():
            policy.init_weights(layer, gain=float(gain))
    options: dict[str, Any] = {"lr": lr_schedule(1.0), **policy.optimizer_kwargs}
    policy.optimizer = policy.optimizer_class(policy.parameters(), **options)
