"""The program computes what docs/model.md says: the page's own computation meets it on scenarios of all kinds."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from scipy.stats import ncx2

import sfl_env
from sfl_baselines import allocate_bandwidth, solve_exact, solve_in_turn
from sfl_env.devices import DeviceBatch
from tests.project import from_the_page as page
from tests.project.drawn_rounds import (
    Plainly,
    action_of,
    drawn_environment,
    drawn_fields,
    invented_profile,
    played,
    read_devices,
    stored_profile,
)

DRAWN = range(44)
FIELDS = {index: drawn_fields(np.random.default_rng(index)) for index in DRAWN}
SOLVED = [i for i, fields in FIELDS.items() if fields["barriers"] == "none" and fields["deadline_s"] is None]
DEVICES_PAGE = Path(__file__).parents[2] / "docs" / "devices.md"


@pytest.mark.parametrize("index", DRAWN)
def test_a_round_is_what_the_page_says(index: int) -> None:
    """To rounding at the levels of fading that the program takes, and to its table's error at the page's own."""
    for shown in played(index):
        for told, tolerance in ((shown.at_the_tables_levels, 1e-9), (shown.of_the_page, 3e-5)):
            for name, value in (
                ("phase_latency_s", told.phases_s),
                ("device_latency_s", [sum(row) for row in told.phases_s]),
                ("latency_s", told.latency_s),
                ("energy_j", told.energy_j),
            ):
                np.testing.assert_allclose(shown.info[name], value, rtol=tolerance, atol=0.0, err_msg=name)
            np.testing.assert_allclose(shown.charge, told.charge, rtol=0.0, atol=tolerance)
            assert shown.info["cut"].tolist() == told.cut
            assert shown.info["cut_limited"].tolist() == told.cut_limited
            assert shown.info["takes_part"].tolist() == told.takes_part


def test_the_draws_reach_what_the_page_speaks_of() -> None:
    """Every system, curve and kind of fading, and every reason for which a device is left out or limited."""
    seen: set[str] = set()
    for shown in (shown for index in DRAWN for shown in played(index)):
        scenario, told = shown.scenario, shown.of_the_page
        seen |= {scenario.barriers, scenario.schedule, scenario.rate_curve, scenario.path_loss}
        seen |= {f"fading {scenario.fading}"}
        seen |= {f"{scenario.schedule} with a deadline"} if scenario.deadline_s else set()
        for k, row in enumerate(told.phases_s):
            c, there = told.cut[k], sum(row) > 0.0
            nothing_trains = not page.device_side_trains(shown.profile, c)
            seen |= {"late"} if there and not told.takes_part[k] else set()
            seen |= {"out"} if not there and told.energy_j[k] > 0.0 else set()
            seen |= {"empty"} if not there and told.energy_j[k] == 0.0 else set()
            seen |= {"limited"} if told.cut_limited[k] else set()
            seen |= {"nothing trains"} if there and nothing_trains else set()
            seen |= {"no model sent"} if there and page.model_bits(scenario, shown.profile, c) == 0.0 else set()
    assert seen == {
        *("none", "adaptsfl", "every-phase", "parallel", "sequence"),
        *("parallel with a deadline", "sequence with a deadline"),
        *("truncated-shannon", "shannon", "umi", "uma", "macro"),
        *("fading averaged", "fading block", "fading none"),
        *("late", "out", "empty", "limited", "nothing trains", "no model sent"),
    }


@pytest.mark.parametrize("index", SOLVED)
def test_the_least_round_by_bisection_is_the_solvers_optimum(index: int) -> None:
    profile, env = drawn_environment(index)
    env.reset(seed=index)
    scenario, problem = env.unwrapped.scenario, env.unwrapped.true_problem()
    everyone = read_devices(env.unwrapped, own_levels=False)
    devices = [device for device in everyone if not page.is_out(scenario, device)]
    fitting = [range(page.deepest_cut(scenario, profile, device) + 1) for device in devices]
    if not devices:
        pytest.skip("nobody can be reached")
    if scenario.schedule == "sequence":
        turns = (
            min(page.seconds(scenario, profile, device, c, 1.0) for c in cuts)
            for device, cuts in zip(devices, fitting, strict=True)
        )
        assert solve_in_turn(problem).latency_s[0] == pytest.approx(sum(turns), rel=1e-9)
        return
    assert solve_exact(problem).latency_s[0] == pytest.approx(
        page.least_round_s(scenario, profile, devices, fitting), rel=1e-6
    )
    first = allocate_bandwidth(problem, np.zeros((1, scenario.num_devices), np.int64))
    least = page.least_round_s(scenario, profile, devices, [[0]] * len(devices))
    assert first.latency_s[0] == pytest.approx(least, rel=1e-6)


# ---------------------------------------------------------------------------------------------- the radio's limits


class Held(NamedTuple):
    gain: np.ndarray
    rician_k: np.ndarray


class HeldChannel:
    """Gains and Rician factors that never change."""

    def __init__(self, gain: np.ndarray, rician_k: np.ndarray) -> None:
        self.gain, self.rician_k = gain, rician_k

    def initial(self, rng: np.random.Generator, n: int, num_devices: int) -> Held:
        return Held(*(np.tile(values[:num_devices], (n, 1)) for values in (self.gain, self.rician_k)))

    def step(self, state: Held, elapsed_s: np.ndarray, rng: np.random.Generator) -> Held:
        return state


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rate_curve": "shannon"},
        {"rate_curve": "shannon", "base_station_power_w": 1e-6},
        {"bandwidth_hz": 1e4},
        {"bandwidth_hz": 1e4, "narrowest_band_hz": 1e3},
        {"bandwidth_hz": 1e3, "narrowest_band_hz": 1e6},
    ],
    ids=str,
)
def test_who_is_out_is_whom_the_page_calls_out(fields: dict[str, Any]) -> None:
    """In both directions, and with a narrowest band that is wider than the whole one, which is taken as it is."""
    rng, count = np.random.default_rng(0), 300
    gain = np.exp(rng.uniform(np.log(1e-20), np.log(1e-10), count))
    channel = HeldChannel(gain, rng.choice([0.0, 1.0, 10.0, 100.0, np.inf], count))
    options: dict[str, Any] = {
        "model": "digits-cnn",
        "num_devices": count,
        "channel": channel,
        "reference_latency_s": 1.0,
    }
    env: Any = gym.make("SFL-v0", action=Plainly(5), **options, **fields)
    env.reset(seed=0)
    devices = read_devices(env.unwrapped, own_levels=False)
    info = env.step(action_of([0] * count, [1.0 / count] * count, 5))[4]
    out = [page.is_out(env.unwrapped.scenario, device) for device in devices]
    assert 0.2 * count < sum(out) < count
    assert info["takes_part"].tolist() == [not is_out for is_out in out]


def test_the_table_of_levels_is_within_seven_in_a_hundred_thousand_of_the_quantiles() -> None:
    factors = [0.0, *np.geomspace(1e-4, 1e6, 300).tolist()]
    shape = (1, len(factors))
    problem = sfl_env.RoundProblem(
        fixed_s=np.ones((*shape, 1)),
        uplink_bits=np.ones((*shape, 1)),
        downlink_bits=np.zeros((*shape, 1)),
        uplink_snr_hz=np.ones(shape),
        downlink_full_rate_bps=np.full(shape, np.inf),
        uplink_bandwidth_hz=np.array([1e6]),
        rician_k=np.array([factors]),
    )
    assert problem.fading_levels is not None
    own = np.array([page.fading_levels(factor) for factor in factors]).T
    np.testing.assert_allclose(problem.fading_levels[:, 0], own, rtol=7e-5)


@pytest.mark.parametrize("direction", ["uplink", "downlink"])
def test_five_levels_are_within_one_per_cent_of_the_mean_over_the_fading(direction: str) -> None:
    """Uplink at any mean ratio; downlink from 0 dB on, since below the start of the curve falls between levels."""
    fields = {name: getattr(sfl_env.Scenario(), name) for name in sfl_env.Scenario.__dataclass_fields__}
    scenario = SimpleNamespace(**fields)
    bps = page.uplink_bps if direction == "uplink" else page.downlink_bps
    power = 1.0 if direction == "uplink" else scenario.base_station_power_w
    probability = (np.arange(1000) + 0.5) / 1000
    for factor in (0.0, 0.3, 3.0, 30.0):
        exact = (
            -np.log1p(-probability) if factor == 0.0 else ncx2.ppf(probability, 2, 2 * factor) / (2 + 2 * factor)
        )
        for decibels in np.arange(-20.0 if direction == "uplink" else 0.0, 40.0, 4.0):
            gain = page.ratio(decibels) * page.uplink_noise(scenario) * scenario.bandwidth_hz / power
            device: Any = SimpleNamespace(transmit_power_w=1.0, gain=gain, levels=page.fading_levels(factor))
            told = bps(scenario, device, 1.0)
            each = []
            for level in exact.tolist():
                device.levels = (level,) * 5
                each.append(bps(scenario, device, 1.0))
            assert told == pytest.approx(np.mean(each), rel=0.01)


# ------------------------------------------------------------------------------------------------ devices


class AtTheLimit:
    """One device for each cut, with memory for that cut's device side, times a factor."""

    def __init__(self, memory_bytes: np.ndarray) -> None:
        self.memory_bytes = memory_bytes

    def sample(self, rng: np.random.Generator, n: int, num_devices: int) -> DeviceBatch:
        ones = np.ones((n, num_devices))
        speeds = dict.fromkeys(
            (f"{way}_{what}_per_s" for way in ("forward", "backward") for what in ("flops", "bytes")), 1e9 * ones
        )
        powers = {"idle_w": ones, "computing_w": 3 * ones, "transmitting_w": 2 * ones, "receiving_w": ones}
        return DeviceBatch(
            type_index=np.zeros((n, num_devices), np.int64),
            transmit_power_w=0.2 * ones,
            memory_bytes=np.tile(self.memory_bytes[:num_devices], (n, 1)),
            battery_j=np.inf * ones,
            **speeds,
            **powers,
        )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("network", ["llama-lora", "resnet18", "invented"])
