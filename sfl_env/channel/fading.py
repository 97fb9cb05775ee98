"""Block fading: the random part of the gain that changes from round to round, of unit mean power."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from sfl_env.arrays import Array, constant
from sfl_env.checks import require_range

State = TypeVar("State", bound=tuple[Any, ...])


class Fading(Protocol[State]):
    """What the composite channel asks of a fading model; its state has ``.power`` (N, K)."""

    @property
    def correlation(self) -> float:
        """Correlation of the complex amplitude from one round to the next."""
        ...

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> State:
        """Fading of n environments at the start, from the stationary distribution."""
        ...

    def step(self, state: State, rng: np.random.Generator) -> State:
        """Fading of the next round; the very same object if nothing changes."""
        ...


class ScatterState(NamedTuple):
    """Scattered waves and the power they add up to."""

    scatter: Array  # (N, 2, K), in-phase and quadrature part of the scattered amplitude
    power: Array  # (N, K), linear, mean 1; above 0 but for one draw in 2^100


class SteadyState(NamedTuple):
    """No fading at all."""

    power: Array  # (N, K), ones


@dataclass(frozen=True)
class Rayleigh:
    r"""Rayleigh block fading, first-order Gauss-Markov over rounds.

    The complex amplitude follows

    .. math:: h' = \rho h + \sqrt{1 - \rho^2}\, w, \quad w \sim \mathcal{CN}(0, 1)

    and the power :math:`|h|^2` is exponential with mean 1 and has the autocorrelation :math:`\rho^{2\,lag}`.

    Parameters
    ----------
    correlation : float
        :math:`\rho`, -1 to 1; see :func:`jakes_correlation`. 0 draws anew each round, 1 never changes.

    Raises
    ------
    ScenarioError
        If the correlation is out of its range.

    Examples
    --------
    >>> fading = Rayleigh(correlation=0.9)
    >>> state = fading.initial(np.random.default_rng(0), 2, 5)
    >>> fading.step(state, np.random.default_rng(1)).power.shape
    (2, 5)
    """

    correlation: float = 0.9

    def __post_init__(self) -> None:
        require_range("correlation", self.correlation, -1.0, 1.0)

    @cached_property
    def _step_factors(self) -> tuple[Array, Array]:
        return _step_factors(math.sqrt(0.5), self.correlation)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ScatterState:
        """Fading from the stationary distribution."""
        scatter = rng.standard_normal((n, 2, num_devices))
        scatter *= math.sqrt(0.5)
        return _rayleigh_state(scatter)

    def step(self, state: ScatterState, rng: np.random.Generator) -> ScatterState:
        """Fading of the next round."""
        scatter = _next_scatter(state.scatter, self._step_factors, rng)
        return _rayleigh_state(scatter)


@dataclass(frozen=True)
class Rician:
    r"""Rician block fading: a steady wave and Gauss-Markov scattered ones.

    .. math:: h = \sqrt{\tfrac{\kappa}{\kappa + 1}} + \sqrt{\tfrac{1}{\kappa + 1}}\, u

    with :math:`u` as in :class:`Rayleigh`. The phase of the steady wave stays. The power has mean 1 and variance
    :math:`(1 + 2\kappa) / (1 + \kappa)^2`.

    Parameters
    ----------
    k_factor : float
        :math:`\kappa`, power of the steady wave over that of the scattered ones, linear, at least 0.
    correlation : float
        Correlation of the scattered amplitude from one round to the next, -1 to 1.

    Raises
    ------
    ScenarioError
        If a parameter is out of its range.

    Examples
    --------
    >>> fading = Rician(k_factor=10.0, correlation=0.5)
    >>> state = fading.initial(np.random.default_rng(0), 1000, 10)
    >>> round(float(state.power.mean()), 1)
    1.0
    """

    k_factor: float = 5.0
    correlation: float = 0.9

    def __post_init__(self) -> None:
        require_range("k_factor", self.k_factor, 0.0)
        require_range("correlation", self.correlation, -1.0, 1.0)

    @cached_property
    def _steady_amplitude(self) -> Array:
        return constant(math.sqrt(self.k_factor / (self.k_factor + 1.0)))

    @cached_property
    def _scatter_std(self) -> float:
        return math.sqrt(0.5 / (self.k_factor + 1.0))

    @cached_property
    def _step_factors(self) -> tuple[Array, Array]:
        return _step_factors(self._scatter_std, self.correlation)

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> ScatterState:
        """Fading from the stationary distribution."""
        scatter = rng.standard_normal((n, 2, num_devices))
        scatter *= self._scatter_std
        return self._state(scatter)

    def step(self, state: ScatterState, rng: np.random.Generator) -> ScatterState:
        """Fading of the next round."""
        scatter = _next_scatter(state.scatter, self._step_factors, rng)
        return self._state(scatter)

    def _state(self, scatter: Array) -> ScatterState:
        amplitude = scatter[:, 0] + self._steady_amplitude
        amplitude *= amplitude
        quadrature = scatter[:, 1]
        amplitude += quadrature * quadrature
        return ScatterState(scatter, amplitude)


@dataclass(frozen=True)
class NoFading:
    """A constant gain around its large-scale value.

    Examples
    --------
    >>> NoFading().initial(np.random.default_rng(0), 1, 2).power
    array([[1., 1.]])
    """

    @property
    def correlation(self) -> float:
        """One: nothing changes."""
        return 1.0

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> SteadyState:
        """Ones."""
        return SteadyState(np.ones((n, num_devices)))

    def step(self, state: SteadyState, rng: np.random.Generator) -> SteadyState:
        """Return the state as it is."""
        return state


def _step_factors(scatter_std: float, correlation: float) -> tuple[Array, Array]:
    """Factors of the innovation and of the past."""
    return constant(scatter_std * math.sqrt(1.0 - correlation**2)), constant(correlation)


def _next_scatter(scatter: Array, factors: tuple[Array, Array], rng: np.random.Generator) -> Array:
    """First-order Gauss-Markov step of both parts of the scattered amplitude."""
    innovation, past = factors
    following = rng.standard_normal(scatter.shape)
    following *= innovation
    following += scatter * past
    return following


def _rayleigh_state(scatter: Array) -> ScatterState:
    squares = scatter * scatter
    power = squares[:, 0] + squares[:, 1]
    return ScatterState(scatter, power)


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
