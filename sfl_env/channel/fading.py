"""Small-scale fading: averaged over within a round, constant within one (block fading), or none."""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from sfl_env.arrays import Array, constant
from sfl_env.checks import require_range

State = TypeVar("State", bound=tuple[Any, ...])


class Fading(Protocol[State]):
    """What the composite channel asks of a fading model.

    ``k_factor`` (N, K) is each link's Rician factor, the power of its steady wave over that of the scattered ones,
    linear; 0 is Rayleigh fading. The state has a method ``within_round(k_factor)``: the Rician factor (N, K) of
    the fading that a round averages over, infinite where nothing fades within it.
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Fading of n environments at the start, from the stationary distribution."""
        ...

    def step(self, state: State, rng: np.random.Generator) -> State:
        """Fading of the next round; the very same object if nothing changes."""
        ...

    def power(self, state: State, k_factor: Array) -> Array | None:
        """Power (N, K) that the round's gain is multiplied by, of mean 1; ``None`` for 1 everywhere."""
        ...


class AveragedState(NamedTuple):
    """Fading within the round, of which nothing is remembered."""

    def within_round(self, k_factor: Array) -> Array:
        """Return the links' own factor."""
        return k_factor


class ScatterState(NamedTuple):
    """Scattered waves of block fading."""

    scatter: Array  # (N, 2, K), in-phase and quadrature part, of mean power 1 together

    def within_round(self, k_factor: Array) -> Array:
        """Infinite: nothing fades within the round."""
        return nothing_fades(k_factor.shape)


class SteadyState(NamedTuple):
    """No fading at all."""

    def within_round(self, k_factor: Array) -> Array:
        """Infinite: nothing fades."""
        return nothing_fades(k_factor.shape)


@lru_cache(maxsize=8)
def nothing_fades(shape: tuple[int, ...]) -> Array:
    """Return infinite Rician factors, in an array that cannot be written into.

    Examples
    --------
    >>> nothing_fades((1, 2))
    array([[inf, inf]])
    """
    factors = np.full(shape, math.inf)
    factors.flags.writeable = False
    return factors


@dataclass(frozen=True)
class AveragedFading:
    """Small-scale fading within the round: a round of seconds meets its whole distribution.

    At 3.5 GHz a walker at 1.4 m/s passes a wavelength in 61 ms, and a round lasts seconds. So the gain is the mean
    over the fading, and the rate that comes of it is an average over the Rician distribution of each link.

    Examples
    --------
    >>> AveragedFading().initial(np.random.default_rng(0), 1, 2).within_round(np.array([[0.0, 7.9]]))
    array([[0. , 7.9]])
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> AveragedState:
        """Nothing to remember."""
        return AveragedState()

    def step(self, state: AveragedState, rng: np.random.Generator) -> AveragedState:
        """Return the state as it is."""
        return state

    def power(self, state: AveragedState, k_factor: Array) -> None:
        """Return nothing: the gain is the mean over the fading."""


@dataclass(frozen=True)
class BlockFading:
    r"""Fading that is constant within a round: a steady wave and scattered ones, Gauss-Markov over rounds.

    .. math::
        h &= \sqrt{\tfrac{\kappa}{\kappa + 1}} + \sqrt{\tfrac{1}{\kappa + 1}}\, u \\
        u' &= \rho u + \sqrt{1 - \rho^2}\, w, \quad w \sim \mathcal{CN}(0, 1)

    with each link's Rician factor :math:`\kappa`; where that is 0, the power :math:`|h|^2` is exponential
    (Rayleigh fading). It has mean 1, variance :math:`(1 + 2\kappa) / (1 + \kappa)^2` and, with :math:`\kappa = 0`,
    the autocorrelation :math:`\rho^{2\,lag}`.

    Parameters
    ----------
    correlation : float
        :math:`\rho`, -1 to 1, from one round to the next; 0 draws anew each round, 1 never changes. Over a round
        of seconds :func:`jakes_correlation` is about 0 for anything that moves.

    Raises
    ------
    ScenarioError
        If the correlation is out of its range.

    Examples
    --------
    >>> fading, rng = BlockFading(correlation=0.5), np.random.default_rng(0)
    >>> state = fading.step(fading.initial(rng, 1000, 10), rng)
    >>> round(float(fading.power(state, np.full((1000, 10), 4.0)).mean()), 1)
    1.0
    """

    correlation: float = 0.0

    def __post_init__(self) -> None:
        require_range("correlation", self.correlation, -1.0, 1.0)

    @cached_property
    def _step_factors(self) -> tuple[Array, Array]:
        """Factors of the innovation and of the past."""
        return constant(math.sqrt(0.5 * (1.0 - self.correlation**2))), constant(self.correlation)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ScatterState:
        """Fading from the stationary distribution."""
        scatter = rng.standard_normal((n, 2, num_devices))
        scatter *= math.sqrt(0.5)
        return ScatterState(scatter)

    def step(self, state: ScatterState, rng: np.random.Generator) -> ScatterState:
        """Fading of the next round."""
        innovation, past = self._step_factors
        following = rng.standard_normal(state.scatter.shape)
        following *= innovation
        following += state.scatter * past
        return ScatterState(following)

    def power(self, state: ScatterState, k_factor: Array) -> Array:
        """Power of steady and scattered waves together, (N, K), of mean 1."""
        amplitude = np.sqrt(k_factor)
        amplitude += state.scatter[:, 0]
        amplitude *= amplitude
        quadrature = state.scatter[:, 1]
        amplitude += quadrature * quadrature
        amplitude /= k_factor + 1.0
        return amplitude


@dataclass(frozen=True)
class NoFading:
    """A constant gain around its large-scale value.

    Examples
    --------
    >>> NoFading().initial(np.random.default_rng(0), 1, 2).within_round(np.zeros((1, 2)))
    array([[inf, inf]])
    """

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> SteadyState:
        """Nothing to remember."""
        return SteadyState()

    def step(self, state: SteadyState, rng: np.random.Generator) -> SteadyState:
        """Return the state as it is."""
        return state

    def power(self, state: SteadyState, k_factor: Array) -> None:
        """Return nothing: the gain stays."""


def jakes_correlation(doppler_hz: float, interval_s: float) -> float:
    r"""Correlation of the amplitude over one interval when waves arrive from all around.

    .. math:: \rho = J_0(2 \pi f_D \tau)

    Source: W. C. Jakes, "Microwave Mobile Communications", 1974.

    Parameters
    ----------
    doppler_hz : float
        Largest Doppler shift, speed x carrier / velocity of light, Hz.
    interval_s : float
        Time between two rounds, s.

    Returns
    -------
    float
        From -0.403 to 1.

    Examples
    --------
    A pedestrian at 1 m/s, 3.5 GHz, 10 ms later:

    >>> round(jakes_correlation(doppler_hz=1.0 * 3.5e9 / 3e8, interval_s=0.01), 3)
    0.87
    """
    from scipy.special import j0  # imported here to keep `import sfl_env` cheap

    return float(j0(2.0 * math.pi * doppler_hz * interval_s))
