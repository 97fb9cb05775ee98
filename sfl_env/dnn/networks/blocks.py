"""The pieces that the networks are made of."""

import math
from typing import Literal

from torch import nn

Norm = Literal["batch", "group", "none"]
"""Normalisation of a network: with running statistics, without them, or no normalisation at all."""

_CHANNELS_PER_GROUP = 8
_MAX_GROUPS = 32


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """Return a normalisation layer, which always has two parameters for each channel.

    Parameters
    ----------
    norm : {"batch", "group", "none"}
        ``"group"`` keeps no running statistics: copies of a network that see different data then differ in
        their parameters only, and averaging parameters is all that federated averaging needs.
    channels : int
        Channels of the activation.

    Examples
    --------
    >>> normalisation("group", 64).num_groups
    8
    """
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        groups = math.gcd(channels, min(_MAX_GROUPS, max(1, channels // _CHANNELS_PER_GROUP)))
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def convolution(
    channels_in: int,
    channels_out: int,
    kernel: int,
    norm: Norm,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Return a same-padded convolution, its normalisation and its activation; bias only without norm."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            bias=norm == "none",
        )
    ]
    if norm != "none":
        layers.append(normalisation(norm, channels_out))
    if activation is not None:
        layers.append(activation)
    return nn.Sequential(*layers)


def head(features_in: int, num_classes: int, *, pool: bool = True) -> nn.Sequential:
    """Return the classifier: mean over the pixels (if asked for), flatten, one linear layer."""
    layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1)] if pool else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features_in, num_classes))
