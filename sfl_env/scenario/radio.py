"""Fields of the radio."""

from dataclasses import dataclass
from typing import Literal

from sfl_env.scenario.declaring import number, plain

RateCurveName = Literal["truncated-shannon", "shannon"]
PathLossName = Literal["umi", "uma", "macro"]
FadingName = Literal["averaged", "block", "none"]
MobilityName = Literal["static", "random-waypoint", "gauss-markov"]


@dataclass(frozen=True)
class RadioFields:
    """The band, the base station and the channel."""

    bandwidth_hz: float = number(10e6, 1e3, 1e12, "Hz", "uplink band that the devices share")
    downlink_bandwidth_hz: float | None = number(
        None, 1e3, 1e12, "Hz", "downlink band; None: as wide as the uplink band"
    )
    base_station_power_w: float = number(10.0, 1e-6, 1e6, "W", "transmit power over the whole downlink band")
    noise_density_dbm_per_hz: float = number(-174.0, -250.0, 0.0, "dBm/Hz", "thermal noise")
    noise_figure_db: float = number(7.0, 0.0, 60.0, "dB", "of the receivers")
    uplink_noise_rise_db: float = number(3.0, 0.0, 100.0, "dB", "by how much interference lifts the noise, uplink")
    downlink_noise_rise_db: float = number(3.0, 0.0, 100.0, "dB", "and downlink")
    rate_curve: RateCurveName = plain(
        "truncated-shannon",
        "what a ratio of signal to noise carries: Shannon's bound, or that with attenuation, start and ceiling "
        "(3GPP TR 38.803)",
    )
    uplink_attenuation: float = number(0.4, 1e-6, 1.0, "", "of truncated-shannon, uplink")
    downlink_attenuation: float = number(0.6, 1e-6, 1.0, "", "and downlink")
    min_sinr_db: float = number(-10.0, -100.0, 100.0, "dB", "below it truncated-shannon carries nothing")
    uplink_max_sinr_db: float = number(22.0, -100.0, 200.0, "dB", "truncated-shannon's ceiling, uplink")
    downlink_max_sinr_db: float = number(30.0, -100.0, 200.0, "dB", "and downlink")
    narrowest_band_hz: float = number(
        360e3, 1.0, 1e12, "Hz", "narrowest allocation: a resource block of NR at 30 kHz spacing"
    )
    outage_wait_s: float = number(
        10.0, 1e-6, 1e9, "s", "length of a round in which no device can be reached, after which it is tried again"
    )
    path_loss: PathLossName = plain("umi", "path-loss model: TR 38.901, or 128.1 + 37.6 lg d")
    carrier_hz: float = number(3.5e9, 0.5e9, 100e9, "Hz", "carrier frequency (TR 38.901 models)")
    cell_radius_m: float = number(60.0, 1.0, 1e5, "m", "devices live within this distance")
    min_distance_m: float = number(10.0, 0.1, 1e5, "m", "and no closer than this")
    shadowing_correlation_m: float | None = number(
        None, 1e-3, 1e5, "m", "distance over which shadowing falls to 1/e; None: that of the path-loss model"
    )
    fading: FadingName = plain(
        "averaged",
        "small-scale fading: averaged over within a round, or a block: constant within one and drawn for each",
    )
    rician_k_db: float | None = number(
        None,
        -40.0,
        60.0,
        "dB",
        "Rician factor of links with line of sight; None: drawn as the path-loss model has it; without line of "
        "sight fading is Rayleigh",
    )
    fading_correlation: float = number(0.0, 0.0, 1.0, "", "of the complex block fading from round to round")
    mobility: MobilityName = plain("static", "how devices move")
    speed_m_per_s: float = number(0.83, 0.0, 1e3, "m/s", "mean speed of moving devices")
    blockage_loss_db: float = number(6.0, 0.0, 100.0, "dB", "what a link loses while something is in its way")
    blockage_fraction: float = number(0.2, 0.0, 0.99, "", "fraction of time that it is; 0: never")
    blockage_hold_s: float = number(60.0, 1e-3, 1e9, "s", "mean time that a link stays blocked")
