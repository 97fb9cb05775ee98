"""What every phase costs at every cut, before anything is decided: bits over the air, seconds of computing."""

from dataclasses import replace

import numpy as np

from sfl_env.arrays import Array
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.curves import SHANNON
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import (
    GRADIENT_DOWNLOAD,
    MODEL_DOWNLOAD,
    MODEL_UPLOAD,
    SMASHED_UPLOAD,
    phase_latency_s,
)
from sfl_env.rounds.workload import Workload

UPLOADS, DOWNLOADS = (SMASHED_UPLOAD, MODEL_UPLOAD), (MODEL_DOWNLOAD, GRADIENT_DOWNLOAD)


def phase_amounts(work: Workload, resources: Resources, now: Conditions) -> Array:
    """Return bits of the phases that send and seconds of those that compute, without messages' own time.

    Over links that carry one bit a second, seconds are bits.

    Parameters
    ----------
    work, resources, now
        As for :func:`sfl_env.rounds.latency.phase_latency_s`.

    Returns
    -------
    (7, N, K, C) array
        In the order of :data:`sfl_env.rounds.latency.PHASES`, as if every device took part; the server's seconds
        are those of a device that shares it with all others.
    """
    cut = np.broadcast_to(np.arange(work.num_cuts), (*now.samples.shape, work.num_cuts))
    ones = np.ones((*now.samples.shape, 1))
    links = now.at_every_cut()._replace(
        uplink_snr_hz=ones, downlink_full_rate_bps=ones, fading=SmallScaleFading(np.full_like(ones, np.inf))
    )
    silent = replace(work, message_s=np.zeros_like(work.message_s))
    unit = resources._replace(uplink_bandwidth_hz=1.0, uplink_curve=SHANNON)
    return phase_latency_s(silent, unit, links, cut, np.ones(cut.shape))
