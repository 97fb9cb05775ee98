"""The pointer as an actor of SAC, and critics that know what a cut and a share mean."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import Tensor, nn

from sfl_agents.policies.cut_pointer import RowsAsTheyAre
from sfl_agents.policies.pointer_distributions import PointedShare, pointed_for
from sfl_agents.policies.pointer_network import LEAST_AIR, PointerNetwork, zeroed
from sfl_agents.policies.problem_columns import num_absolute, read
from sfl_agents.policies.rows import pooled
from sfl_env.errors import TrainingError
from sfl_env.spaces.action import ContinuousAction

_LOG_STD = (-3.5, -4.0)
"""Logarithms of the deviations that both columns start with, before the tanh: cuts within their bins mostly."""

_EDGE = 0.999
_SHARPNESS = 30.0


class PointerActor(Actor):
    """A Gaussian, squashed, around the middle of the bin that is pointed at and the share needed there.

    Parameters
    ----------
    num_cuts, width : int
        C, and the width of the layers.
    late_channel : bool
        Whether the channel is observed late.
    **kwargs
        As for Stable-Baselines3's actor.
    """

    def __init__(self, *, num_cuts: int, late_channel: bool, width: int, **kwargs: Any) -> None:
        super().__init__(**(kwargs | {"net_arch": []}))
        self.num_cuts, self.late_channel = num_cuts, late_channel
        del self.mu, self.log_std  # one for each device; what is in their place is for all
        self.pointer = PointerNetwork(width, self.activation_fn)
        self.log_std = nn.Parameter(torch.tensor(_LOG_STD))

    def get_action_dist_params(self, obs: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return means and logarithmic deviations (B, 2 K) before the tanh."""
        rows = self.extract_features(obs, self.features_extractor)
        pointer = self.pointer(read(rows, self.num_cuts, late_channel=self.late_channel))
        cut = pointer.logits.argmax(dim=-1, keepdim=True)
        middles = (torch.arange(self.num_cuts) + 0.5) * (2.0 / self.num_cuts) - 1.0
        expected = (pointer.logits.softmax(dim=-1) * middles).sum(dim=-1)
        # The mean lies in the middle of a bin; its gradient is that of the expected one.
        column = middles[cut.squeeze(-1)] + expected - expected.detach()
        log_share = pointer.log_share.gather(-1, cut).squeeze(-1)
        share = (log_share - log_share.mean(dim=-1, keepdim=True)) / ContinuousAction.share_log_range
        mean = torch.stack([column, share], dim=-1).clamp(-_EDGE, _EDGE).atanh()
        return mean.flatten(start_dim=1), self.log_std.repeat(mean.shape[1]).expand(len(mean), -1), {}


class PointerValue(nn.Module):
    """Value of a decision: what the round lasts by the straight law, corrected by what is learnt.

    Parameters
    ----------
    num_cuts, width : int
        C, and the width of the layers.
    late_channel : bool
        Whether the channel is observed late.
    activation : type of torch.nn.Module
        Non-linearity.

    Notes
    -----
    Built in are the times of devices whose rate is proportional to their share, and that the slowest counts, on
    the scale of a logarithmic reward. Learnt are a correction of the time for the share and the link, and another
    of the value.
    """

    def __init__(self, num_cuts: int, width: int, activation: type[nn.Module], *, late_channel: bool) -> None:
        super().__init__()
        self.num_cuts, self.late_channel = num_cuts, late_channel
        self.gain = nn.Sequential(nn.Linear(3, width), activation(), zeroed(nn.Linear(width, 1)))
        self.device = nn.Sequential(nn.Linear(5, width), activation())
        self.value = nn.Sequential(nn.Linear(2 * width, width), activation(), zeroed(nn.Linear(width, 1)))
        self.of_length = nn.Parameter(torch.tensor([-1.0, -1.0]))

    def forward(self, rows: Tensor, actions: Tensor) -> Tensor:
        """Return values (B, 1) of actions (B, 2 K) on rows (B, K, F)."""
        columns = read(rows, self.num_cuts, late_channel=self.late_channel)
        position, log_weight = actions.reshape(*rows.shape[:-1], 2).unbind(-1)
        among = torch.stack([columns.log_fixed.exp(), columns.uplink, columns.downlink], dim=-1)
        fixed, uplink, downlink = _at_position(among, (position + 1.0) * (self.num_cuts / 2.0)).unbind(-1)
        log_weight = ContinuousAction.share_log_range * log_weight
        log_share = log_weight.log_softmax(dim=-1) + torch.tensor(float(rows.shape[-2])).log()
        spread = columns.device[..., 4]
        gain = self.gain(torch.stack([log_share, columns.log_snr / 7.0, spread], dim=-1)).squeeze(-1)
        air = (uplink * (log_share * gain).clamp(-5.0, 5.0).exp() + downlink) * (-log_share).exp()
        log_time = (fixed + air).clamp(LEAST_AIR, 1e6).log()
        last = (_SHARPNESS * log_time).logsumexp(dim=-1) / _SHARPNESS
        seen = [log_time - last.unsqueeze(-1), log_share, columns.log_snr / 7.0, spread, fixed.clamp_max(2.0)]
        common = pooled(self.device(torch.stack(seen, dim=-1)))
        known = self.of_length * torch.stack([columns.log_length, last], dim=-1)
        value: Tensor = self.value(common).squeeze(-1) + known.sum(dim=-1)
        return value.unsqueeze(-1)


