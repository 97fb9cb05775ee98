"""What docs/model.md says is computed in a round, once more: one device, one cut and one share at a time.

Nothing of the package is imported here. Scenario, profile and devices are plain values that the caller reads off
the running environment; all names are those of the page and of docs/scenario.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import ncx2

Profile = Mapping[str, Sequence[float]]

# Abscissae and weights of five-point Gauss-Legendre quadrature, moved from [-1, 1] to [0, 1].
NODES = [
    0.5 + 0.5 * sign * math.sqrt(5.0 + inner * 2.0 * math.sqrt(10.0 / 7.0)) / 3.0
    for sign, inner in ((-1.0, 1.0), (-1.0, -1.0), (0.0, 0.0), (1.0, -1.0), (1.0, 1.0))
]
WEIGHTS = [
    0.5 * weight
    for weight in (
        (322.0 - 13.0 * math.sqrt(70.0)) / 900.0,
        (322.0 + 13.0 * math.sqrt(70.0)) / 900.0,
        128.0 / 225.0,
        (322.0 + 13.0 * math.sqrt(70.0)) / 900.0,
        (322.0 - 13.0 * math.sqrt(70.0)) / 900.0,
    )
]


@dataclass(frozen=True)
class Device:
    """One device in one round; its speeds are those before other programs take their part."""

    forward_flops_per_s: float
    forward_bytes_per_s: float
    backward_flops_per_s: float
    backward_bytes_per_s: float
    transmit_power_w: float
    idle_w: float
    computing_w: float
    transmitting_w: float
    receiving_w: float
    memory_bytes: float
    free: float
    battery_j: float
    charge: float  # of what may be spent, from 0 to 1
    samples: float  # a round: E mini-batches of n
    gain: float
    levels: tuple[float, ...]  # of power, of mean 1, that fading takes within the round


# ---------------------------------------------------------------------------------------------------- the radio


def fading_levels(rician_k: float) -> tuple[float, ...]:
    """Return the powers at which a link's rate is averaged; the same one five times where nothing fades."""
    if math.isinf(rician_k):
        return (1.0,) * len(NODES)
    quantiles = [v * v * (3.0 - 2.0 * v) for v in NODES]
    if rician_k == 0.0:
        return tuple(-math.log1p(-p) for p in quantiles)
    return tuple(float(ncx2.ppf(p, 2, 2.0 * rician_k)) / (2.0 * (1.0 + rician_k)) for p in quantiles)


def mean_over_fading(rates: Sequence[float]) -> float:
    return math.fsum(6.0 * u * v * (1.0 - v) * rate for u, v, rate in zip(WEIGHTS, NODES, rates, strict=True))


def ratio(decibels: float) -> float:
    return float(10.0 ** (decibels / 10.0))


def noise_w_per_hz(scenario: Any, noise_rise_db: float) -> float:
    decibels = scenario.noise_density_dbm_per_hz + scenario.noise_figure_db + noise_rise_db
    return ratio(decibels) / 1e3


def efficiency(scenario: Any, y: float, attenuation: float, max_sinr_db: float) -> float:
    """Return what a ratio of signal to noise and interference carries, in bit/s/Hz."""
    if scenario.rate_curve == "shannon":
        return math.log1p(y) / math.log(2.0)
    if y < ratio(scenario.min_sinr_db):
        return 0.0
    return attenuation * math.log1p(min(y, ratio(max_sinr_db))) / math.log(2.0)


def uplink_bps(scenario: Any, device: Device, share: float) -> float:
    """Return the mean rate of a share of the uplink band, of which the device uses what suits each level."""
    if share == 0.0:
        return 0.0
    band = share * scenario.bandwidth_hz
    rates = []
    for level in device.levels:
        signal = device.transmit_power_w * device.gain * level / uplink_noise(scenario)  # Hz
        used = band
        if scenario.rate_curve != "shannon":
            used = min(band, signal / ratio(scenario.min_sinr_db))
        # A band that is cut to where the ratio is y_min carries what y_min does, whatever rounding makes of y.
        y = max(signal / used, ratio(scenario.min_sinr_db)) if used < band else signal / used
        rates.append(used * efficiency(scenario, y, scenario.uplink_attenuation, scenario.uplink_max_sinr_db))
    return mean_over_fading(rates)


