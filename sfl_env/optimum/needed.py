"""The least share of the band with which each device finishes by a given time."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.optimum.bracket import needed_shares
from sfl_env.optimum.joint import own_cuts
from sfl_env.rounds.problem import RoundProblem


class Needed(NamedTuple):
    """What devices need to finish by a given time."""

    share: Array  # (N, K) of the band; 0 for a device that needs none, infinite where all of it is not enough
    cut: NDArray[np.intp]  # (N, K) at which that share is enough; where none is, the fastest with the whole band


def needed_by(problem: RoundProblem, time_s: Array) -> Needed:
    """Find the least share, over all cuts, with which each device finishes by a given time.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices with C cuts each, of any system: each device is looked at for itself, with the server
        that it has where all work at once.
    time_s : (N,) array
        By when a device has to have finished, seconds.

    Returns
    -------
    Needed
        The shares are rounded upwards, if at all.

    Examples
    --------
    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0, 2.0], [1.0, 9.0], [1.0, 9.0]]],
    ...     uplink_bits=[[[2e6, 0.0], [2e6, 0.0], [9e9, 0.0]]],
    ...     downlink_bits=np.zeros((1, 3, 2)),
    ...     uplink_snr_hz=[[3e6, 3e6, 3e6]],
    ...     downlink_full_rate_bps=[[np.inf, np.inf, np.inf]],
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> needed = needed_by(problem, np.array([2.0]))
    >>> needed.share.round(9), needed.cut
    (array([[0. , 0.5, inf]]), array([[1, 0, 1]]))
    """
    instance = own_cuts(problem)
    like = problem.uplink_snr_hz
    # Shares next to nothing take times beyond all numbers, which no target allows.
    with np.errstate(all="ignore"):
        share = needed_shares(lambda shares: instance.evaluate(shares).time_s, time_s, like)
        cut = instance.cut(instance.evaluate(np.minimum(share, 1.0)))
    return Needed(share, cut)
