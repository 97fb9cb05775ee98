"""A scenario's nominal round: a fixed length of time that makes rewards comparable across scenarios."""

import numpy as np

from sfl_env.arrays import Array
from sfl_env.optimum.joint import solve_exact
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.workload import Workload

_SAMPLE_EPISODES = 64
_SAMPLE_DEVICES = 64_000
"""Of many devices fewer episodes are drawn, since the average needs no more."""

SAMPLE_SEED = 0


def sample_size(num_devices: int) -> int:
    """Return the number of episodes from whose devices and channels the average is taken.

    Examples
    --------
    >>> sample_size(10), sample_size(10_000)
    (64, 7)
    """
    return min(_SAMPLE_EPISODES, -(-_SAMPLE_DEVICES // num_devices))


def average_round_s(workload: Workload, resources: Resources, sample: Conditions) -> float:
    """Return the optimal round of a cell in which every device is an average one, in seconds.

    Average is the geometric mean over a sample (n, K) of a scenario's devices and channels, and the median of the
    Rician factors, so the figure scales with speeds, gains and bits.
    """
    num_devices = sample.samples.shape[1]

    def everywhere(values: Array) -> Array:
        return np.full((1, num_devices), np.exp(np.log(values).mean()))

    average = sample._replace(
        uplink_snr_hz=everywhere(sample.uplink_snr_hz),
        downlink_full_rate_bps=everywhere(sample.downlink_full_rate_bps),
        forward_flops_per_s=everywhere(sample.forward_flops_per_s),
        forward_bytes_per_s=everywhere(sample.forward_bytes_per_s),
        backward_flops_per_s=everywhere(sample.backward_flops_per_s),
        backward_bytes_per_s=everywhere(sample.backward_bytes_per_s),
        samples=everywhere(sample.samples),
        deepest_cut=sample.deepest_cut.max(axis=0, keepdims=True),
        takes_part=None,
        fading=SmallScaleFading(np.full((1, num_devices), np.median(sample.fading.rician_k))),
    )
    return float(solve_exact(round_problem(workload, resources, average)).latency_s[0])