def uplink_noise(scenario: Any) -> float:
    return noise_w_per_hz(scenario, scenario.uplink_noise_rise_db)


def downlink_bps(scenario: Any, device: Device, share: float) -> float:
    """Return the mean rate of a share of the downlink band, each Hz of which has the same power."""
    band = scenario.downlink_bandwidth_hz or scenario.bandwidth_hz
    noise = noise_w_per_hz(scenario, scenario.downlink_noise_rise_db)
    rates = []
    least = 0.0 if scenario.rate_curve == "shannon" else ratio(scenario.min_sinr_db)
    mean = scenario.base_station_power_w * device.gain / (noise * band)
    if mean < least:
        return 0.0
    for level in device.levels:
        y = mean * level
        carried = efficiency(scenario, max(y, least), scenario.downlink_attenuation, scenario.downlink_max_sinr_db)
        rates.append(carried * y / least if y < least else carried)
    return float(share * band * mean_over_fading(rates))


def is_out(scenario: Any, device: Device) -> bool:
    """Return whether the device cannot be reached in this round."""
    mean_ratio = device.transmit_power_w * device.gain / (uplink_noise(scenario) * scenario.narrowest_band_hz)
    if scenario.rate_curve != "shannon" and mean_ratio < ratio(scenario.min_sinr_db):
        return True
    return min(uplink_bps(scenario, device, 1.0), downlink_bps(scenario, device, 1.0)) < 100.0


# ---------------------------------------------------------------------------------------------- one device's round


def model_bits(scenario: Any, profile: Profile, c: int) -> float:
    numbers = profile["device_parameters"][c] + profile["device_buffers"][c]
    if not scenario.frozen_weights_travel:
        numbers -= profile["device_frozen_parameters"][c] + profile["device_constant_buffers"][c]
    return float(numbers * scenario.parameter_bits)


def device_side_trains(profile: Profile, c: int) -> bool:
    return profile["device_parameters"][c] > profile["device_frozen_parameters"][c]


def smashed_bits(scenario: Any, profile: Profile, c: int) -> tuple[float, float]:
    """Return the bits of a sample, up and down."""
    if c == len(profile["smashed_elements"]) - 1:
        return 0.0, 0.0
    up = profile["smashed_elements"][c] * scenario.activation_bits + scenario.label_bits
    return up, profile["smashed_gradient_elements"][c] * scenario.activation_bits


def pass_s(scenario: Any, profile: Profile, device: Device, c: int, way: str) -> float:
    """Return the seconds of the device's forward or backward phase."""
    flops = device.samples * profile[f"device_{way}_flops"][c]
    flops += scenario.local_iterations * profile[f"device_{way}_flops_per_batch"][c]
    moved = device.samples * profile["device_activation_elements"][c] * scenario.training_bits / 8.0
    if way == "backward" and not device_side_trains(profile, c):
        moved = 0.0
    peak, bandwidth = getattr(device, f"{way}_flops_per_s"), getattr(device, f"{way}_bytes_per_s")
    return float(flops / (peak * device.free) + moved / (bandwidth * device.free))


def server_s(scenario: Any, profile: Profile, device: Device, c: int, flops_per_s: float) -> float:
    flops = 0.0
    for way in ("forward", "backward"):
        flops += device.samples * profile[f"server_{way}_flops"][c]
        flops += scenario.local_iterations * profile[f"server_{way}_flops_per_batch"][c]
    return flops / flops_per_s


def sending_s(bits: float, bps: float, messages_s: float) -> float:
    """Return the seconds of a phase in which something is sent; none where there is nothing to send."""
    if bits == 0.0:
        return 0.0
    return bits / bps + messages_s if bps > 0.0 else math.inf


