"""The policy that shares one network among all devices, for sb3-contrib's ``MaskablePPO``."""

from typing import Any, Self

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.distributions import MaskableDistribution, MaybeMasks
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from sfl_agents.policies.device_policy import build_networks
from sfl_agents.policies.distributions import Choices
from sfl_agents.policies.rows import StandardisedRows
from sfl_env.errors import TrainingError

_OUT_OF_REACH = -1e8
"""Stands for the logit of what is masked; as in sb3-contrib."""


class MaskedChoices(Choices, MaskableDistribution):
    """Choices for each device; those that are masked have no probability and add nothing to the entropy."""

    def proba_distribution(self, params: Tensor) -> Self:
        """Take the logits of all choices, one after another, for every device (B, K, ``outputs``)."""
        self._logits = params
        return super().proba_distribution(params)

    def apply_masking(self, masks: MaybeMasks) -> None:
        """Leave probability only to what a mask leaves.

        Parameters
        ----------
        masks : (B, M) array or tensor, optional
            In the environment's order: the options of the first choice of all devices, one after another, then
            those of the second. None takes masks away.
        """
        if masks is None:
            super().proba_distribution(self._logits)
            return
        batch, devices = self._logits.shape[:2]
        whole = torch.as_tensor(masks, dtype=torch.bool).reshape(batch, -1)
        parts = whole.split([devices * count for count in self.counts], dim=-1)
        # From choice after choice of all devices to device after device with all its choices.
        by_device = [part.reshape(batch, devices, -1) for part in parts]
        allowed = torch.cat(by_device, dim=-1)
        super().proba_distribution(self._logits.masked_fill(~allowed, _OUT_OF_REACH))


class MaskableDevicePolicy(MaskableActorCriticPolicy):
    """What :class:`.DevicePolicy` is, with choices that can be masked.

    Parameters
    ----------
    observation_space : Box
        (K, F), one row a device.
    action_space : MultiDiscrete
        One of the environment's.
    lr_schedule : callable
        Learning rate.
    num_cuts : int, optional
        C; a ``MultiDiscrete`` space tells it, too.
    net_arch : list of int
        Width of each layer, for actor and critic alike.
    activation_fn : type of torch.nn.Module
        Non-linearity.
    **kwargs
        As for sb3-contrib's ``MaskableActorCriticPolicy``.

    Raises
    ------
    TrainingError
        If the action space is none of choices.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        num_cuts: int | None = None,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        **kwargs: Any,
    ) -> None:
        if not isinstance(action_space, spaces.MultiDiscrete):
            raise TrainingError(
                f"Masks are for choices among options, not for {action_space}; take action_mode: cut."
            )
        self.num_cuts = num_cuts
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=net_arch or [64, 64],
            activation_fn=activation_fn,
            **(kwargs | {"features_extractor_class": StandardisedRows}),
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"num_cuts": self.num_cuts}

    def _build(self, lr_schedule: Schedule) -> None:
        devices = (self.observation_space.shape or (0,))[0]
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        counts = self.action_space.nvec.reshape(-1, devices)
        build_networks(self, MaskedChoices([int(count) for count in counts[:, 0]]), lr_schedule)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> MaskableDistribution:
        distribution = self.action_dist
        assert isinstance(distribution, MaskedChoices)
        return distribution.proba_distribution(self.action_net(latent_pi))
