"""Who takes part in a round with a deadline: the most samples whose devices' needed shares fit the band."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from sfl_baselines.selection.knapsack import pack
from sfl_baselines.selection.shares import solve_chosen
from sfl_env.arrays import Array
from sfl_env.checks import is_number
from sfl_env.errors import ProblemError, SolverError
from sfl_env.optimum import Needed, needed_by
from sfl_env.rounds.problem import Decision, RoundProblem


@dataclasses.dataclass(frozen=True)
class Selection:
    """A decision with the samples that it has in time, and a proven bound on every other decision's.

    Parameters
    ----------
    decision : Decision
        Cuts and shares of the band, both (N, K). Who is not selected holds no band.
    selected : (N, K) boolean array
        Who is meant to be in time.
    samples : (N,) array
        Samples of the devices that are in time under the decision.
    bound_samples : (N,) array
        No decision has more samples in time.
    latency_s : (N,) array
        The round's length: until all have finished, and the deadline where somebody is late, seconds.
    """

    decision: Decision
    selected: NDArray[np.bool_]  # (N, K)
    samples: Array  # (N,)
    bound_samples: Array  # (N,)
    latency_s: Array  # (N,)

    @property
    def is_proven(self) -> NDArray[np.bool_]:
        """(N,): whether the decision is known to have as many samples in time as can be."""
        return self.samples >= self.bound_samples


def solve_selection(problem: RoundProblem, samples: Array, deadline_s: float) -> Selection:
    """Find the decision with the most samples in time for a deadline.

    Device k is in time if and only if its share is at least what it needs, the least over all cuts, so who can be
    in time together is a knapsack: needed shares that sum to 1 at most. The band is then split so that the
    selected finish first. A round in which somebody is late lasts to the deadline whoever it is; so a decision
    with the most samples in time is also one with the most samples a second, and where all can be in time, the
    shortest round with all of them.

    Parameters
    ----------
    problem : RoundProblem
        N rounds of K devices, with a deadline or as if all worked at once.
    samples : (N, K) array
        Samples that each device has for the round, whole numbers; 0 for one that cannot take part.
    deadline_s : float
        Seconds, above 0.

    Returns
    -------
    Selection
        ``bound_samples`` meets ``samples`` but where the knapsack's table would be too large, or where a device is
        late by rounding alone.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices wait for each other.
    SolverError
        If samples are misshapen or no whole numbers, or the deadline is out of range.

    Examples
    --------
    Three devices that need half of the band each, and one of them has twice the samples:

    >>> problem = RoundProblem(
    ...     fixed_s=np.ones((1, 3, 1)),
    ...     uplink_bits=np.full((1, 3, 1), 2e6),
    ...     downlink_bits=np.zeros((1, 3, 1)),
    ...     uplink_snr_hz=np.full((1, 3), 3e6),
    ...     downlink_full_rate_bps=np.full((1, 3), np.inf),
    ...     uplink_bandwidth_hz=[2e6],
    ...     system="deadline",
    ... )
    >>> found = solve_selection(problem, np.array([[8.0, 8.0, 16.0]]), deadline_s=2.1)
    >>> found.decision.bandwidth_share, found.samples, found.bound_samples, found.latency_s
    (array([[0.5, 0. , 0.5]]), array([24.]), array([24.]), array([2.1]))
    """
    require_deadline("solve_selection", problem, samples, deadline_s)
    needed = needed_by(problem, np.full(len(samples), deadline_s))
    packing = pack(samples, needed.share)
    decision = finished(problem, packing.chosen, needed, deadline_s)
    time_s = problem.device_latency_s(decision)
    in_time = (time_s <= deadline_s) & (samples > 0.0)
    return Selection(
        decision,
        packing.chosen,
        (samples * in_time).sum(axis=1),
        packing.bound,
        np.minimum(time_s.max(axis=1), deadline_s),
    )


def require_deadline(solver: str, problem: RoundProblem, samples: Array, deadline_s: float) -> None:
    """Raise unless a round's devices can be selected for a deadline.

    Raises
    ------
    ProblemError
        If the problem is of a system in which devices wait for each other.
    SolverError
        If samples are misshapen, or the deadline is out of range.
    """
    if problem.system not in ("parallel", "deadline"):
        raise ProblemError(
            f"{solver} is for devices that work at once until a deadline, and this problem's system is "
            f"{problem.system!r}."
        )
    if samples.shape != problem.shape[:2]:
        raise SolverError(
            f"samples have shape {samples.shape}; beside this problem it has to be {problem.shape[:2]}."
        )
    if not (is_number(deadline_s) and 0.0 < deadline_s < np.inf):
        raise SolverError(f"deadline_s is {deadline_s}; it has to be above 0 and finite.")


def finished(problem: RoundProblem, chosen: NDArray[np.bool_], needed: Needed, deadline_s: float) -> Decision:
    """Return the decision under which the chosen finish first, or at least with what they need for the deadline.

    Who is not chosen has the cut that needs the least band for the deadline.
    """
    found = solve_chosen(problem, chosen)
    # Where the chosen need the whole band, a time that is optimal up to rounding may lie behind the deadline.
    late = (chosen & (found.latency_s > deadline_s)[:, None]) | ~chosen
    cut = np.where(late, needed.cut, found.decision.cut)
    return Decision(cut, np.where(late & chosen, needed.share, found.decision.bandwidth_share))