def test_a_device_side_fits_to_the_last_byte(network: str, optimizer: str, momentum: float) -> None:
    invented = network == "invented"
    profile = invented_profile(np.random.default_rng(4), 2) if invented else dict(stored_profile(network))
    part: dict[str, Any] = {"profile": sfl_env.DNNProfile(**profile)} if invented else {"model": network}
    cuts = range(len(profile["cut_names"]))
    chosen: dict[str, Any] = {"optimizer": optimizer, "momentum": momentum, "training_bits": 16, "batch_size": 3}
    scenario = SimpleNamespace(**chosen, optimizer_slots=None)
    needed = np.array([page.needed_bytes(scenario, profile, c, batch=3.0) for c in cuts])
    for spare, deepest in ((1.0, list(cuts)), (1.0 - 1e-9, [0, *list(cuts)[:-1]])):
        memory = np.maximum(needed * spare, needed[0])
        env: Any = gym.make(
            "SFL-v0",
            population=AtTheLimit(memory),
            num_devices=len(cuts),
            action=Plainly(len(cuts)),
            reference_latency_s=1.0,
            **part,
            **chosen,
        )
        env.reset(seed=0)
        info = env.step(action_of([cuts[-1]] * len(cuts), [1.0 / len(cuts)] * len(cuts), len(cuts)))[4]
        fits = [max(c for c in cuts if needed[c] <= bytes_) for bytes_ in memory]
        assert info["cut"].tolist() == fits
        if (np.diff(needed) > 0).all():  # resnet18's head needs less than what lies before it
            assert fits == deepest


