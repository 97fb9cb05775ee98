"""From a scenario's fields to the parts that they describe: the whole translation, and what replaces what."""

from collections.abc import Mapping
from typing import Any

from sfl_env.arrays import constant
from sfl_env.channel.area import Annulus
from sfl_env.channel.blockage import Blockage, NoBlockage, TwoStateBlockage
from sfl_env.channel.drift import GaussMarkov
from sfl_env.channel.fading import AveragedFading, BlockFading, Fading, NoFading
from sfl_env.channel.mobility import Mobility, Static
from sfl_env.channel.model import Channel
from sfl_env.channel.path_loss import ClassicMacro, PathLoss, UrbanMacro, UrbanMicro
from sfl_env.channel.waypoints import RandomWaypoint
from sfl_env.devices.availability import MarkovAvailability
from sfl_env.devices.population import Population
from sfl_env.dnn import catalogue
from sfl_env.dnn.profile import DNNProfile
from sfl_env.errors import ScenarioError
from sfl_env.learning.protocol import Learner
from sfl_env.learning.surrogate import Surrogate, find
from sfl_env.rounds.conditions import Resources
from sfl_env.rounds.curves import RateCurve, Shannon, TruncatedShannon
from sfl_env.rounds.outage import Outage, require_reach
from sfl_env.rounds.radio import Downlink
from sfl_env.rounds.workload import Workload
from sfl_env.rounds.workload import workload as per_cut_costs
from sfl_env.scenario import Scenario

REPLACED: Mapping[str, tuple[str, ...]] = {
    "profile": ("model",),
    "channel": (
        "path_loss",
        "carrier_hz",
        "cell_radius_m",
        "min_distance_m",
        "shadowing_correlation_m",
        "fading",
        "rician_k_db",
        "fading_correlation",
        "mobility",
        "speed_m_per_s",
        "blockage_loss_db",
        "blockage_fraction",
        "blockage_hold_s",
    ),
    "uplink_curve": ("uplink_attenuation", "uplink_max_sinr_db"),
    "downlink_curve": ("downlink_attenuation", "downlink_max_sinr_db"),
    "population": ("device_types", "device_weights", "compute_spread"),
    "availability": ("availability_levels", "availability_hold_s"),
    "network": ("model",),
    "data": ("dataset", "dataset_path"),
    "learner": ("network", "data", "torch_device", "executor"),
}
"""Keyword of each part of the system that a user may bring, and the fields or keywords that it replaces."""

REPLACED_BY_BOTH_CURVES = ("rate_curve", "min_sinr_db")
"""Fields that are of no more use where both directions have a curve of the user's."""

SIMULATED = ("channel", "population", "availability", "uplink_curve", "downlink_curve")
"""Keywords of the parts that the simulator asks in every round."""

TRAINING_OPTIONS = ("network", "data", "torch_device", "executor")
"""Keywords of accuracy mode besides the fields; see :class:`sfl_env.learning.scenario.ScenarioLearner`."""


