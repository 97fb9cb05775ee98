"""The round's seven phases, per device: the one place where their times are computed."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array, constant
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.problem import RoundProblem
from sfl_env.rounds.radio import SMALLEST_SHARE, carried
from sfl_env.rounds.workload import Workload
from sfl_env.scenario import System

PHASES = (
    "model_download",
    "device_forward",
    "smashed_upload",
    "server_compute",
    "gradient_download",
    "device_backward",
    "model_upload",
)
"""The phases in the order in which a device goes through them."""

_ONE, _SMALLEST_SHARE = constant(1.0), constant(SMALLEST_SHARE)

(
    MODEL_DOWNLOAD,
    DEVICE_FORWARD,
    SMASHED_UPLOAD,
    SERVER_COMPUTE,
    GRADIENT_DOWNLOAD,
    DEVICE_BACKWARD,
    MODEL_UPLOAD,
) = range(len(PHASES))


def phase_latency_s(
    work: Workload, resources: Resources, now: Conditions, cut: NDArray[np.intp], share: Array
) -> Array:
    r"""Seconds of every phase of every device.

    Parameters
    ----------
    work : Workload
        Costs per cut.
    resources : Resources
        The band and the server.
    now : Conditions
        The devices' state in this round.
    cut : (N, K) integer array
        Index of each device's cut.
    share : (N, K) array
        Share of the band, in both directions.

    Returns
    -------
    (7, N, K) array
        In the order of :data:`PHASES`, as if every device took part.

    Notes
    -----
    With E n samples, F FLOPs, M bytes through memory, S smashed bits and P model bits at the cut: P / R_down,
    E n (F_fwd / f_fwd + M / m_fwd), E n S_up / R_up, E n F_server / f_server, E n S_down / R_down,
    E n (F_bwd / f_bwd + M / m_bwd), P / R_up. What a mini-batch costs whatever its size, E F_batch instead of
    E n F, is added to the three phases of computing, and a fixed latency for each message to the phases that send
    any.
    """
    samples = now.samples
    # Seconds per unit of each phase's work.
    unit_s = np.empty((len(PHASES), *cut.shape))
    forward, model_upload, model_download = unit_s[DEVICE_FORWARD], unit_s[MODEL_UPLOAD], unit_s[MODEL_DOWNLOAD]
    usable = np.maximum(share, _SMALLEST_SHARE)
    held_hz = usable * resources.uplink_bandwidth_hz
    held_hz *= carried(held_hz, now.uplink_snr_hz, resources.uplink_curve, now.fading.levels).efficiency
    np.divide(_ONE, held_hz, out=model_upload)
    usable *= now.downlink_full_rate_bps
    np.divide(_ONE, usable, out=model_download)
    np.divide(samples, now.forward_flops_per_s, out=forward)
    np.divide(samples, now.backward_flops_per_s, out=unit_s[DEVICE_BACKWARD])
    np.divide(samples, resources.server_flops_per_s, out=unit_s[SERVER_COMPUTE])
    np.multiply(samples, model_upload, out=unit_s[SMASHED_UPLOAD])
    np.multiply(samples, model_download, out=unit_s[GRADIENT_DOWNLOAD])
    phases = work.phase_units.take(cut, axis=1)
    phases *= unit_s
    phases += work.message_s.take(cut, axis=1)
    forward_s, backward_s = _memory_s(work, now, cut)
    phases[DEVICE_FORWARD] += forward_s
    phases[DEVICE_BACKWARD] += backward_s
    if work.has_flops_per_round:
        computing = (DEVICE_FORWARD, SERVER_COMPUTE, DEVICE_BACKWARD)
        for phase, seconds in zip(computing, _whatever_the_samples_s(work, resources, now, cut), strict=True):
            phases[phase] += seconds
    return phases


def _memory_s(work: Workload, now: Conditions, cut: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return seconds for which a round's forward and backward passes move numbers through a device's memory."""
    forward, backward = work.traffic_bytes
    return (
        forward.take(cut) * (now.samples / now.forward_bytes_per_s),
        backward.take(cut) * (now.samples / now.backward_bytes_per_s),
    )


def _whatever_the_samples_s(
    work: Workload, resources: Resources, now: Conditions, cut: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """Return seconds of what all mini-batches compute whatever their size: forward, on the server, backward."""
    return (
        work.device_forward_flops_per_round.take(cut) / now.forward_flops_per_s,
        work.server_flops_per_round.take(cut) / resources.server_flops_per_s,
        work.device_backward_flops_per_round.take(cut) / now.backward_flops_per_s,
    )


class BandDemand(NamedTuple):
    """What devices ask of the band at given cuts, besides the time that no band shortens."""

    fixed_s: Array
    uplink_bits: Array
    downlink_bits: Array


def band_demand(work: Workload, resources: Resources, now: Conditions, cut: NDArray[np.intp]) -> BandDemand:
    """Return seconds without the band and bits over it, in the shape of ``cut``.

    A device that takes no part needs neither time nor band; where none takes part, all wait. A cut that does not
    fit has infinite time.

    Parameters
    ----------
    work, resources : Workload, Resources
        Costs per cut, and what the devices share.
    now : Conditions
        Arrays that broadcast against ``cut``.
    cut : integer array
        Indices of cuts.
    """
    fixed_s = work.device_forward_flops.take(cut) * (now.samples / now.forward_flops_per_s)
    fixed_s += work.device_backward_flops.take(cut) * (now.samples / now.backward_flops_per_s)
    fixed_s += work.server_flops.take(cut) * (now.samples * (1.0 / resources.server_flops_per_s))
    fixed_s += work.messages_s.take(cut)
    for seconds in _memory_s(work, now, cut):
        fixed_s += seconds
    if work.has_flops_per_round:
        for seconds in _whatever_the_samples_s(work, resources, now, cut):
            fixed_s += seconds
    model_bits = work.model_bits.take(cut)
    uplink_bits = now.samples * work.smashed_bits.take(cut) + model_bits
    downlink_bits = now.samples * work.gradient_bits.take(cut) + model_bits
    if now.takes_part is not None:
        for cost in (fixed_s, uplink_bits, downlink_bits):
            cost *= now.takes_part
        fixed_s += resources.outage_wait_s * ~now.takes_part.any(axis=1, keepdims=True)
    fixed_s[cut > now.deepest_cut] = np.inf
    return BandDemand(fixed_s, uplink_bits, downlink_bits)


def round_problem(
    work: Workload, resources: Resources, now: Conditions, system: System = "parallel"
) -> RoundProblem:
    """Build the joint problem of cuts and bandwidth for the given conditions, a round of the given system."""
    every_cut = np.arange(work.num_cuts)
    n, k = now.samples.shape
    if system == "sequence":
        # All devices' times are summed up there, and the wait for nobody is one for all of them.
        resources = resources._replace(outage_wait_s=resources.outage_wait_s / k)
    demand = band_demand(work, resources, now.at_every_cut(), every_cut)
    return RoundProblem(
        *demand,
        uplink_snr_hz=now.uplink_snr_hz,
        downlink_full_rate_bps=now.downlink_full_rate_bps,
        uplink_bandwidth_hz=np.full(n, resources.uplink_bandwidth_hz),
        rician_k=now.fading.rician_k,
        uplink_curve=resources.uplink_curve,
        system=system,
    )
