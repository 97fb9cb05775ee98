"""Conditions as the solvers take them, without the checks that a problem of a user's own goes through."""

import numpy as np

from sfl_env.optimum.joint import OwnCuts
from sfl_env.optimum.link import Band
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.latency import band_demand
from sfl_env.rounds.workload import Workload


def band_under(resources: Resources, now: Conditions) -> Band:
    """Return the band under given conditions."""
    return Band(
        now.uplink_snr_hz,
        now.downlink_full_rate_bps,
        np.full(now.uplink_snr_hz.shape[0], resources.uplink_bandwidth_hz),
        resources.uplink_curve,
        now.fading.levels,
    )


def own_cuts_under(work: Workload, resources: Resources, now: Conditions) -> OwnCuts:
    """Return devices that each take their own best cut under given conditions."""
    demand = band_demand(work, resources, now.at_every_cut(), np.arange(work.num_cuts))
    return OwnCuts(*demand, band_under(resources, now).link())
