"""Rounds of some of the devices: the others need nothing and get nothing."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sfl_env.optimum import Solution, solve_exact
from sfl_env.rounds.problem import RoundProblem


def solve_chosen(problem: RoundProblem, chosen: NDArray[np.bool_]) -> Solution:
    """Find the cuts and the split of the band under which the chosen devices have all finished first.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices.
    chosen : (N, K) boolean array
        For whom the band is.

    Returns
    -------
    Solution
        That of :func:`~sfl_env.optimum.solve_exact` for the chosen alone; the others hold no band, and their cuts
        say nothing. A round of nobody takes no time.
    """
    there = chosen[..., None]
    alone = dataclasses.replace(
        problem.as_parallel(),
        fixed_s=np.where(there, problem.fixed_s, 0.0),
        uplink_bits=np.where(there, problem.uplink_bits, 0.0),
        downlink_bits=np.where(there, problem.downlink_bits, 0.0),
    )
    found = solve_exact(alone)
    share = np.where(chosen, found.decision.bandwidth_share, 0.0)
    return dataclasses.replace(found, decision=found.decision._replace(bandwidth_share=share))
