"""An actor-critic policy that knows of a round what does not depend on the scenario, and points at cuts."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from sfl_agents.policies.pointer_distributions import Pointed, pointed_for
from sfl_agents.policies.pointer_network import Pointer, PointerNetwork
from sfl_agents.policies.price_network import BatteryValue
from sfl_agents.policies.problem_columns import ProblemColumns, has_phases, num_absolute, read
from sfl_agents.policies.rows import pooled
from sfl_agents.policies.staged_network import StagedPointerNetwork
from sfl_env.errors import TrainingError
from sfl_env.scenario import Barriers

_KNOWN = (-1.0, -1.0, 0.0)
"""What a logarithmic reward makes of the sensible round's logarithmic length, of the target's over it, and of the
excess of shares: the value's first weights."""


class RowsAsTheyAre(BaseFeaturesExtractor):
    """Observations (B, K, F), unchanged.

    Parameters
    ----------
    observation_space : Box
        (K, F).
    """

    def __init__(self, observation_space: spaces.Box) -> None:
        devices, columns = observation_space.shape
        super().__init__(observation_space, features_dim=devices * columns)

    def forward(self, observations: Tensor) -> Tensor:
        """Return them."""
        return observations


class PointerLatents(nn.Module):
    """The pointer's network in the shape that an actor-critic policy expects.

    Parameters
    ----------
    width : int
        Of the layers.
    activation : type of torch.nn.Module
        Non-linearity.
    num_cuts : int
        C; no weight depends on it.
    late_channel : bool
        Whether the channel is observed late; no weight depends on it.
    hedge, price : bool
        As for :class:`.pointer_network.PointerNetwork`.
    staged_by : str, optional
        Where devices wait for each other, for a pointer to rounds in stages.
    """

    def __init__(
        self,
        width: int,
        activation: type[nn.Module],
        num_cuts: int,
        *,
        late_channel: bool,
        hedge: bool,
        price: bool,
        staged_by: Barriers | None = None,
    ) -> None:
        super().__init__()
        self.num_cuts, self.late_channel = num_cuts, late_channel
        self.pointer: PointerNetwork | StagedPointerNetwork
        if staged_by is None:
            self.pointer = PointerNetwork(width, activation, hedge=hedge, price=price)
        else:
            self.pointer = StagedPointerNetwork(width, activation, staged_by)
        self.value = nn.Sequential(nn.Linear(2 * width, width), activation())
        self.ahead = BatteryValue(width, activation) if price else None
        self.latent_dim_vf = width + len(_KNOWN)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and log-shares (B, K, 2 C), and what the value is computed from (B, W + 3)."""
        columns = self.read(rows)
        pointer = self.pointer(columns)
        return _joined(pointer), self._valued(pointer, columns)

    def forward_actor(self, rows: Tensor) -> Tensor:
        """Return logits and log-shares, (B, K, 2 C)."""
        return _joined(self.pointer(self.read(rows)))

    def forward_critic(self, rows: Tensor) -> Tensor:
        """Return what the value is computed from, (B, W + 3)."""
        columns = self.read(rows)
        return self._valued(self.pointer(columns), columns)

    def read(self, rows: Tensor) -> ProblemColumns:
        """Take rows (B, K, F) apart."""
        return read(rows, self.num_cuts, late_channel=self.late_channel)

    def _valued(self, pointer: Pointer, columns: ProblemColumns) -> Tensor:
        # A critic's error is not to move the decision.
        if self.ahead is not None and columns.batteries is not None:
            ahead: Tensor = self.ahead(columns, pointer.log_target.detach(), pointer.log_excess.detach())
            return ahead
        known = torch.stack([columns.log_length, pointer.log_target, pointer.log_excess], dim=-1).detach()
        return torch.cat([self.value(pooled(pointer.device.detach())), known], dim=-1)


def _joined(pointer: Pointer) -> Tensor:
    return torch.cat([pointer.logits, pointer.log_share], dim=-1)


class CutPointerPolicy(ActorCriticPolicy):
    """Point at a cut for every device, by the share of the band that each cut needs for a common target.

    It is for environments with ``observation_mode="problem"`` and reads columns that are relative to the round
    alone, so one agent acts for any number of devices and cuts, band, network, mini-batch and cell. What of the
    round's physics it contains from the start is said at :class:`.pointer_network.PointerNetwork`.

    Parameters
    ----------
    observation_space : Box
        (K, F), rows of the problem.
    action_space : Box or MultiDiscrete
        Of ``action_mode`` ``"continuous"``, ``"cut"`` or ``"discrete"``.
    lr_schedule : callable
        Learning rate.
    num_cuts : int
        C.
    late_channel : bool
        Whether the channel is observed late; rows then tell of the links without small-scale fading.
    width : int
        Of the layers.
    hedge : bool
        Whether to learn how an old channel is to be taken. Where it is that of now, this makes no difference.
    price : bool
        Whether to learn what batteries are worth. Where there are none, this makes no difference.
    staged : bool
        Whether rounds are in stages, see :class:`.staged_network.StagedPointerNetwork`; then neither of these.
    barriers : str
        Where devices wait for each other.
    activation_fn : type of torch.nn.Module
        Non-linearity.
    log_std_init : float
        Logarithm of the deviation that shares start with: of their column (continuous actions), of their logarithm
        (discrete ones).
    **kwargs
        As for :class:`stable_baselines3.common.policies.ActorCriticPolicy`.

    Raises
    ------
    TrainingError
        If the spaces are not of these modes, or ``staged`` does not go with the other arguments.
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        num_cuts: int,
        late_channel: bool = False,
        width: int = 16,
        hedge: bool = False,
        price: bool = False,
        staged: bool = False,
        barriers: Barriers = "none",
        activation_fn: type[nn.Module] = nn.SiLU,
        log_std_init: float = -4.5,
        **kwargs: Any,
    ) -> None:
        if len(observation_space.shape) != 2:
            raise TrainingError(f"CutPointerPolicy takes rows (K, F), not {observation_space}.")
        absolute = num_absolute(observation_space.shape[1], num_cuts, late_channel=late_channel)
        self.num_cuts, self.late_channel, self.width = num_cuts, late_channel, width
        self.hedge, self.price, self.staged, self.barriers = hedge, price, staged, barriers
        if staged and (hedge or price):
            raise TrainingError(
                "staged: true goes with neither hedge nor price, which are for rounds in which nobody waits."
            )
        waits = staged and barriers != "none"
        if waits and not has_phases(observation_space.shape[1], num_cuts, absolute):
            raise TrainingError(
                "staged: true reads the seconds of the phases, which rows tell where devices wait for each other: "
                f"make the environment with barriers={barriers!r}, too, or leave staged out."
            )
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            activation_fn=activation_fn,
            log_std_init=log_std_init,
            **(kwargs | {"features_extractor_class": RowsAsTheyAre}),
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = super()._get_constructor_parameters()
        parameters.pop("net_arch")
        own = ("num_cuts", "late_channel", "width", "hedge", "price", "staged", "barriers")
        return parameters | {name: getattr(self, name) for name in own}

    def _build(self, lr_schedule: Schedule) -> None:
        latents = PointerLatents(
            self.width,
            self.activation_fn,
            self.num_cuts,
            late_channel=self.late_channel,
            hedge=self.hedge,
            price=self.price,
            staged_by=self.barriers if self.staged else None,
        )
        self.mlp_extractor = latents  # type: ignore[assignment]  # same interface, rows kept apart
        self.action_dist = pointed_for(self.action_space, (self.observation_space.shape or (0,))[0], self.num_cuts)
        self.action_net = nn.Identity()
        self.log_std = nn.Parameter(torch.tensor(float(self.log_std_init)))
        self.value_net = nn.Linear(latents.latent_dim_vf, 1)
        nn.init.zeros_(self.value_net.bias)
        with torch.no_grad():
            known = BatteryValue.first_weights if self.price else _KNOWN
            self.value_net.weight.copy_(torch.tensor([[*[0.0] * self.width, *known]]))
        options: dict[str, Any] = {"lr": lr_schedule(1.0), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **options)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, Pointed)
        return self.action_dist.proba_distribution(latent_pi, self.log_std)

    def point(self, rows: Tensor, num_cuts: int, *, late_channel: bool = False) -> Pointer:
        """Return the pointer for rows (B, K, F) of any number of devices and cuts, late or not."""
        assert isinstance(self.mlp_extractor, PointerLatents)
        pointer: Pointer = self.mlp_extractor.pointer(read(rows, num_cuts, late_channel=late_channel))
        return pointer