def replaced(keywords: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return :data:`REPLACED` as it is for what a user has given.

    Examples
    --------
    >>> replaced({"uplink_curve": Shannon(), "downlink_curve": Shannon()})["uplink_curve"][2:]
    ('rate_curve', 'min_sinr_db')
    """
    if keywords.get("uplink_curve") is None or keywords.get("downlink_curve") is None:
        return REPLACED
    return {**REPLACED, "uplink_curve": (*REPLACED["uplink_curve"], *REPLACED_BY_BOTH_CURVES)}


def profile(scenario: Scenario) -> DNNProfile:
    """Return the stored profile of a scenario's network."""
    return catalogue.load(scenario.network)


def channel(scenario: Scenario) -> Channel:
    """Return the channel of a scenario.

    Examples
    --------
    >>> channel(Scenario(path_loss="macro", mobility="gauss-markov")).path_loss
    ClassicMacro(shadowing_std=8.0, shadowing_correlation_m=50.0)
    """
    path_loss = _path_loss(scenario)
    statistics = path_loss.statistics.with_shadowing_correlation(scenario.shadowing_correlation_m)
    return Channel(
        path_loss,
        _fading(scenario),
        _mobility(scenario),
        _blockage(scenario),
        statistics.with_k_factor(scenario.rician_k_db),
    )


def population(scenario: Scenario) -> Population:
    """Return the sampler of a scenario's devices."""
    return Population(scenario.device_types, scenario.device_weights, scenario.compute_spread)


def availability(scenario: Scenario) -> MarkovAvailability:
    """Return the process of the devices' free speed."""
    return MarkovAvailability(scenario.availability_levels, hold_s=scenario.availability_hold_s)


def workload(scenario: Scenario, network: DNNProfile) -> Workload:
    """Return what a network costs at each cut in a scenario's rounds and number formats."""
    return per_cut_costs(
        network,
        activation_bits=scenario.activation_bits,
        parameter_bits=scenario.parameter_bits,
        label_bits=scenario.label_bits,
        optimizer_slots=scenario.slots_per_parameter,
        local_iterations=scenario.local_iterations,
        frozen_weights_travel=scenario.frozen_weights_travel,
        training_bits=scenario.training_bits,
        message_latency_s=scenario.message_latency_s,
    )


def resources(scenario: Scenario, curve: RateCurve | None = None) -> Resources:
    """Return what the devices share: the server's speed evenly, or one after another in a sequence."""
    sharers = 1 if scenario.schedule == "sequence" else scenario.num_devices
    return Resources(
        uplink_bandwidth_hz=constant(scenario.bandwidth_hz),
        server_flops_per_s=constant(scenario.server_flops_per_s / sharers),
        uplink_curve=curve or _rate_curve(scenario, scenario.uplink_attenuation, scenario.uplink_max_sinr_db),
        outage_wait_s=constant(scenario.outage_wait_s),
    )


def outage(scenario: Scenario, curve: RateCurve, way_down: Downlink) -> Outage:
    """Return what tells which devices cannot be reached, by the uplink's curve.

    Raises
    ------
    ScenarioError
        If none could ever be, in either direction.
    """
    require_reach("uplink", curve, scenario.bandwidth_hz)
    require_reach("downlink", way_down.curve, way_down.bandwidth_hz)
    return Outage(curve, scenario.bandwidth_hz, scenario.narrowest_band_hz)


def noise_w_per_hz(scenario: Scenario, noise_rise_db: float) -> float:
    """Return the density of thermal noise, noise figure and interference together."""
    density_dbm = scenario.noise_density_dbm_per_hz + scenario.noise_figure_db + noise_rise_db
    return float(10.0 ** ((density_dbm - 30.0) / 10.0))


def uplink_noise_w_per_hz(scenario: Scenario) -> float:
    """Return the density of noise and interference at the base station."""
    return noise_w_per_hz(scenario, scenario.uplink_noise_rise_db)


def downlink(scenario: Scenario, curve: RateCurve | None = None) -> Downlink:
    """Return the base station's way down."""
    return Downlink(
        scenario.downlink_bandwidth_hz or scenario.bandwidth_hz,
        scenario.base_station_power_w,
        noise_w_per_hz(scenario, scenario.downlink_noise_rise_db),
        curve or _rate_curve(scenario, scenario.downlink_attenuation, scenario.downlink_max_sinr_db),
    )


def learner(scenario: Scenario, given: Mapping[str, Any]) -> Learner | None:
    """Return what trains the network in accuracy mode; ``None`` where only lengths of rounds are simulated.

    Parameters
    ----------
    scenario : Scenario
        The system.
    given : mapping
        Parts and options that the user has named, of which those of accuracy mode are taken.

    Raises
    ------
    ScenarioError
        If a part or option belongs to the other mode.
    """
    training = {name: given[name] for name in TRAINING_OPTIONS if name in given}
    if scenario.mode != "accuracy":
        for name in ("learner", *training):
            if name in given:
                raise ScenarioError(f"{name} belongs to mode='accuracy', where networks are trained.")
        return None
    if "profile" in given:
        raise ScenarioError(
            "profile is given, but in accuracy mode the costs are those of the network that is trained; leave it "
            "out, or pass network=, a function that returns yours."
        )
    if "learner" in given:
        own: Learner = given["learner"]
        return own
    # Training needs torch, which nothing else here does.
    from sfl_env.learning.scenario import ScenarioLearner

    return ScenarioLearner(scenario, **training)


def surrogate(scenario: Scenario, profile: DNNProfile) -> Surrogate | None:
    """Return what stands for learning in latency mode; ``None`` where a network is trained, or nothing learns.

    Raises
    ------
    ScenarioError
        If no constants have been measured for such learning.
    """
    if not scenario.learning_surrogate or scenario.mode == "accuracy":
        return None
    for name in ("deadline_s", "battery_share"):
        if getattr(scenario, name) is not None:
            raise ScenarioError(
                f"{name} is given beside learning_surrogate, whose constants are those of rounds in which all "
                "devices take part; leave one of the two out, or train in mode='accuracy'."
            )
    found = find(scenario)
    if not scenario.surrogate_rounds and profile.name != scenario.network:
        raise ScenarioError(
            f"profile is that of {profile.name!r}, and learning_surrogate has the constants of "
            f"{scenario.network!r}; give those of yours as surrogate_rounds."
        )
    found.require_blocks(profile)
    return found


def _rate_curve(scenario: Scenario, attenuation: float, max_sinr_db: float) -> RateCurve:
    if scenario.rate_curve == "shannon":
        return Shannon()
    return TruncatedShannon(attenuation, scenario.min_sinr_db, max_sinr_db)


def _path_loss(scenario: Scenario) -> PathLoss:
    if scenario.path_loss == "macro":
        return ClassicMacro()
    if scenario.path_loss == "uma":
        return UrbanMacro(carrier_hz=scenario.carrier_hz)
    return UrbanMicro(carrier_hz=scenario.carrier_hz)


def _fading(scenario: Scenario) -> Fading[Any]:
    if scenario.fading == "none":
        return NoFading()
    if scenario.fading == "block":
        return BlockFading(scenario.fading_correlation)
    return AveragedFading()


def _mobility(scenario: Scenario) -> Mobility[Any]:
    area, speed = Annulus(scenario.min_distance_m, scenario.cell_radius_m), scenario.speed_m_per_s
    if scenario.mobility == "random-waypoint" and 0.5 * speed > 0.0:
        return RandomWaypoint(area, 0.5 * speed, 1.5 * speed)
    if scenario.mobility == "gauss-markov" and speed > 0.0:
        return GaussMarkov(area, speed)
    return Static(area)


def _blockage(scenario: Scenario) -> Blockage[Any]:
    if scenario.blockage_fraction == 0.0 or scenario.blockage_loss_db == 0.0:
        return NoBlockage()
    return TwoStateBlockage(scenario.blockage_loss_db, scenario.blockage_fraction, scenario.blockage_hold_s)
