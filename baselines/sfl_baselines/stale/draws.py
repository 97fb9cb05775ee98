r"""Draws of the present channel, given what is known of an old one.

Block fading is a complex Gaussian number u for each link, :math:`u' = \rho u + \sqrt{1 - \rho^2}\, w` from one
round to the next, and with Rayleigh fading a link's power is :math:`|u|^2`. After d rounds the correlation is
:math:`r = \rho^d`, and given the old power p the present one is

.. math:: |\, r \sqrt{p} + \sqrt{1 - r^2}\, w\,|^2, \quad w \sim \mathcal{CN}(0, 1),

which is :math:`(1 - r^2) / 2` times a noncentral chi-squared number with two degrees of freedom and noncentrality
:math:`2 r^2 p / (1 - r^2)`. The old phase makes no difference, and neither does what was before the old round: the
powers of such a process are a Markov process. So the last power that is known is all that a memory could use.
"""

import numpy as np
from scipy.special import ndtri

from sfl_env.arrays import Array


def spread_normals(rng: np.random.Generator, draws: int, num_devices: int) -> Array:
    """Draw the two parts of complex standard normal numbers, spread evenly: a Latin hypercube.

    Of each part of each device, one draw lies in every of M equally likely intervals, so that means over draws
    are nearer to expectations than those over independent draws (M. D. McKay, R. J. Beckman, W. J. Conover,
    Technometrics 21(2), 1979).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    draws, num_devices : int
        M and K.

    Returns
    -------
    (2, M, K) array
        Independent over devices and parts, each of variance 1/2.

    Examples
    --------
    >>> normals = spread_normals(np.random.default_rng(0), 64, 3)
    >>> float((normals**2).sum(axis=0).mean().round(2))
    0.98
    """
    ordered = np.broadcast_to(np.arange(draws)[:, None, None], (draws, 2, num_devices))
    place = rng.permuted(ordered, axis=0) + rng.random((draws, 2, num_devices))
    parts: Array = ndtri(place / draws) * np.sqrt(0.5)
    return np.ascontiguousarray(parts.transpose(1, 0, 2))


def present_power(old_power: Array, correlation: float, normals: Array) -> Array:
    """Draw present powers of Rayleigh fading, given the old ones.

    Parameters
    ----------
    old_power : (N, K) array
        Power of the fading in the round that was observed; its mean over all rounds is 1.
    correlation : float
        Of the complex fading between that round and the present one, 0 to 1.
    normals : (2, M, K) array
        From :func:`spread_normals`; the same numbers for all N.

    Returns
    -------
    (M, N, K) array

    Examples
    --------
    >>> present_power(np.array([[4.0]]), 1.0, np.ones((2, 5, 1)))[:, 0, 0]
    array([4., 4., 4., 4., 4.])
    """
    scattered = np.sqrt(1.0 - correlation**2) * normals[:, :, None, :]
    in_phase, quadrature = scattered
    power: Array = (correlation * np.sqrt(old_power) + in_phase) ** 2
    power += quadrature * quadrature
    return power


def mean_power(old_power: Array, correlation: float) -> Array:
    """Return the mean (N, K) of the present power, given the old one.

    Examples
    --------
    >>> mean_power(np.array([[4.0]]), 0.5)
    array([[1.75]])
    """
    known = correlation**2
    mean: Array = known * old_power + (1.0 - known)
    return mean
