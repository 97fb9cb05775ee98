"""One round in stages as arrays: what every stage takes each device at every cut, with and without the band."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sfl_env.arrays import Array
from sfl_env.episodes import Episodes
from sfl_env.errors import ProblemError
from sfl_env.optimum.link import Band, Link, Rows
from sfl_env.rounds.amounts import DOWNLOADS, UPLOADS, phase_amounts
from sfl_env.rounds.conditions import Conditions, Resources
from sfl_env.rounds.latency import PHASES, SERVER_COMPUTE
from sfl_env.rounds.problem import Decision
from sfl_env.rounds.stages import STAGES, Stages
from sfl_env.rounds.workload import Workload


@dataclass(frozen=True)
class StagedCuts:
    """What every stage takes with each device's cut given, N rounds of K devices in J stages besides the server's.

    Parameters
    ----------
    fixed_s, uplink_bits, downlink_bits : (J, N, K) array
        Seconds that no band shortens, and bits that cross the air in each stage.
    server_s : (N,) array
        Seconds of all of the server's jobs, and of the wait where no device takes part.
    link : Link
        What the band carries for each device.
    """

    fixed_s: Array  # (J, N, K)
    uplink_bits: Array  # (J, N, K)
    downlink_bits: Array  # (J, N, K)
    server_s: Array  # (N,)
    link: Link

    def stage_s(self, share: Array) -> Array:
        """(J, N, K): each device's seconds in each stage at its share."""
        toll = self.link.toll(share)
        time: Array = self.fixed_s + self.uplink_bits * toll.up + self.downlink_bits * toll.down
        return time

    def latency_s(self, share: Array) -> Array:
        """(N,): the rounds' length at given shares."""
        latency: Array = self.stage_s(share).max(axis=-1).sum(axis=0) + self.server_s
        return latency

    def rows(self, index: Rows) -> "StagedCuts":
        """Some of the N rounds."""
        return StagedCuts(
            self.fixed_s[:, index],
            self.uplink_bits[:, index],
            self.downlink_bits[:, index],
            self.server_s[index],
            self.link.rows(index),
        )

    @property
    def needs_band(self) -> NDArray[np.bool_]:
        """(N, K): whether a device sends or receives anything that takes time."""
        receives = self.downlink_bits * self.link.downlink_s > 0.0
        return np.asarray(((self.uplink_bits > 0.0) | receives).any(axis=0))


@dataclass(frozen=True)
class StagedProblem:
    r"""Which cuts and which shares of the band finish a round in stages first.

    In stage j device k takes

    .. math:: t_{jk}(c, s) = \mathrm{fixed}_{jkc} + \frac{U_{jkc}}{R_k(s)} + \frac{D_{jkc}}{s\,R^{down}_k}

    seconds, a stage lasts as long as its slowest device, and the server's stage as long as all its jobs together:
    :math:`T = \sum_j \max_k t_{jk}(c_k, s_k) + \sum_k \mathrm{server}_{k c_k}`.

    Parameters
    ----------
    fixed_s : (J, N, K, C) array
        Seconds of each stage, but the server's, that do not depend on the band.
    uplink_bits, downlink_bits : (J, N, K, C) array
        Bits that cross the air in each stage.
    server_s : (N, K, C) array
        Seconds of the device's job with the whole server; infinite where the cut does not fit the device's memory.
    wait_s : (N,) array
        Seconds that pass whatever is decided: the wait of a round in which no device takes part, else 0.
    band : Band
        The band, and what it carries for each device.
    """

    fixed_s: Array  # (J, N, K, C)
    uplink_bits: Array  # (J, N, K, C)
    downlink_bits: Array  # (J, N, K, C)
    server_s: Array  # (N, K, C)
    wait_s: Array  # (N,)
    band: Band

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(J, N, K, C): stages besides the server's, rounds, devices, cuts."""
        j, n, k, c = self.fixed_s.shape
        return j, n, k, c

    @property
    def fits(self) -> NDArray[np.bool_]:
        """(N, K, C): whether the cut fits into the device's memory."""
        fits: NDArray[np.bool_] = np.isfinite(self.server_s)
        return fits

    def at(self, cut: NDArray[np.intp]) -> StagedCuts:
        """Return what every stage takes at given cuts, (N, K)."""
        index = cut[..., None]
        fixed_s, up, down = (
            np.take_along_axis(values, index[None], axis=-1)[..., 0]
            for values in (self.fixed_s, self.uplink_bits, self.downlink_bits)
        )
        server = np.take_along_axis(self.server_s, index, axis=-1)[..., 0].sum(axis=-1) + self.wait_s
        return StagedCuts(fixed_s, up, down, server, self.band.link())

    def latency_s(self, decision: Decision) -> Array:
        """(N,): the rounds' length; infinite where a cut does not fit."""
        return self.at(decision.cut).latency_s(decision.bandwidth_share)

    def with_cuts(self, allowed: NDArray[np.bool_]) -> "StagedProblem":
        """Return the problem with some cuts (N, K, C) alone; each device has to keep one that fits."""
        return replace(self, server_s=np.where(allowed, self.server_s, np.inf))

    def rows(self, index: Rows) -> "StagedProblem":
        """Some of the N rounds, or some several times."""
        band = self.band
        levels = None if band.levels is None else band.levels[:, index]
        return StagedProblem(
            self.fixed_s[:, index],
            self.uplink_bits[:, index],
            self.downlink_bits[:, index],
            self.server_s[index],
            self.wait_s[index],
            Band(
                band.uplink_snr_hz[index],
                band.downlink_full_rate_bps[index],
                band.uplink_bandwidth_hz[index],
                band.uplink_curve,
                levels,
            ),
        )