def test_devices_are_their_types_figures_times_one_spread() -> None:
    """Figures of docs/devices.md, to the three digits shown there."""
    text = DEVICES_PAGE.read_text(encoding="utf-8")
    rows = [re.findall(r"[^|]+", line) for line in text.splitlines() if line.startswith("| `")]
    table = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows[: len(rows) // 2]}
    draws = {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows[len(rows) // 2 :]}
    env: Any = gym.make("SFL-v0", num_devices=200, compute_spread=1.5, reference_latency_s=1.0)
    env.reset(seed=0)
    devices, types = env.unwrapped.episodes.now.state.setup.devices, env.unwrapped.scenario.device_types
    for k, index in enumerate(devices.type_index[0]):
        figures, watts = table[types[index]], draws[types[index]]
        names = ("forward_flops_per_s", "forward_bytes_per_s", "backward_flops_per_s", "backward_bytes_per_s")
        spread = [
            getattr(devices, name)[0, k] / (1e9 * float(cell)) for name, cell in zip(names, figures, strict=False)
        ]
        assert spread == pytest.approx([spread[0]] * 4, rel=6e-3)
        assert 0.995 / 1.5 < spread[0] < 1.5 * 1.005
        assert devices.memory_bytes[0, k] == pytest.approx(1e9 * float(figures[4]))
        drawn = ("idle_w", "computing_w", "transmitting_w", "receiving_w", "transmit_power_w")
        assert [getattr(devices, name)[0, k] for name in drawn] == pytest.approx(
            list(map(float, watts[:5])), rel=5e-3
        )
        full = np.inf if watts[5] == "mains" else 3600.0 * float(watts[5])
        assert devices.battery_j[0, k] == pytest.approx(full, rel=5e-3)


def test_a_round_of_turns_in_which_nobody_is_reached_lasts_its_wait() -> None:
    options: dict[str, Any] = {
        "path_loss": "macro",
        "cell_radius_m": 1e5,
        "min_distance_m": 9e4,
        "outage_wait_s": 7.0,
    }
    env: Any = gym.make("SFL-v0", num_devices=2, schedule="sequence", deadline_s=50.0, **options)
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert not info["takes_part"].any()
    assert info["latency_s"] == 7.0
