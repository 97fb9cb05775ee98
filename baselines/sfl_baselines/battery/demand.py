"""What a round takes from time and batteries, at every cut and on a grid of shares."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.optimum.link import Link, band_of
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.energy import TrainingPower, busy_s
from sfl_env.rounds.latency import phase_latency_s, round_problem
from sfl_env.rounds.workload import Workload


class Demand(NamedTuple):
    """Seconds and battery of N rounds, K devices and C cuts, as functions of the shares."""

    fixed_s: Array  # (N, K, C) seconds without the band; infinite where a cut does not fit
    uplink_bits: Array  # (N, K, C)
    downlink_bits: Array  # (N, K, C)
    fixed_drain: Array  # (N, K, C) of the battery that no band saves
    sending_per_s: Array  # (N, K) of the battery for each second of sending
    receiving_per_s: Array  # (N, K)
    link: Link

    def on_grid(self, share: Array) -> tuple[Array, Array]:
        """Return seconds and drains, (N, K, C, G) each, at shares (G,) that every device is tried at."""
        n, k, _ = self.fixed_s.shape
        tolls = [self.link.toll(np.full((n, k), part)) for part in share]
        up_s, down_s = (
            np.stack(values, axis=-1)[:, :, None] for values in zip(*[t[:2] for t in tolls], strict=True)
        )
        sending, receiving = self.uplink_bits[..., None] * up_s, self.downlink_bits[..., None] * down_s
        seconds = self.fixed_s[..., None] + sending + receiving
        drain = self.fixed_drain[..., None] + self.sending_per_s[..., None, None] * sending
        drain += self.receiving_per_s[..., None, None] * receiving
        return seconds, drain

    def at(self, cut: NDArray[np.intp], share: Array) -> tuple[Array, Array]:
        """Return seconds and drains, (N, K) each, of a decision."""
        every_s, every_drain = self.at_every_cut(share)
        taken = cut[..., None]
        return (
            np.take_along_axis(every_s, taken, axis=-1)[..., 0],
            np.take_along_axis(every_drain, taken, axis=-1)[..., 0],
        )

    def at_every_cut(self, share: Array) -> tuple[Array, Array]:
        """Return seconds and drains, (N, K, C) each, at shares (N, K)."""
        toll = self.link.toll(share)
        sending, receiving = self.uplink_bits * toll.up[..., None], self.downlink_bits * toll.down[..., None]
        drain = self.fixed_drain + self.sending_per_s[..., None] * sending
        return self.fixed_s + sending + receiving, drain + self.receiving_per_s[..., None] * receiving

    def without(self, device: int) -> "Demand":
        """Return the rounds as if one device took neither time nor band nor battery."""
        kept = np.ones(self.fixed_s.shape[1])
        kept[device] = 0.0
        kept = kept[:, None]
        fixed_s = np.where(kept > 0.0, self.fixed_s, 0.0)
        return self._replace(
            fixed_s=fixed_s,
            uplink_bits=self.uplink_bits * kept,
            downlink_bits=self.downlink_bits * kept,
            fixed_drain=self.fixed_drain * kept,
        )


def demand_of(work: Workload, resources: Resources, now: Conditions, drain_per_s: TrainingPower) -> Demand:
    """Return what rounds under the given conditions take.

    Parameters
    ----------
    work, resources, now : Workload, Resources, Conditions
        As for :func:`sfl_env.rounds.latency.round_problem`.
    drain_per_s : TrainingPower
        (N, K) of the battery that a second in each state takes; 0 on mains power.
    """
    problem = round_problem(work, resources, now)
    shape = now.samples.shape
    # No band shortens the computing, nor the fixed latency of messages.
    drains = []
    for cut in range(work.num_cuts):
        phases = phase_latency_s(work, resources, now, np.full(shape, cut), np.ones(shape))
        computing = busy_s(phases).computing_s
        message = busy_s(work.message_s[:, cut])
        drains.append(
            drain_per_s.computing_w * computing
            + drain_per_s.transmitting_w * message.sending_s
            + drain_per_s.receiving_w * message.receiving_s
        )
    fixed_drain = np.stack(drains, axis=-1)
    if now.takes_part is not None:
        fixed_drain *= now.takes_part[..., None]
    return Demand(
        problem.fixed_s,
        problem.uplink_bits,
        problem.downlink_bits,
        fixed_drain,
        drain_per_s.transmitting_w,
        drain_per_s.receiving_w,
        band_of(problem).link(),
    )