def phases_s(scenario: Any, profile: Profile, device: Device, c: int, share: float) -> list[float]:
    """Return the seconds of the seven phases, which in sequence have the whole server, or else a K-th of it."""
    up, down = uplink_bps(scenario, device, share), downlink_bps(scenario, device, share)
    once, each = scenario.message_latency_s, scenario.local_iterations * scenario.message_latency_s
    alone = scenario.schedule == "sequence" or scenario.barriers != "none"
    server = scenario.server_flops_per_s / (1 if alone else scenario.num_devices)
    smashed_up, smashed_down = smashed_bits(scenario, profile, c)
    model = model_bits(scenario, profile, c)
    return [
        sending_s(model, down, once),
        pass_s(scenario, profile, device, c, "forward"),
        sending_s(device.samples * smashed_up, up, each),
        server_s(scenario, profile, device, c, server),
        sending_s(device.samples * smashed_down, down, each),
        pass_s(scenario, profile, device, c, "backward"),
        sending_s(model, up, once),
    ]


# ------------------------------------------------------------------------------------------------------- memory


def optimiser_slots(scenario: Any) -> int:
    if scenario.optimizer_slots is not None:
        return int(scenario.optimizer_slots)
    return 2 if scenario.optimizer == "adam" else int(scenario.momentum > 0.0)


def needed_bytes(scenario: Any, profile: Profile, c: int, batch: float) -> float:
    parameters = profile["device_parameters"][c]
    trained = parameters - profile["device_frozen_parameters"][c]
    numbers = parameters + profile["device_buffers"][c] + trained * (1 + optimiser_slots(scenario))
    numbers += batch * profile["device_activation_elements"][c]
    return float(numbers * scenario.training_bits / 8.0)


def deepest_cut(scenario: Any, profile: Profile, device: Device) -> int:
    """Return the deepest cut whose device side fits, from 0."""
    batch = device.samples / scenario.local_iterations
    cuts = range(len(profile["device_parameters"]))
    return max(c for c in cuts if needed_bytes(scenario, profile, c, batch) <= device.memory_bytes)


# ------------------------------------------------------------------------------------------------------ the round


@dataclass(frozen=True)
class Round:
    """What a round comes to, with one entry for each device but for ``latency_s``."""

    cut: list[int]
    cut_limited: list[bool]
    phases_s: list[list[float]]
    takes_part: list[bool]
    latency_s: float
    energy_j: list[float]
    charge: list[float]


def play(
    scenario: Any, profile: Profile, devices: Sequence[Device], cuts: Sequence[int], shares: Sequence[float]
) -> Round:
    deepest = [deepest_cut(scenario, profile, device) for device in devices]
    taken = [min(pair) for pair in zip(cuts, deepest, strict=True)]
    reached = [device.charge > 0.0 and not is_out(scenario, device) for device in devices]
    phases = []
    for device, cut, share, there in zip(devices, taken, shares, reached, strict=True):
        held = 1.0 if scenario.schedule == "sequence" else share
        phases.append(phases_s(scenario, profile, device, cut, held) if there else [0.0] * 7)
    limit = math.inf if scenario.deadline_s is None else scenario.deadline_s
    late = [sum(row) > limit for row in phases]
    latency = round_s(scenario, [row for row, there in zip(phases, reached, strict=True) if there], limit)
    worked = [until(row, limit) for row in phases]
    energy = []
    for device, row in zip(devices, worked, strict=True):
        energy.append(energy_j(device, row, latency) if device.charge > 0.0 else 0.0)
    return Round(
        cut=taken,
        cut_limited=[asked > fits for asked, fits in zip(cuts, deepest, strict=True)],
        phases_s=phases,
        takes_part=[there and not is_late for there, is_late in zip(reached, late, strict=True)],
        latency_s=latency,
        energy_j=energy,
        charge=[charge_left(scenario, device, row) for device, row in zip(devices, worked, strict=True)],
    )


