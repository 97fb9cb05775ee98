r"""Small-scale fading that a round averages over, as a few levels of power.

A round of seconds is long against the coherence time of small-scale fading, so what a link carries in it is the
mean rate over the fading, the *ergodic* rate. The mean is taken over :data:`LEVELS` levels of power,

.. math:: E[r(g)] \approx \sum_q w_q\, r(g_q), \quad g_q = F^{-1}(p_q),

where F is the distribution of the Rician power of mean 1. With v_q and u_q the Gauss-Legendre abscissae and
weights on [0, 1], :math:`p_q = v_q^2 (3 - 2 v_q)` and :math:`w_q = 6 u_q v_q (1 - v_q)`, which draws the levels
towards deep fades and peaks. Of 3GPP's truncated Shannon curves the sum is within 1 % of the integral, whatever
the factor K and the ratio (tests/sfl_env/rounds/test_fading_levels.py).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array

LEVELS = 5
"""How many levels stand for a fading link."""

_GRID = 513
"""Points of the table over 1 / sqrt(1 + K); between them levels are within 7e-5 of the quantiles."""

_NEARLY_STEADY = 0.02
"""Below this 1 / sqrt(1 + K) (K above 34 dB) an expansion is more exact than the quantile function."""


@lru_cache(maxsize=1)
def _probabilities() -> tuple[Array, Array]:
    """(Q,) probabilities p_q, and weights w_q."""
    abscissae, weights = np.polynomial.legendre.leggauss(LEVELS)
    v = 0.5 * (abscissae + 1.0)
    return v * v * (3.0 - 2.0 * v), 3.0 * weights * v * (1.0 - v)


def level_weights() -> Array:
    """Return the levels' weights, (Q,), which sum to 1.

    Examples
    --------
    >>> level_weights().round(4)
    array([0.0318, 0.2549, 0.4267, 0.2549, 0.0318])
    """
    return _probabilities()[1]


@lru_cache(maxsize=1)
def _table() -> tuple[Array, Array]:
    """(Q, grid) levels over 1 / sqrt(1 + K), from a steady link at 0 to Rayleigh fading at 1, and their rises."""
    # Imported here to keep `import sfl_env` cheap.
    from scipy.special import chndtrix, ndtri

    probability, _ = _probabilities()
    spread = np.linspace(0.0, 1.0, _GRID)[:, None]
    k_factor = 1.0 / np.maximum(spread, _NEARLY_STEADY) ** 2 - 1.0
    # Twice the power over the scattered waves' is noncentral chi-squared with two degrees of freedom.
    quantile = chndtrix(probability, 2.0, 2.0 * k_factor) / (2.0 * (1.0 + k_factor))
    quantile[-1] = -np.log1p(-probability)  # Rayleigh: exponential, whose noncentrality of 0 is an edge case
    normal = ndtri(probability)
    expanded = 1.0 + np.sqrt(2.0) * spread * normal + 0.5 * spread**2 * (normal**2 - 1.0)
    levels = np.where(spread < _NEARLY_STEADY, expanded, quantile).T.copy()
    return levels, np.diff(levels, axis=1, append=levels[:, -1:])


@lru_cache(maxsize=1)
def _first_entries() -> NDArray[np.intp]:
    """(Q, 1, 1): where each level's row starts in the flattened table."""
    return (np.arange(LEVELS, dtype=np.intp) * _GRID).reshape(-1, 1, 1)


def fading_levels(rician_k: Array) -> Array | None:
    """Return each link's levels of power, or None where no link fades within the round.

    Parameters
    ----------
    rician_k : (N, K) array
        Rician factor, linear: 0 for Rayleigh fading, infinite for a link that does not fade within the round.

    Returns
    -------
    (Q, N, K) array
        Levels of mean 1, up to what the sum over a few levels leaves (0.4 %).

    Examples
    --------
    >>> fading_levels(np.array([[0.0, 8.0, np.inf]]))[:, 0].round(2)
    array([[0.01, 0.16, 1.  ],
           [0.15, 0.51, 1.  ],
           [0.69, 0.95, 1.  ],
           [2.  , 1.51, 1.  ],
           [5.05, 2.41, 1.  ]])
    >>> fading_levels(np.array([[np.inf]])) is None
    True
    """
    if np.isinf(rician_k).all():
        return None
    place = (_GRID - 1.0) / np.sqrt(1.0 + rician_k)
    below = np.minimum(place.astype(np.intp), _GRID - 2)
    place -= below
    table, rises = _table()
    # Flat indices: NumPy takes several times as long to take from a table along its second axis.
    entry = _first_entries() + below
    levels = rises.take(entry, mode="clip")  # faster than with bounds checked
    levels *= place
    levels += table.take(entry, mode="clip")
    return levels


@dataclass(frozen=True, eq=False)
class SmallScaleFading:
    """The small-scale fading of N times K links that a round averages over.

    Parameters
    ----------
    rician_k : (N, K) array
        Rician factor, linear: 0 for Rayleigh fading, infinite for a link that does not fade within the round.

    Examples
    --------
    >>> SmallScaleFading(np.zeros((1, 2))).levels.shape
    (5, 1, 2)
    """

    rician_k: Array

    @classmethod
    def from_spread(cls, spread: Array) -> "SmallScaleFading":
        """Return the fading of a given :attr:`spread`, (N, K) from 0 to 1."""
        with np.errstate(divide="ignore"):  # a steady link
            return cls(np.maximum(1.0 / (spread * spread) - 1.0, 0.0))

    @cached_property
    def spread(self) -> Array:
        """(N, K): 1 / sqrt(1 + K), from 0 where nothing fades to 1 with Rayleigh fading."""
        spread: Array = 1.0 / np.sqrt(1.0 + self.rician_k)
        return spread

    @cached_property
    def levels(self) -> Array | None:
        """(Q, N, K) levels of power, computed once; None where no link fades."""
        return fading_levels(self.rician_k)