def staged_problem(work: Workload, resources: Resources, now: Conditions, stages: Stages) -> StagedProblem:
    """Build the problem of a round in stages from the phases' own computation.

    Parameters
    ----------
    work, resources, now
        As for :func:`sfl_env.rounds.latency.phase_latency_s`.
    stages : Stages
        Of :data:`sfl_env.rounds.stages.STAGES`, not empty.
    """
    n, k = now.samples.shape
    cut = np.broadcast_to(np.arange(work.num_cuts), (n, k, work.num_cuts))
    amount = phase_amounts(work, resources, now)
    message_s = np.broadcast_to(work.message_s[:, None, None, :], amount.shape).copy()
    if now.takes_part is not None:
        amount *= now.takes_part[..., None]
        message_s *= now.takes_part[..., None]
    fixed_s, up, down = message_s, np.zeros_like(amount), np.zeros_like(amount)
    for phase in range(len(PHASES)):
        whole = up if phase in UPLOADS else down if phase in DOWNLOADS else fixed_s
        whole[phase] += amount[phase]
    waiting = [stage for stage in stages if stage != (SERVER_COMPUTE,)]
    fixed_s, up, down, server_s = (
        *(np.stack([values[list(stage)].sum(axis=0) for stage in waiting]) for values in (fixed_s, up, down)),
        fixed_s[SERVER_COMPUTE] / k,  # each job has the whole server in its turn
    )
    server_s[cut > now.deepest_cut[..., None]] = np.inf
    wait_s = np.zeros(n)
    if now.takes_part is not None:
        wait_s += ~now.takes_part.any(axis=1) * resources.outage_wait_s
    return StagedProblem(fixed_s, up, down, server_s, wait_s, _band(resources, now))


def _band(resources: Resources, now: Conditions) -> Band:
    return Band(
        now.uplink_snr_hz,
        now.downlink_full_rate_bps,
        np.full(len(now.samples), resources.uplink_bandwidth_hz),
        resources.uplink_curve,
        now.fading.levels,
    )


def staged_problem_of(episodes: Episodes, now: Conditions) -> StagedProblem:
    """Return the problem of some episodes' rounds under given conditions, such as those that observations tell of.

    Raises
    ------
    ProblemError
        If devices do not wait for each other in these episodes.

    Examples
    --------
    >>> import gymnasium as gym, sfl_env
    >>> env = gym.make("SFL-Barrier-v0", num_devices=3)
    >>> observation, _ = env.reset(seed=0)
    >>> episodes = env.unwrapped.episodes
    >>> staged_problem_of(episodes, episodes.conditions_of(observation[None])).shape[:3]
    (4, 1, 3)
    """
    barriers = episodes.scenario.barriers
    if barriers == "none":
        raise ProblemError(
            "barriers='none': in these rounds devices do not wait for each other. Solve observed_problem() or "
            "true_problem() instead, or make the environment with barriers='adaptsfl' or 'every-phase'."
        )
    simulator = episodes.simulator
    return staged_problem(simulator.workload, simulator.resources, now, STAGES[barriers])
