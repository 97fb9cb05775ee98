"""Standard normal numbers of links: alike at places that are near each other, and what is made of them."""

import math

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant
from sfl_env.channel.statistics import LinkStatistics

_NEPER_PER_DB = math.log(10.0) / 10.0
_ONE = constant(1.0)

_ROOT_OF_HALF = math.sqrt(0.5)

_FEW = 64
"""So many numbers are quicker one by one than as an array."""


def walked_on(latent: Array, lengths: Array, rng: np.random.Generator) -> Array:
    r"""Return standard normal numbers after devices have walked.

    .. math:: z' = r z + \sqrt{1 - r^2}\, w, \quad r = e^{-\Delta d / d_{corr}}

    which is stationary, and of which two walks in a row are one of their sum. Source: M. Gudmundson, "Correlation
    model for shadow fading in mobile radio systems", Electronics Letters 27(23), 1991.

    Parameters
    ----------
    latent : array
        Before; left as it is.
    lengths : array of the same shape
        Metres walked over the metres after which the correlation has fallen to 1/e, at least 0; written into.
    rng : numpy.random.Generator
        Source of randomness.

    Examples
    --------
    >>> z = np.array([[0.3, -1.2]])
    >>> bool((walked_on(z, np.zeros((1, 2)), np.random.default_rng(0)) == z).all())
    True
    """
    correlation = np.exp(np.negative(lengths, out=lengths), out=lengths)
    following = rng.standard_normal(latent.shape)
    rest = correlation * correlation
    following *= np.sqrt(np.subtract(_ONE, rest, out=rest), out=rest)
    correlation *= latent
    following += correlation
    return following


_NUMERATOR = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
_DENOMINATOR = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)


def standard_normal_cdf(values: Array) -> Array:
    """Return the standard normal distribution function to 1e-12, for links' numbers.

    Of many numbers, by a rational function that holds up to 7.07; beyond, 1e-12 away from 0 and 1 at most, it is
    as good as this needs. Source: J. F. Hart et al., "Computer approximations", 1968, algorithm 5666, as in G.
    West, "Better approximations to cumulative normal functions", Wilmott Magazine, 2005. It saves the import of
    SciPy. Of few numbers, by the standard library.

    Examples
    --------
    >>> standard_normal_cdf(np.array([-1.0, 0.0, 1.0])).round(6)
    array([0.158655, 0.5     , 0.841345])
    """
    if values.size <= _FEW:
        one_by_one = [0.5 * math.erfc(-value * _ROOT_OF_HALF) for value in values.ravel().tolist()]
        return np.array(one_by_one).reshape(values.shape)
    size = np.abs(values)
    below = np.exp(size * size * -0.5)
    below *= _polynomial(size, _NUMERATOR)
    below /= _polynomial(size, _DENOMINATOR)
    return np.where(values > 0.0, 1.0 - below, below)


def _polynomial(values: Array, coefficients: tuple[float, ...]) -> Array:
    first, second, *rest = coefficients
    total = values * first
    total += second
    for coefficient in rest:
        total *= values
        total += coefficient
    return total


def sees(latent: Array, probability: Array) -> NDArray[np.bool_]:
    """Return whether the line of sight is free, (N, K): where a link's uniform number is below the probability.

    The uniform number is that of a normal one which stays alike over the distance walked (3GPP TR 38.901, clause
    7.6.3.3), so that walking on changes the view now and then, and going farther away takes it away.

    Examples
    --------
    >>> sees(np.array([[-0.1, 0.1, 8.0]]), np.array([[0.5, 0.5, 1.0]]))
    array([[ True, False,  True]])
    """
    free: NDArray[np.bool_] = (standard_normal_cdf(latent) < probability) | (probability >= 1.0)
    return free


def rician_k(latent: Array, los: NDArray[np.bool_], statistics: LinkStatistics) -> Array:
    """Return the links' Rician factor (N, K), linear: log-normal with line of sight, 0 without.

    Examples
    --------
    >>> from sfl_env.channel.statistics import UMI
    >>> rician_k(np.array([[0.0, 1.0, 0.0]]), np.array([[True, True, False]]), UMI).round(2)
    array([[ 7.94, 25.12,  0.  ]])
    """
    k = np.exp(latent * (statistics.k_std_db * _NEPER_PER_DB) + statistics.k_mean_db * _NEPER_PER_DB)
    k *= los
    return k
