"""Networks over a set of devices: permuting the devices permutes what comes out."""

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

_SMALLEST_SPREAD = 1e-2
"""A column that varies less than this over the fitted observations is hardly scaled up: it may be constant."""


class StandardisedRows(BaseFeaturesExtractor):
    """Observations (B, K, F) with every column shifted and scaled to mean 0 and spread 1.

    The observation's scales span 15 decades, of which one scenario uses a sliver, so the raw columns hardly
    vary. Mean and spread are fitted once, before training, and are saved with the weights: a trained agent
    takes the environment's own observations. Until :meth:`fit` they leave the rows as they are.

    Parameters
    ----------
    observation_space : Box
        (K, F).
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, observation_space: spaces.Box) -> None:
        devices, columns = observation_space.shape
        super().__init__(observation_space, features_dim=devices * columns)
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))

    def fit(self, observations: Tensor) -> None:
        """Take mean and spread of every column from observations (..., F)."""
        rows = observations.reshape(-1, observations.shape[-1])
        self.mean.copy_(rows.mean(dim=0))
        self.spread.copy_(rows.std(dim=0).clamp_min(_SMALLEST_SPREAD))

    def forward(self, observations: Tensor) -> Tensor:
        """Return the standardised rows (B, K, F)."""
        return (observations - self.mean) / self.spread


class FlatRows(StandardisedRows):
    """Standardised rows end to end, (B, K F): what a plain multi-layer perceptron takes."""

    def forward(self, observations: Tensor) -> Tensor:
        """Return the standardised rows end to end."""
        return super().forward(observations).flatten(start_dim=1)


class EquivariantLayer(nn.Module):
    """Each row through one shared layer, beside the mean and the maximum over all rows.

    Parameters
    ----------
    inputs, outputs : int
        Width of a row before and after.
    activation : type of torch.nn.Module
        Non-linearity.

    References
    ----------
    Zaheer et al., "Deep Sets", NeurIPS 2017: linear maps that commute with permutations are of this form.
    """

    def __init__(self, inputs: int, outputs: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.shared = nn.Linear(2 * inputs, outputs, bias=False)
        self.activation = activation()

    def forward(self, rows: Tensor) -> Tensor:
        """Return (B, K, outputs) for (B, K, inputs)."""
        result: Tensor = self.activation(self.own(rows) + self.shared(pooled(rows)).unsqueeze(-2))
        return result


def pooled(rows: Tensor) -> Tensor:
    """Return mean and maximum over the devices, (B, 2 W) for (B, K, W)."""
    return torch.cat([rows.mean(dim=-2), rows.amax(dim=-2)], dim=-1)


class RowNetworks(nn.Module):
    """Separate networks for actor and critic, in the shape that an actor-critic policy expects.

    Parameters
    ----------
    columns : int
        F.
    widths : sequence of int
        Width of each layer.
    activation : type of torch.nn.Module
        Non-linearity.
    """

    def __init__(self, columns: int, widths: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        self.actor = _stack(columns, widths, activation)
        self.critic = _stack(columns, widths, activation)
        self.latent_dim_pi = widths[-1]
        self.latent_dim_vf = 2 * widths[-1]

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return a latent row per device (B, K, W) and one per environment (B, 2 W)."""
        return self.forward_actor(rows), self.forward_critic(rows)

    def forward_actor(self, rows: Tensor) -> Tensor:
        """Return a latent row for each device, (B, K, W)."""
        latent: Tensor = self.actor(rows)
        return latent

    def forward_critic(self, rows: Tensor) -> Tensor:
        """Return what the devices have in common, (B, 2 W)."""
        return pooled(self.critic(rows))


def _stack(columns: int, widths: list[int], activation: type[nn.Module]) -> nn.Sequential:
    sizes = [columns, *widths]
    return nn.Sequential(*(EquivariantLayer(i, o, activation) for i, o in zip(sizes, widths, strict=False)))


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Return a layer that gives zeros until it has learnt."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
