"""Client selection after FedCS: whoever adds the least time comes next, as long as all are in time.

T. Nishio, R. Yonetani, "Client Selection for Federated Learning with Heterogeneous Resources in Mobile Edge", IEEE
ICC 2019, arXiv:1804.08333, select as many clients as possible for a deadline, greedily by the time that each adds
to the round. There clients upload one after another, and what one adds is its upload, and what is left of its
computing when those before it have uploaded. Ours is the round's model: devices share the band at once and are cut
where they are fastest, so what a device adds is by how much the shortest possible round of those selected grows.
"""

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.selection.shares import solve_chosen
from sfl_baselines.selection.solver import finished, require_deadline
from sfl_env.arrays import Array
from sfl_env.optimum import needed_by
from sfl_env.rounds.problem import Decision, RoundProblem


def select_fedcs(problem: RoundProblem, samples: Array, deadline_s: float) -> Decision:
    """Select devices one by one, the one next that adds the least time, and split the band among them.

    How many samples a device has does not count.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices, with a deadline or as if all worked at once.
    samples : (N, K) array
        Samples that each device has for the round; one with none is not selected.
    deadline_s : float
        Seconds, above 0.

    Returns
    -------
    Decision
        Who is not selected holds no band.

    Raises
    ------
    ProblemError, SolverError
        As :func:`~sfl_baselines.selection.solver.solve_selection`.

    Examples
    --------
    Of three devices that need half of the band each, the one with twice the samples comes last and finds no room:

    >>> problem = RoundProblem(
    ...     fixed_s=[[[1.0], [1.1], [1.2]]],
    ...     uplink_bits=np.full((1, 3, 1), 2e6),
    ...     downlink_bits=np.zeros((1, 3, 1)),
    ...     uplink_snr_hz=np.full((1, 3), 3e6),
    ...     downlink_full_rate_bps=np.full((1, 3), np.inf),
    ...     uplink_bandwidth_hz=[2e6],
    ... )
    >>> select_fedcs(problem, np.array([[8.0, 8.0, 16.0]]), deadline_s=2.1).bandwidth_share.round(2)
    array([[0.45, 0.55, 0.  ]])
    """
    require_deadline("select_fedcs", problem, samples, deadline_s)
    n, k, _ = problem.shape
    chosen = np.zeros((n, k), dtype=np.bool_)
    going = np.arange(n)
    while going.size:
        with_it_s = _with_one_more_s(problem.rows(going), chosen[going], samples[going] > 0.0)
        following = with_it_s.argmin(axis=1)
        in_time = with_it_s[np.arange(len(going)), following] <= deadline_s
        going = going[in_time]
        chosen[going, following[in_time]] = True
    return finished(problem, chosen, needed_by(problem, np.full(n, deadline_s)), deadline_s)


def _with_one_more_s(problem: RoundProblem, chosen: NDArray[np.bool_], can: NDArray[np.bool_]) -> Array:
    """(N, K): seconds of the shortest round of those chosen and one more; infinite for who cannot be one more."""
    n, k = chosen.shape
    row, device = np.nonzero(can & ~chosen)
    grown = chosen[row]
    grown[np.arange(len(row)), device] = True
    with_it_s = np.full((n, k), np.inf)
    with_it_s[row, device] = solve_chosen(problem.rows(row), grown).latency_s
    return with_it_s