def _at_position(table: Tensor, position: Tensor) -> Tensor:
    """Return the entries (B, K, W) of a table (B, K, C, W) in the bins of positions (B, K) from 0 to C.

    A value is that of its bin, as in the environment; its gradient leads from the middle of one to the next.
    """
    count = table.shape[-2]

    def entry(index: Tensor) -> Tensor:
        where = index.long().clamp(0, count - 1)[..., None, None].expand(*index.shape, 1, table.shape[-1])
        return table.gather(-2, where).squeeze(-2)

    lower = (position - 0.5).floor()
    part = (position - 0.5 - lower).unsqueeze(-1)
    between = entry(lower) * (1.0 - part) + entry(lower + 1.0) * part
    return entry(position.floor()) + between - between.detach()


class PointerCritic(ContinuousCritic):
    """Several :class:`PointerValue`.

    Parameters
    ----------
    num_cuts, width : int
        C, and the width of the layers.
    late_channel : bool
        Whether the channel is observed late.
    **kwargs
        As for Stable-Baselines3's critic.
    """

    def __init__(self, *, num_cuts: int, late_channel: bool, width: int, n_critics: int, **kwargs: Any) -> None:
        super().__init__(**(kwargs | {"n_critics": 0}))
        self.n_critics = n_critics
        for number in range(n_critics):
            network = PointerValue(num_cuts, width, kwargs["activation_fn"], late_channel=late_channel)
            self.add_module(f"qf{number}", network)
            self.q_networks.append(network)

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Return each network's values, (B, 1)."""
        return tuple(network(obs, actions) for network in self.q_networks)

    def q1_forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """Return the first network's values, (B, 1)."""
        value: Tensor = self.q_networks[0](obs, actions)
        return value


class CutPointerSACPolicy(SACPolicy):
    """Point at cuts as :class:`~.cut_pointer.CutPointerPolicy` does, with critics for continuous actions.

    Parameters
    ----------
    observation_space : Box
        (K, F), rows of the problem.
    action_space : Box
        Of ``action_mode`` ``"continuous"``.
    lr_schedule : callable
        Learning rate.
    num_cuts : int
        C.
    late_channel : bool
        Whether the channel is observed late.
    width : int
        Of the layers.
    n_critics : int
        Critics, of whose values the least is taken.
    activation_fn : type of torch.nn.Module
        Non-linearity.
    **kwargs
        As for :class:`stable_baselines3.sac.policies.SACPolicy`.

    Raises
    ------
    TrainingError
        If the spaces are not of these modes.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        num_cuts: int,
        late_channel: bool = False,
        width: int = 16,
        n_critics: int = 2,
        activation_fn: type[nn.Module] = nn.SiLU,
        **kwargs: Any,
    ) -> None:
        devices, columns = observation_space.shape
        num_absolute(columns, num_cuts, late_channel=late_channel)
        if not isinstance(pointed_for(action_space, devices, num_cuts), PointedShare):
            raise TrainingError(f"CutPointerSACPolicy needs action_mode continuous, not {action_space}.")
        self.pointed: dict[str, Any] = {"num_cuts": num_cuts, "late_channel": late_channel, "width": width}
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[width],
            n_critics=n_critics,
            activation_fn=activation_fn,
            **(kwargs | {"features_extractor_class": RowsAsTheyAre}),
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | self.pointed

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Return the actor."""
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return PointerActor(**kwargs, **self.pointed).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Return the critics."""
        kwargs = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return PointerCritic(**kwargs, **self.pointed).to(self.device)
