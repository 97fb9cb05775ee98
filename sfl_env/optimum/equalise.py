r"""One step towards shares under which all devices finish together.

As a function of the reciprocal share x = 1/s, the time T_k(x) that a device needs is increasing and
concave: the uplink term because x / ln(1 + g x) is, the downlink term because it is linear, and a minimum
over cuts because minima of concave functions are concave. So the tangent at the present share lies above
the curve, and with w_k = dT_k / d ln x,

.. math:: \hat s_k(\tau) = \frac{s_k}{1 + (\tau - T_k) / w_k} \ge s_k(\tau)

is enough for device k to finish by tau. The tau at which these shares sum to 1 is therefore reachable, is
never later than the present straggler, and is the optimum once all T_k agree: Newton's method in all shares
and in the common time at once, descending from any start.
"""

import numpy as np

from sfl_env.arrays import Array, constant, row_sums
from sfl_env.rounds.radio import SMALLEST_SHARE

LARGEST_REFINEMENT = 0.25
"""A device's relative change of its share up to which the linear correction is good."""

_ZERO, _ONE, _LARGEST_REFINEMENT = constant(0.0), constant(1.0), constant(LARGEST_REFINEMENT)


def next_shares(share: Array, time_s: Array, slope_s: Array, inner_steps: int) -> Array:
    """Shares under which every device finishes at about one, earlier time.

    Parameters
    ----------
    share : (N, K) array
        Present shares, summing to 1 in each row.
    time_s : (N, K) array
        Each device's time at its present share, seconds.
    slope_s : (N, K) array
        Minus the derivative of that time by the logarithm of the share, seconds; zero for a device that
        works without the band, which then keeps a share only while nobody waits for it.
    inner_steps : int
        Newton steps for the common time. One is enough near the optimum and mostly far from it too; with
        many the descent is monotone whatever the instance.

    Returns
    -------
    (N, K) array
        New shares, summing to 1 in each row.

    Notes
    -----
    The shares have to sum to 1: a secular equation, solved by Newton's method on its reciprocal, which is
    concave and increasing, from a point left of its root. The steps are applied to 1 + (tau - T) / w and
    not to tau, since a slope may be far smaller than one unit in tau's last place.
    """
    if np.count_nonzero(slope_s) < slope_s.size:
        return _next_shares_with_idle(share, time_s, slope_s, inner_steps)
    ones = row_sums(share.shape[1])
    # Newton for all shares at once.
    sensitivity = share / slope_s
    tau = (sensitivity * time_s).dot(ones) / sensitivity.dot(ones)
    stretch = (tau - time_s) / slope_s
    stretch += _ONE
    if np.count_nonzero(stretch > share) < share.size:
        # A new share would be above 1 or no share at all: the common time lies later.
        alone = np.maximum.reduce(time_s - slope_s * (1.0 - share), axis=1, keepdims=True)
        stretch = 1.0 + (np.maximum(tau, alone) - time_s) / slope_s
        np.maximum(stretch, share, out=stretch)
    for _ in range(inner_steps):
        eased = share / stretch
        total = eased.dot(ones)
        shift = total * (total - _ONE) / (eased / (stretch * slope_s)).dot(ones)
        stretch += shift / slope_s
        np.maximum(stretch, share, out=stretch)
    moved: Array = share / stretch
    moved /= moved.dot(ones)
    return moved


def refined_shares(share: Array, time_s: Array, slope_s: Array) -> Array | None:
    """As :func:`next_shares` in half the time, where all devices nearly agree; None where they do not.

    What the shares miss in their sum is spread by the devices' sensitivities, Newton's step for the shares
    themselves, so that they sum to 1 at once.
    """
    ones = row_sums(share.shape[1])
    sensitivity = share / slope_s
    weight = sensitivity.dot(ones)
    eagerness = ((sensitivity * time_s).dot(ones) / weight - time_s) / slope_s
    # Devices without need of the band have a slope of zero and fail this comparison too.
    if np.count_nonzero(np.abs(eagerness) < _LARGEST_REFINEMENT) < share.size:
        return None
    eagerness += _ONE
    moved: Array = share / eagerness
    moved -= sensitivity * ((moved.dot(ones) - _ONE) / weight)
    return moved if np.count_nonzero(moved > _ZERO) == share.size else None


def _next_shares_with_idle(share: Array, time_s: Array, slope_s: Array, inner_steps: int) -> Array:
    """As :func:`next_shares` where some devices have chosen to do without the band.

    Nobody can finish before the slowest of these, unless it is given band after all: so what the others
    leave over goes to those that hold the round up, in equal parts.
    """
    idle = slope_s <= 0.0
    share = np.where(idle, 0.0, share)
    slope = np.where(idle, np.inf, slope_s)
    sensitivity = share / slope
    total = np.add.reduce(share, axis=1)
    weight = np.add.reduce(sensitivity, axis=1)
    weighted = np.add.reduce(np.where(idle, 0.0, sensitivity * time_s), axis=1) + (total - 1.0)
    tau = np.where(weight > 0.0, weighted / np.where(weight > 0.0, weight, 1.0), -np.inf)
    alone = np.where(idle, time_s, time_s - slope_s * (1.0 - share))
    tau = np.maximum(tau, alone.max(axis=1))
    earliest = np.where(idle, time_s, -np.inf).max(axis=1)
    stretch = 1.0 + (tau[:, None] - time_s) / slope
    for _ in range(inner_steps):
        np.maximum(stretch, share, out=stretch)
        eased = share / stretch
        total = np.add.reduce(eased, axis=1)
        weight = np.add.reduce(eased / (stretch * slope), axis=1)
        shift = np.where(weight > 0.0, total * (total - 1.0) / np.where(weight > 0.0, weight, 1.0), 0.0)
        shift = np.maximum(shift, earliest - tau)
        tau = tau + shift
        stretch += shift[:, None] / slope
    np.maximum(stretch, share, out=stretch)
    moved: Array = share / stretch
    moved[~idle] = np.maximum(moved[~idle], SMALLEST_SHARE)
    total = np.add.reduce(moved, axis=1)
    waited_for = idle & (time_s >= tau[:, None])
    spare = np.maximum(1.0 - total, 0.0) / np.maximum(waited_for.sum(axis=1), 1)
    moved += waited_for * spare[:, None]
    moved /= np.add.reduce(moved, axis=1)[:, None]
    return moved