def until(phases: Sequence[float], limit: float) -> list[float]:
    """Return the seconds of a device's phases up to the limit."""
    worked: list[float] = []
    for seconds in phases:
        worked.append(max(min(seconds, limit - sum(worked)), 0.0))
    return worked


def round_s(scenario: Any, phases: Sequence[Sequence[float]], limit: float) -> float:
    """Return how long a round of the devices that are reached lasts."""
    if not phases:
        return float(min(scenario.outage_wait_s, limit))
    if scenario.schedule == "sequence":
        return sum(min(sum(row), limit) for row in phases)
    if scenario.barriers == "none":
        return min(max(sum(row) for row in phases), limit)
    stages = [[0], [1], [2], [3], [4], [5], [6]]
    if scenario.barriers == "adaptsfl":
        stages = [[0], [1, 2], [3], [4, 5], [6]]
    total = 0.0
    for stage in stages:
        if stage == [3]:  # one job after another, each at the server's full speed
            total += sum(row[3] for row in phases)
        else:
            total += max(sum(row[phase] for phase in stage) for row in phases)
    return total


def energy_j(device: Device, phases: Sequence[float], until_s: float) -> float:
    computing, sending, receiving = phases[1] + phases[5], phases[2] + phases[6], phases[0] + phases[4]
    waiting = until_s - computing - sending - receiving
    return (
        computing * device.computing_w
        + sending * device.transmitting_w
        + receiving * device.receiving_w
        + waiting * device.idle_w
    )


def charge_left(scenario: Any, device: Device, phases: Sequence[float]) -> float:
    if scenario.battery_share is None:
        return device.charge
    added_j = (
        (phases[1] + phases[5]) * max(device.computing_w - device.idle_w, 0.0)
        + (phases[2] + phases[6]) * max(device.transmitting_w - device.idle_w, 0.0)
        + (phases[0] + phases[4]) * max(device.receiving_w - device.idle_w, 0.0)
    )
    return max(device.charge - float(added_j / (scenario.battery_share * device.battery_j)), 0.0)


# ------------------------------------------------------------------------------------------------ the least round


def seconds(scenario: Any, profile: Profile, device: Device, c: int, share: float) -> float:
    return sum(phases_s(scenario, profile, device, c, share))


def least_share(scenario: Any, profile: Profile, device: Device, cuts: Sequence[int], until_s: float) -> float:
    """Return beta(T): the smallest share with which one of the cuts is done by T; infinite if none is."""
    best = math.inf
    for c in cuts:
        if seconds(scenario, profile, device, c, min(best, 1.0)) > until_s:
            continue
        if seconds(scenario, profile, device, c, 0.0) <= until_s:
            return 0.0
        high, low = min(best, 1.0), 0.0
        while high - low > 1e-12 and high > low * (1.0 + 1e-10):
            middle = math.sqrt(high * low) if low > 0.0 else high / 16.0
            if seconds(scenario, profile, device, c, middle) <= until_s:
                high = middle
            else:
                low = middle
        best = high
    return best


def least_round_s(
    scenario: Any, profile: Profile, devices: Sequence[Device], cuts: Sequence[Sequence[int]]
) -> float:
    """Return the least T that the devices' least shares, at the cuts that each may take, leave room for."""
    high, low = 0.0, 0.0
    for device, mine in zip(devices, cuts, strict=True):
        high = max(high, min(seconds(scenario, profile, device, c, 1.0 / len(devices)) for c in mine))
        low = max(low, min(seconds(scenario, profile, device, c, 1.0) for c in mine))
    while high > low * (1.0 + 1e-8):
        middle = 0.5 * (low + high)
        needed = 0.0
        for device, mine in zip(devices, cuts, strict=True):
            needed += least_share(scenario, profile, device, mine, middle)
            if needed > 1.0:
                break
        if needed <= 1.0:
            high = middle
        else:
            low = middle
    return high
