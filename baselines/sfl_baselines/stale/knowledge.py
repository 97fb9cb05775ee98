"""What observations of an old channel tell of the present one, and of which scenarios that is known."""

from typing import NamedTuple

import numpy as np

from sfl_baselines.stale.draws import present_power
from sfl_baselines.stale.sampled import SampledRounds
from sfl_env.arrays import Array
from sfl_env.channel.model import Channel
from sfl_env.episodes import Episodes
from sfl_env.errors import PolicyError
from sfl_env.rounds.conditions import Conditions, LargeScale
from sfl_env.rounds.fading_levels import SmallScaleFading
from sfl_env.rounds.latency import round_problem
from sfl_env.rounds.outage import LEAST_RATE_BPS, LEAST_SNR_HZ
from sfl_env.rounds.problem import RoundProblem
from sfl_env.scenario import Scenario

RAYLEIGH_K_DB = -30.0
"""Up to this Rician factor a link's fading is taken for Rayleigh fading: its steady wave has a thousandth of the
power."""


def require_known(name: str, episodes: Episodes) -> None:
    """Raise unless the present channel, given the old one, is what :mod:`sfl_baselines.stale.draws` says.

    Parameters
    ----------
    name : str
        Of the yardstick, for messages.
    episodes : Episodes
        In which it is to act.

    Raises
    ------
    PolicyError
        Naming the first field that does not match, and which yardstick there is instead.
    """
    found = _misfits(episodes.scenario)
    if not isinstance(episodes.simulator.channel, Channel):
        # Whatever the scenario's fields say of channels is not its own.
        found = [("the channel is one of the user's own", _EXACT)]
    for what, instead in found:
        raise PolicyError(
            f"{name!r} is for links that stay and fade in blocks, observed late, and here {what}. {instead}"
        )


def is_known(scenario: Scenario) -> bool:
    """Whether the yardsticks know a scenario's present channel, given the old one.

    Examples
    --------
    >>> is_known(Scenario())
    False
    """
    return not _misfits(scenario)


_EXACT = "'exact' decides by the channel as observed and 'oracle' by the true one; make one of these."


def _misfits(scenario: Scenario) -> list[tuple[str, str]]:
    """Return all in which a scenario is another, in words, each with what there is instead."""
    averaged = "The rate is the mean over the fading already: 'exact' is optimal for the channel as observed."
    known = "The present channel is known: 'exact' is optimal."
    other = "No yardstick knows the optimum of such rounds; 'exact' decides as if all devices worked at once."
    found = []
    if scenario.csi_delay_rounds == 0:
        found.append(("csi_delay_rounds is 0", known))
    if scenario.fading != "block":
        found.append((f"fading is {scenario.fading!r}", averaged if scenario.fading == "averaged" else _EXACT))
    elif scenario.mobility != "static" and scenario.speed_m_per_s > 0.0:
        found.append((f"mobility is {scenario.mobility!r}", _EXACT))
    elif scenario.blockage_fraction > 0.0 and scenario.blockage_loss_db > 0.0:
        found.append((f"blockage_fraction is {scenario.blockage_fraction} (0 is none)", _EXACT))
    elif not is_rayleigh(scenario):
        told = f"rician_k_db is {scenario.rician_k_db} (it has to be at most {RAYLEIGH_K_DB:g} dB)"
        found.append((told, _EXACT))
    if scenario.system != "parallel":
        found.append((f"the round's system is {scenario.system!r}", other))
    return found


def is_rayleigh(scenario: Scenario) -> bool:
    """Whether all links of a scenario have Rayleigh fading, with line of sight, too.

    Examples
    --------
    >>> is_rayleigh(Scenario(rician_k_db=-40.0)), is_rayleigh(Scenario()), is_rayleigh(Scenario(path_loss="macro"))
    (True, False, True)
    """
    k_db = scenario.rician_k_db
    return scenario.path_loss == "macro" or (k_db is not None and k_db <= RAYLEIGH_K_DB)


class Known(NamedTuple):
    """What is known of the present channel of N rounds."""

    observed: Conditions
    large_scale: LargeScale
    old_power: Array  # (N, K) of the fading when it was observed; its mean is 1
    correlation: float  # of the complex fading between then and now


def known_of(episodes: Episodes, observed: Conditions) -> Known:
    """Return what observed conditions tell.

    Raises
    ------
    PolicyError
        If an own encoder's observations do not tell of links without small-scale fading.
    """
    large_scale = observed.large_scale
    if large_scale is None:
        encoder = type(episodes.observation_encoder).__name__
        raise PolicyError(
            f"The conditions that {encoder}.decode() returns have no large_scale, the links without small-scale "
            "fading, by which this yardstick decides; let it tell them, or take 'exact'."
        )
    scenario = episodes.scenario
    correlation = scenario.fading_correlation**scenario.csi_delay_rounds
    return Known(observed, large_scale, observed.uplink_snr_hz / large_scale.uplink_snr_hz, correlation)


def sampled_rounds(episodes: Episodes, known: Known, normals: Array) -> SampledRounds:
    """Return N rounds with draws of their channels, by complex normal numbers (2, M, K)."""
    simulator = episodes.simulator
    power = present_power(known.old_power, known.correlation, normals)
    snr_hz = known.large_scale.uplink_snr_hz * power
    downlink_bps = simulator.downlink.rate_at(known.large_scale.downlink_sinr * power)
    reached = simulator.outage.reached(snr_hz, downlink_bps)
    return SampledRounds(
        problem_of(episodes, known.observed),
        np.maximum(snr_hz, LEAST_SNR_HZ),
        np.maximum(downlink_bps, LEAST_RATE_BPS),
        np.ones(snr_hz.shape, dtype=np.bool_) if reached is None else reached,
        float(episodes.scenario.outage_wait_s),
    )


def certain_problem(episodes: Episodes, known: Known, power: Array) -> RoundProblem:
    """Return the rounds as if the fading's power (N, K) were certain."""
    return _with_links(episodes, known, power, np.full(power.shape, np.inf))


def averaged_problem(episodes: Episodes, known: Known) -> RoundProblem:
    """Return the rounds as if each met all of the fading: with mean rates, whatever was observed of it."""
    shape = known.old_power.shape
    return _with_links(episodes, known, np.ones(shape), np.zeros(shape))


def _with_links(episodes: Episodes, known: Known, power: Array, rician_k: Array) -> RoundProblem:
    """Return the rounds on links of other powers; who is asked to take part stays."""
    fading = SmallScaleFading(rician_k)
    sinr = known.large_scale.downlink_sinr * power
    now = known.observed._replace(
        uplink_snr_hz=np.maximum(known.large_scale.uplink_snr_hz * power, LEAST_SNR_HZ),
        downlink_full_rate_bps=np.maximum(
            episodes.simulator.downlink.rate_at(sinr, fading.levels), LEAST_RATE_BPS
        ),
        fading=fading,
    )
    return problem_of(episodes, now)


def problem_of(episodes: Episodes, now: Conditions) -> RoundProblem:
    """Return the joint problem under given conditions."""
    simulator = episodes.simulator
    return round_problem(simulator.workload, simulator.resources, now, episodes.scenario.system)
