"""A server that takes the devices' jobs one after another, in the order in which they come in."""

import numpy as np

from sfl_env.arrays import Array


def queued_s(ready_s: Array, job_s: Array) -> Array:
    r"""Return how long each job takes from its arrival to its end, waiting included.

    First come, first served: with jobs sorted by arrival, job i ends at
    :math:`C_i = \max(a_i, C_{i-1}) + S_i = \max_{j \le i} (a_j + \sum_{l=j}^{i} S_l)`. A device without a job does
    not queue.

    Parameters
    ----------
    ready_s : (N, K) array
        When each job comes in, seconds since the round's start.
    job_s : (N, K) array
        How long the server works at it alone, seconds.

    Returns
    -------
    (N, K) array
        Seconds.

    Examples
    --------
    The second job waits for the first, the third comes when the server is idle again:

    >>> queued_s(np.array([[0.0, 1.0, 9.0]]), np.array([[3.0, 2.0, 1.0]]))
    array([[3., 4., 1.]])
    """
    order = np.argsort(ready_s, axis=1, kind="stable")
    ready, job = np.take_along_axis(ready_s, order, 1), np.take_along_axis(job_s, order, 1)
    worked = np.cumsum(job, axis=1)
    # A job that is none must not hold the queue up by its arrival.
    lead = np.where(job > 0.0, ready - (worked - job), -np.inf)
    ends = worked + np.maximum.accumulate(lead, axis=1)
    taken = np.where(job > 0.0, ends - ready, 0.0)
    found = np.empty_like(taken)
    np.put_along_axis(found, order, taken, axis=1)
    return found
