"""Shadowing by buildings: log-normal, and alike at places that are near each other."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from sfl_env.arrays import Array
from sfl_env.checks import require_positive


class ShadowingState(NamedTuple):
    """Shadowing in units of its standard deviation."""

    latent: Array  # (N, K), standard normal


class Shadowing(Protocol):
    """What the composite channel asks of a shadowing model."""

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ShadowingState:
        """Shadowing of n environments at the start."""
        ...

    def step(self, state: ShadowingState, moved_m: Array, rng: np.random.Generator) -> ShadowingState:
        """Shadowing after each device has moved so many metres, (N, K)."""
        ...


@dataclass(frozen=True)
class CorrelatedShadowing:
    r"""Log-normal shadowing whose correlation decays exponentially with the distance moved.

    .. math:: z' = r z + \sqrt{1 - r^2}\, w, \quad r = e^{-\Delta d / d_{corr}}

    The latent z is standard normal; the channel multiplies it by the path-loss model's deviation in dB.
    Source: M. Gudmundson, "Correlation model for shadow fading in mobile radio systems", Electronics Letters
    27(23), 1991. 3GPP TR 38.901, Table 7.5-6, gives correlation distances of 10 m (UMi, LOS), 13 m (UMi, NLOS),
    37 m (UMa, LOS) and 50 m (UMa, NLOS).

    Parameters
    ----------
    correlation_distance_m : float
        Distance after which the correlation has fallen to 1/e, m.

    Raises
    ------
    ScenarioError
        If the distance is not above 0.

    Examples
    --------
    >>> shadowing = CorrelatedShadowing(correlation_distance_m=13.0)
    >>> state = shadowing.initial(np.random.default_rng(0), 1, 3)
    >>> unmoved = shadowing.step(state, np.zeros((1, 3)), np.random.default_rng(1))
    >>> bool((unmoved.latent == state.latent).all())
    True
    """

    correlation_distance_m: float = 13.0

    def __post_init__(self) -> None:
        require_positive("correlation_distance_m", self.correlation_distance_m)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ShadowingState:
        """Independent standard normals."""
        return ShadowingState(rng.standard_normal((n, num_devices)))

    def step(self, state: ShadowingState, moved_m: Array, rng: np.random.Generator) -> ShadowingState:
        """Shadowing after each device has moved so many metres, (N, K)."""
        correlation = np.exp(moved_m * (-1.0 / self.correlation_distance_m))
        latent = rng.standard_normal(moved_m.shape)
        latent *= np.sqrt(1.0 - correlation * correlation)
        latent += correlation * state.latent
        return ShadowingState(latent)


@dataclass(frozen=True)
class NoShadowing:
    """The mean path loss everywhere.

    Examples
    --------
    >>> NoShadowing().initial(np.random.default_rng(0), 1, 2).latent
    array([[0., 0.]])
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ShadowingState:
        """Zeros."""
        return ShadowingState(np.zeros((n, num_devices)))

    def step(self, state: ShadowingState, moved_m: Array, rng: np.random.Generator) -> ShadowingState:
        """Return the state as it is."""
        return state
