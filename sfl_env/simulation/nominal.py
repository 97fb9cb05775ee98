"""A scenario's nominal round: a fixed length of time that makes rewards comparable across scenarios."""

import numpy as np

from sfl_env.optimum.joint import solve_exact
from sfl_env.rounds.conditions import Conditions
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import round_problem
from sfl_env.simulation.simulator import Simulator

_SAMPLE_EPISODES = 64
_SAMPLE_DEVICES = 64_000
"""Of many devices fewer episodes are drawn, since the average needs no more."""

_SAMPLE_PAST_ROUNDS = 10
"""Of delayed CSI's past at most so many rounds are drawn: an old channel is as good a sample as a new one."""

_SAMPLE_SEED = 0


def nominal_round_latency_s(simulator: Simulator) -> float:
    """Return the optimal round of a cell in which every device is an average one, in seconds.

    Average is the geometric mean over a fixed sample of the scenario's devices and channels, so the figure
    depends on the scenario alone and scales with its speeds, gains and bits.

    Examples
    --------
    >>> from sfl_env.scenario import Scenario
    >>> slow = nominal_round_latency_s(Simulator(Scenario()))
    >>> slow > nominal_round_latency_s(Simulator(Scenario(bandwidth_hz=200e6))) > 0
    True
    """
    scenario = simulator.scenario
    episodes = min(_SAMPLE_EPISODES, -(-_SAMPLE_DEVICES // scenario.num_devices))
    rounds_before = min(_SAMPLE_PAST_ROUNDS, scenario.csi_delay_rounds)
    state = simulator.initial(np.random.default_rng(_SAMPLE_SEED), episodes, rounds_before)
    now = simulator.conditions(state)

    def everywhere(values: np.ndarray) -> np.ndarray:
        return np.full((1, values.shape[1]), np.exp(np.log(values).mean()))

    average = Conditions(
        uplink_snr_hz=everywhere(now.uplink_snr_hz),
        downlink_full_rate_bps=everywhere(now.downlink_full_rate_bps),
        compute_flops_per_s=everywhere(now.compute_flops_per_s),
        backward_slowdown=everywhere(now.backward_slowdown),
        samples=everywhere(now.samples),
        deepest_cut=now.deepest_cut.max(axis=0, keepdims=True),
        takes_part=None,
        fading=SmallScaleFading(everywhere(1.0 + now.fading.rician_k) - 1.0),
    )
    return float(solve_exact(round_problem(simulator.workload, simulator.resources, average)).latency_s[0])
