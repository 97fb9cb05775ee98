"""From a scenario's fields to the parts that they describe."""

from typing import Any

from sfl_env.channel.fading import Fading, NoFading, Rayleigh, Rician
from sfl_env.channel.mobility import Annulus, GaussMarkov, Mobility, RandomWaypoint, Static
from sfl_env.channel.model import Channel
from sfl_env.channel.path_loss import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.channel.shadowing import CorrelatedShadowing
from sfl_env.devices.availability import MarkovAvailability
from sfl_env.devices.population import Population
from sfl_env.rounds.system import System
from sfl_env.scenario import Scenario


def channel(scenario: Scenario) -> Channel:
    """Return the channel of a scenario.

    Examples
    --------
    >>> channel(Scenario(path_loss="macro", mobility="gauss-markov")).path_loss
    ClassicMacro(shadowing_std=8.0)
    """
    return Channel(
        _path_loss(scenario),
        CorrelatedShadowing(scenario.shadowing_correlation_m),
        _fading(scenario),
        _mobility(scenario),
    )


def population(scenario: Scenario) -> Population:
    """Return the sampler of a scenario's devices."""
    return Population(scenario.device_types, scenario.device_weights, scenario.compute_spread)


def availability(scenario: Scenario) -> MarkovAvailability:
    """Return the process of the devices' free speed."""
    return MarkovAvailability(
        scenario.availability_levels, switch_probability=scenario.availability_switch_probability
    )


def _path_loss(scenario: Scenario) -> PathLoss:
    if scenario.path_loss == "macro":
        return ClassicMacro()
    model = {"umi": UrbanMicro, "uma": UrbanMacro}[scenario.path_loss]
    return model(carrier_hz=scenario.carrier_hz)


def _fading(scenario: Scenario) -> Fading[Any]:
    if scenario.fading == "none":
        return NoFading()
    if scenario.fading == "rician":
        return Rician(10.0 ** (scenario.rician_k_db / 10.0), scenario.fading_correlation)
    return Rayleigh(scenario.fading_correlation)


def _mobility(scenario: Scenario) -> Mobility[Any]:
    area = Annulus(scenario.min_distance_m, scenario.cell_radius_m)
    speed, interval_s = scenario.speed_m_per_s, scenario.round_interval_s
    if scenario.mobility == "random-waypoint":
        return RandomWaypoint(area, interval_s, 0.5 * speed, 1.5 * speed)
    if scenario.mobility == "gauss-markov":
        return GaussMarkov(area, interval_s, speed)
    return Static(area)


def system_of(scenario: Scenario) -> System:
    """Return which system a scenario's rounds belong to.

    Examples
    --------
    >>> system_of(Scenario()), system_of(Scenario(schedule="sequence", deadline_s=5.0))
    ('parallel', 'deadline')
    """
    if scenario.deadline_s is not None:
        return "deadline"
    if scenario.synchronised_phases:
        return "synchronised"
    return "sequence" if scenario.schedule == "sequence" else "parallel"
